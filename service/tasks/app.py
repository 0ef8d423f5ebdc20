"""The Celery application and its schedule.

Guarantees: a task that a killed worker had taken comes back; every task may run twice, late or
beside itself. One machine needs no broker: pgmq on the same PostgreSQL.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from typing import Any

from celery import Celery
from celery.schedules import crontab
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from face_engine.calibration import shipped
from service import events, policies
from service.access.retention import forget_past
from service.audit import log
from service.clock import unix_ms
from service.db import Database
from service.errors import Misconfigured, Unavailable
from service.faces import accepted
from service.keys import KeyRing
from service.ledger import sources
from service.ledger.check import check_and_record
from service.ledger.limits import DAY_MS
from service.logs import json_logger
from service.operators import idempotency
from service.payments import settlement
from service.population import check_population, places
from service.processors import open_processors
from service.server import open_keys
from service.settings import Settings
from service.settlement import Settlement
from service.terminals import challenges
from service.webhooks import delivery
from service.webhooks import store as hooks
from service.webhooks.sender import Sender
from service.webhooks.store import WebhookId
from wire.ids import TransferId

QUEUE = "countenance"
EXPIRE_EVERY_S = 5.0
CHECKPOINT_EVERY_S = 5.0
POPULATION_AT = crontab(hour="3", minute="7")
POPULATION_EXPIRES_S = 12 * 3600.0
SETTLE_EVERY_S = 5.0
SETTLE_BATCH_MAX = 50
RECONCILE_AT = crontab(hour="2", minute="47")  # before the check
RECONCILE_EXPIRES_S = 12 * 3600.0
RECONCILE_DAYS = 9
VISIBLE_AGAIN_S = 20
TASK_TIME_MAX_S = 15
SETTLE_TIME_MAX_S = 28  # of the lease's 30
WEBHOOKS_EVERY_S = 2.0
DELIVER_EXPIRES_S = 10.0
SETTLEMENTS_AT = crontab(minute="12")  # every hour, so that days which a worker missed come soon
SETTLEMENTS_EXPIRES_S = 3_000.0
SETTLEMENTS_TIME_MAX_S = 900
CHECK_AT = crontab(hour="3", minute="17")  # UTC
CHECK_TIME_MAX_S = 1_800
FORGET_AT = crontab(hour="3", minute="37")
FORGET_TIME_MAX_S = 900
_log: Any = json_logger(logging.getLogger("countenance.tasks"))


def make_celery(settings: Settings) -> Celery:
    if settings.database_url is None:
        raise Misconfigured("COUNTENANCE_DATABASE_URL is not set")
    app = Celery("countenance", broker=settings.broker_url or "pgmq://")
    transport: dict[str, object] = {
        "visibility_timeout": VISIBLE_AGAIN_S,
        # Redis: look at each sweep, every 10 s, for what killed workers had taken.
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": VISIBLE_AGAIN_S,
    }
    if settings.broker_url is None:
        transport |= {
            "conn_string": _queue_conninfo(settings.database_url),
            "init_extension": False,
            "use_notify": True,
            "pool_size": 4,
        }
    app.conf.update(
        broker_transport_options=transport,
        broker_connection_retry_on_startup=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_TIME_MAX_S,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        timezone="UTC",
        beat_schedule={
            task: {"task": task, "schedule": schedule, "options": {"expires": expires}}
            for task, schedule, expires in (
                ("expire", EXPIRE_EVERY_S, EXPIRE_EVERY_S),
                ("checkpoint", CHECKPOINT_EVERY_S, CHECKPOINT_EVERY_S),
                ("check", CHECK_AT, CHECK_TIME_MAX_S),
                ("settle", SETTLE_EVERY_S, SETTLE_EVERY_S),
                ("reconcile", RECONCILE_AT, RECONCILE_EXPIRES_S),
                ("webhooks", WEBHOOKS_EVERY_S, WEBHOOKS_EVERY_S),
                ("settlements", SETTLEMENTS_AT, SETTLEMENTS_EXPIRES_S),
                ("forget", FORGET_AT, FORGET_TIME_MAX_S),
                ("population", POPULATION_AT, POPULATION_EXPIRES_S),
            )
        },
    )
    return app


def _queue_conninfo(url: str) -> str:
    """For pgmq, which takes five parameters apart and joins them unquoted.

    What follows the password wins, so the URL's own parameters stand there, all and quoted.
    """
    whole = make_conninfo("", **conninfo_to_dict(url))
    return make_conninfo(password=f"'' {whole}")


celery = make_celery(Settings.from_env())


@cache
def _database() -> Database:
    """One small pool for each worker process."""
    return Database.open(str(Settings.from_env().database_url), size=2)


@cache
def _keys() -> KeyRing:
    return open_keys(Settings.from_env())


@cache
def _settlement() -> Settlement:
    processors = open_processors(Settings.from_env())
    return Settlement(_database(), _keys(), processors, unix_ms)


@celery.task(name="expire")
def expire() -> None:
    _database().run(lambda conn: events.expire(conn, now_ms=unix_ms()))
    _database().run(lambda conn: challenges.expire(conn, now_ms=unix_ms()))
    _database().run(lambda conn: idempotency.forget(conn, now_ms=unix_ms()))


@cache
def _sender() -> Sender:
    return Sender(development=not Settings.from_env().production)


@celery.task(name="webhooks")
def webhooks() -> None:
    """Sends one short task for each webhook that something is due for."""
    with _database().transaction() as conn:
        due = hooks.due(conn, now_ms=unix_ms())
    for webhook in due:
        deliver.apply_async((str(webhook),), expires=DELIVER_EXPIRES_S)


@celery.task(name="deliver")
def deliver(webhook: str) -> None:
    delivery.deliver(_database(), _keys(), _sender(), WebhookId.parse(webhook), unix_ms)


@celery.task(name="settlements", time_limit=SETTLEMENTS_TIME_MAX_S)
def settlements() -> None:
    """Each merchant's day in a transaction of its own, then the proof of all."""
    with _database().transaction() as conn:
        days = settlement.due(conn, now_ms=unix_ms())
    for merchant, day in days:
        with _database().transaction() as conn:
            settlement.settle(conn, merchant, day, now_ms=unix_ms())
    with _database().transaction() as conn:
        differences = settlement.prove(conn)
    for each in differences:
        _log.error("settlement_differs", merchant=str(each.merchant))


