"""Real workers on each broker: what is due happens, once, also when a worker is killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
import pytest
import redis

from countenance.stage import Stage
from service import checkout
from service.audit import log
from service.clock import unix_ms
from service.ledger import store as ledger
from service.ledger.check import check_balances, last_check
from service.operators import webhook_acts
from service.payments.rules import Intent, NewIntent
from service.settings import Settings
from service.webhooks.outbox import EventKind
from service.webhooks.store import Webhook
from tests.api.receiver import Receiver, receiver
from tests.processes.conftest import Network
from tests.processes.test_killed_service import verify
from tests.processes.till import CURRENCY, Mall, Till
from wire.ids import AccountId, TransferId
from wire.messages import TerminalKind
from wire.money import Money

__all__ = ["receiver"]

WAIT_MAX_S = 90
START_MINOR, HELD_MINOR = 10_000, 4_000
REDIS_DATABASE = 13


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def rabbitmq() -> Iterator[str]:
    """A virtual host of this test's own."""
    if not listens(5672):
        pytest.skip("RabbitMQ does not listen on 127.0.0.1:5672")
    control = shutil.which("rabbitmqctl")
    if control is None:
        pytest.skip("there is no rabbitmqctl to make a virtual host with")
    vhost = f"countenance-test-{uuid4().hex[:8]}"
    run = [control, "--quiet"]
    made = subprocess.run([*run, "add_vhost", vhost], check=False, timeout=60)
    if made.returncode:
        pytest.skip("rabbitmqctl may not make a virtual host")
    try:
        rights = ["set_permissions", "-p", vhost, "guest", ".*", ".*", ".*"]
        subprocess.run([*run, *rights], check=True, timeout=60)
        yield f"amqp://guest:guest@127.0.0.1:5672/{vhost}"
    finally:
        subprocess.run([*run, "delete_vhost", vhost], check=True, timeout=60)


@contextmanager
def redis_database() -> Iterator[str]:
    """A numbered database that nobody uses."""
    if not listens(6379):
        pytest.skip("Redis does not listen on 127.0.0.1:6379")
    with redis.Redis(port=6379, db=REDIS_DATABASE) as client:
        if client.dbsize():
            pytest.skip(f"somebody uses database {REDIS_DATABASE} of this Redis")
        try:
            yield f"redis://127.0.0.1:6379/{REDIS_DATABASE}"
        finally:
            client.flushdb()


@contextmanager
def postgresql() -> Iterator[str]:
    """No broker: the queue is in the database."""
    yield ""


@pytest.fixture
def broker(request: pytest.FixtureRequest, stage: Stage) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, request.param() as url:
        patch.setenv("COUNTENANCE_BROKER_URL", url)
        yield url
        stage.kill_workers()


@pytest.fixture
def customer(stage: Stage) -> AccountId:
    mall, network = Mall(stage.house), Network(stage.url)
    mall.enrol(mall.add_till(TerminalKind.ENROLMENT, network.line()), START_MINOR)
    return next(iter(mall.accounts.values()))


@pytest.fixture
def atm(stage: Stage) -> Till:
    return Mall(stage.house).add_till(TerminalKind.ATM, Network(stage.url).line())


def hold(stage: Stage, account: AccountId, atm: Till, *, for_ms: int) -> None:
    """A withdrawal that nobody ever confirms."""
    now_ms = unix_ms()
    with stage.house.database.transaction() as conn:
        denial = ledger.hold(
            conn,
            transfer=TransferId.new(),
            account=account,
            terminal=atm.identity.terminal,
            money=Money(amount_minor=HELD_MINOR, currency=CURRENCY),
            now_ms=now_ms,
            expires_at_ms=now_ms + for_ms,
        )
    assert denial is None


def held_minor(stage: Stage, account: AccountId) -> int:
    with stage.house.database.transaction() as conn:
        wallet = ledger.wallet_of(conn, account)
        assert check_balances(conn) == ()
    assert wallet is not None
    assert wallet.balance_minor == START_MINOR
    return wallet.held_minor


def unsigned(stage: Stage) -> int:
    """How many entries no checkpoint covers yet."""
    with stage.house.database.transaction() as conn:
        row = conn.execute("SELECT count(*) FROM audit_entries").fetchone()
        assert row is not None
        return int(row[0]) - log.size_of(conn)


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_MAX_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_MAX_S} s"
        time.sleep(0.1)


