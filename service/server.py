"""The service, put together from its settings, under granian.

Guarantee: nothing is served before the policy in force was checked: against the calibrations,
and in production against trials' shortcuts.
"""

from __future__ import annotations

import sys

from flask import Flask
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from face_engine.calibration import shipped
from service import policies
from service.app import create_app
from service.authorize import Authorizer, Limits
from service.clock import unix_ms
from service.db import Database
from service.errors import Misconfigured
from service.http.logs import log_to
from service.keys import KeyRing
from service.operators.acts import Operations
from service.settings import Settings

BACKLOG = 512
BACKPRESSURE = 64
KILL_TIMEOUT_S = 10


def open_keys(settings: Settings) -> KeyRing:
    return KeyRing.open(settings.home / "keys", log_name=settings.log_name)


def check_policy(database: Database, keys: KeyRing, *, production: bool) -> None:
    """Raises :class:`Misconfigured` for a policy in force that must not be run."""
    with database.transaction() as conn:
        _, policy = policies.latest(conn, keys.signing, now_ms=unix_ms())
    policy.check_rates(shipped().values())
    if production:
        policy.check_for_production()


def wsgi() -> Flask:
    """The WSGI application of one worker process; the database's URL must be set."""
    settings = Settings.from_env()
    if settings.database_url is None:
        raise Misconfigured("COUNTENANCE_DATABASE_URL is not set")
    database = Database.open(settings.database_url, size=settings.pool_size)
    keys = open_keys(settings)
    check_policy(database, keys, production=settings.production)
    limits = Limits(
        per_minute=settings.challenges_per_minute,
        burst=max(20, settings.challenges_per_minute // 3),
    )
    log_to(sys.stderr)
    return create_app(
        Authorizer(database, keys, shipped(), unix_ms, limits=limits),
        database,
        Operations(database, keys),
    )


def serve(*, host: str, port: int, workers: int, threads: int) -> None:
    """Serves until it is told to stop; failed workers are started anew."""
    Server(
        "service.server:wsgi",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        backlog=BACKLOG,
        backpressure=max(BACKPRESSURE, threads),
        factory=True,
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_TIMEOUT_S,
    ).serve()