@celery.task(name="checkpoint")
def checkpoint() -> None:
    with _database().transaction() as conn:
        log.integrate(conn, _keys().log, now_ms=unix_ms())


@celery.task(name="check", time_limit=CHECK_TIME_MAX_S)
def check() -> None:
    with _database().transaction() as conn:
        check_and_record(conn, now_ms=unix_ms())


@celery.task(name="forget", time_limit=FORGET_TIME_MAX_S)
def forget() -> None:
    """Who was inside, too long ago: batch by batch, so that no door waits."""
    before_ms = unix_ms() - Settings.from_env().whereabouts_days * DAY_MS
    while _database().run(lambda conn: forget_past(conn, before_ms=before_ms)):
        pass


@celery.task(name="settle")
def settle() -> None:
    """Sends one short task for each transfer that a processor is to hear of."""
    with _database().transaction() as conn:
        due = sources.list_due(conn, now_ms=unix_ms(), limit=SETTLE_BATCH_MAX)
    for transfer in due:
        settle_one.apply_async((str(transfer),), expires=SETTLE_EVERY_S)


@celery.task(name="settle_one", time_limit=SETTLE_TIME_MAX_S)
def settle_one(transfer: str) -> None:
    with suppress(Unavailable):  # it stays due
        _settlement().settle(TransferId.parse(transfer))


@celery.task(name="reconcile")
def reconcile() -> None:
    """Has what processors have of the last days' transfers asked anew, by ``settle``."""
    since_ms = unix_ms() - RECONCILE_DAYS * DAY_MS
    repeatable = [name for name, each in _settlement().processors.items() if each.repeatable]
    with _database().transaction() as conn:
        sources.look_again(conn, repeatable, since_ms=since_ms, now_ms=unix_ms())


@celery.task(name="population")
def population() -> None:
    """Sends one short task for each model and site."""
    with _database().transaction() as conn:
        _, policy = policies.latest(conn, _keys().signing, now_ms=unix_ms())
        sites = places(conn)
    for calibration in accepted(shipped(), policy):
        for site in sites:
            population_of.apply_async(
                (calibration.model_id.hex(), site), expires=POPULATION_EXPIRES_S
            )


@celery.task(name="population_of")
def population_of(model_id: str, site: str) -> None:
    """Checks the people of one site, or everywhere, by one model."""
    calibration, now_ms = shipped()[bytes.fromhex(model_id)], unix_ms()
    with _database().transaction() as conn:
        _, policy = policies.latest(conn, _keys().signing, now_ms=now_ms)
    checks = check_population(_database(), _keys(), calibration, policy, site=site, now_ms=now_ms)
    for check in checks:
        if check.exceeded:
            _log.warning(
                "population_exceeded",
                pack=calibration.pack,
                site=site,
                fmr_allowed=check.fmr_allowed,
                fmr_lower=check.figures.fmr_lower,
            )