def blocks(stage: Stage, pid: int) -> bool:
    """Whether somebody waits for what the server process ``pid`` holds."""
    with stage.house.database.transaction() as conn:
        query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        return conn.execute(query, (pid,)).fetchone() is not None


@pytest.mark.parametrize("broker", [postgresql, rabbitmq, redis_database], indirect=True)
def test_what_a_killed_worker_had_begun_is_done_by_the_next(
    broker: str, stage: Stage, customer: AccountId, atm: Till
) -> None:
    from service.tasks.app import make_celery  # noqa: PLC0415 (reads the environment)

    hold(stage, customer, atm, for_ms=1)
    with make_celery(Settings.from_env()) as celery, psycopg.connect(stage.house.url) as conn:
        celery.send_task("expire")
        conn.execute("SELECT 1 FROM ledger_accounts WHERE owner = %s FOR UPDATE", (customer.raw,))
        stage.start_worker("--no-beat")
        wait_until("the task is taken", lambda: blocks(stage, conn.info.backend_pid))
        stage.kill_workers()
    assert held_minor(stage, customer) == HELD_MINOR
    stage.start_worker("--no-beat")
    wait_until("the task comes back", lambda: held_minor(stage, customer) == 0)


@pytest.mark.parametrize("broker", [postgresql, rabbitmq, redis_database], indirect=True)
def test_two_workers_on_schedule_give_money_back_and_sign_once(
    broker: str, stage: Stage, customer: AccountId, atm: Till
) -> None:
    hold(stage, customer, atm, for_ms=1_000)
    stage.start_worker()
    stage.start_worker()
    wait_until("the hold expires", lambda: held_minor(stage, customer) == 0)
    wait_until("a checkpoint is signed", lambda: unsigned(stage) == 0)
    verify(stage.house)


def test_tasks_run_twice_and_at_once_do_their_work_once(
    stage: Stage, customer: AccountId, atm: Till
) -> None:
    from service.tasks import app  # noqa: PLC0415 (reads the environment)

    hold(stage, customer, atm, for_ms=1)
    time.sleep(0.01)
    with closing(app._database()), ThreadPoolExecutor(8) as threads:
        done = [
            threads.submit(task) for task in (app.expire.run, app.checkpoint.run, app.check.run) * 8
        ]
        for future in done:
            future.result()
    app._database.cache_clear()
    assert held_minor(stage, customer) == 0
    with stage.house.database.transaction() as conn:
        assert last_check(conn) is not None
        expired = conn.execute(
            "SELECT count(*) FROM transfers JOIN ledger_accounts ON debit = ledger_account_id"
            " WHERE owner = %s AND state = 'expired'",
            (customer.raw,),
        ).fetchone()
    assert expired == (1,)
    verify(stage.house)


def test_webhooks_and_settlements_run_twice_and_at_once_do_their_work_once(
    stage: Stage, receiver: Receiver
) -> None:
    from service.tasks import app  # noqa: PLC0415 (reads the environment)

    merchant = Mall(stage.house).merchant
    acts = webhook_acts.of(stage.house.operations)
    hook = acts.add(merchant, receiver.url, list(EventKind), development=True)
    assert isinstance(hook, Webhook)
    wanted = NewIntent(
        merchant=merchant,
        money=Money(amount_minor=500, currency=CURRENCY),
        order="A-1",
        terminal=None,
        site=None,
        hold_ms=None,
        lives_ms=60_000,
    )
    for _ in range(3):
        intent = checkout.of(stage.house.operations).create(wanted)
        assert isinstance(intent, Intent)
        checkout.of(stage.house.operations).void(merchant, intent.intent)
    with stage.house.database.transaction() as conn:
        conn.execute(
            "UPDATE merchants SET created_at_ms = created_at_ms - 172800000 WHERE merchant_id = %s",
            (merchant.raw,),
        )
    with closing(app._database()), ThreadPoolExecutor(8) as threads:
        done = [threads.submit(app.deliver.run, str(hook.webhook)) for _ in range(8)]
        done += [threads.submit(app.settlements.run) for _ in range(4)]
        for future in done:
            future.result()
    app._database.cache_clear()
    assert len(receiver.got) == len({body for _, body in receiver.got}) == 3
    with stage.house.database.transaction() as conn:
        settled = conn.execute(
            "SELECT count(*), sum(net_minor)::bigint FROM settlements WHERE merchant_id = %s",
            (merchant.raw,),
        ).fetchone()
    assert settled == (2, 0)
