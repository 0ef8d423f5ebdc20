"""Nothing is lost and nothing is done twice when the service is killed in the middle.

Real processes: granian, PostgreSQL, and terminals that send the same bytes until they are
answered.
"""

from __future__ import annotations

import fcntl
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from psycopg import Connection

from countenance.house import House
from countenance.stage import Stage
from service.audit import log
from service.audit.notes import verifier_key
from service.audit.verify import VerifierKey, verify_log
from service.clock import unix_ms
from service.db import Row
from service.ledger import store as ledger
from service.ledger.check import check
from service.ledger.rules import Wallet
from terminal_client.outbox import ATTEMPT
from tests.processes.conftest import Network
from tests.processes.till import CURRENCY, Mall, Prepared, Till
from wire.codec import MAX_MESSAGE_BYTES
from wire.denial import Reason
from wire.messages import Problem, TerminalKind

TERMINALS, PAYMENTS, CUSTOMERS, KILLS = 8, 200, 4, 4
START_MINOR = 1_000_000
WAIT_MAX_S = 90


@dataclass(frozen=True, slots=True)
class Payment:
    prepared: Prepared
    customer: int
    amount_minor: int


def shop(till: Till, mall: Mall, seed: int, payments: int) -> list[Payment]:
    """One terminal's payments, each approved."""
    drawn = random.Random(seed)
    done = []
    for number in range(payments):
        customer, amount_minor = drawn.choice(list(mall.accounts)), drawn.randint(1, 9_999)
        prepared = till.prepare(mall.payment(amount_minor, f"{seed}-{number}"), customer)
        assert prepared.decide().approved
        done.append(Payment(prepared, customer, amount_minor))
    return done


def wait_for(network: Network, attempts: int) -> None:
    wait_until(lambda: network.sent[ATTEMPT] >= attempts)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_MAX_S
    while not happened():
        assert time.monotonic() < deadline, "the terminals do not get on"
        time.sleep(0.001)


def kill_often(stage: Stage, network: Network, seed: int) -> None:
    """Kills the service after a drawn number of attempts were sent, and starts it again."""
    drawn = random.Random(seed)
    for after in sorted(drawn.sample(range(5, PAYMENTS - 5), KILLS)):
        wait_for(network, after)
        time.sleep(drawn.uniform(0, 0.01))
        stage.kill_server()
        stage.start_server()
        stage.wait_until_ready()


def verify(house: House) -> None:
    """Signs what waits, and verifies the whole log with the decisions."""
    with house.database.transaction() as conn:
        while log.integrate(conn, house.keys.log, now_ms=unix_ms()):
            pass
        entries = conn.execute(
            "SELECT position, leaf FROM audit_entries ORDER BY position"
        ).fetchall()
        notes = conn.execute("SELECT note FROM audit_checkpoints ORDER BY size").fetchall()
        decided = column(conn, "SELECT leaf_hash FROM attempts")
    key = VerifierKey.parse(verifier_key(house.keys.log))
    verify_log(
        [(row[0], row[1]) for row in entries], [row[0] for row in notes], key, decided=decided
    )


def open_shop(stage: Stage, network: Network) -> tuple[Mall, list[Till]]:
    mall = Mall(stage.house)
    station = mall.add_till(TerminalKind.ENROLMENT, network.line())
    for _ in range(CUSTOMERS):
        mall.enrol(station, START_MINOR)
    tills = [mall.add_till(TerminalKind.STORE, network.line()) for _ in range(TERMINALS)]
    network.sent.clear()
    return mall, tills


def check_everything(mall: Mall, paid: list[Payment]) -> None:
    """One decision and one transfer each, the same bytes again, money to the cent, the log."""
    for each in paid:
        assert each.prepared.till.send(ATTEMPT, each.prepared.evidence) == each.prepared.answer
    attempts = sorted(each.prepared.ceremony.attempt.raw for each in paid)
    terminals = {each.prepared.till.identity.terminal.raw for each in paid}
    spent = Counter[int]()
    for each in paid:
        spent[each.customer] += each.amount_minor
    with mall.house.database.transaction() as conn:
        decided = "SELECT attempt_id FROM attempts WHERE terminal_id = ANY(%s)"
        assert column(conn, decided, list(terminals)) == attempts
        moved = "SELECT transfer_id FROM transfers JOIN ledger_accounts ON credit ="
        moved += " ledger_account_id WHERE owner = %s"
        assert column(conn, moved, mall.merchant.raw) == attempts
        assert check(conn) == ()
        assert ledger.earned_minor(conn, mall.merchant) == spent.total()
        for seed, account in mall.accounts.items():
            assert ledger.wallet_of(conn, account) == Wallet(
                currency=CURRENCY, balance_minor=START_MINOR - spent[seed], held_minor=0
            )
    verify(mall.house)


def column(conn: Connection[Row], query: str, *values: object) -> list[bytes]:
    return sorted(row[0] for row in conn.execute(query, values).fetchall())


def test_killed_in_the_middle_every_attempt_ends_in_one_decision(stage: Stage) -> None:
    network = Network(stage.url)
    mall, tills = open_shop(stage, network)
    share = PAYMENTS // TERMINALS
    with ThreadPoolExecutor(TERMINALS + 1) as threads:
        killing = threads.submit(kill_often, stage, network, 7)
        shopping = [threads.submit(shop, till, mall, n, share) for n, till in enumerate(tills)]
        paid = [each for future in shopping for each in future.result()]
        killing.result()
    assert network.answers[500] == 0
    assert network.answers[None] >= KILLS, "no request was cut off: the kills missed"
    assert len(paid) == PAYMENTS
    check_everything(mall, paid)


def test_without_a_database_nothing_is_decided_and_then_once(stage: Stage) -> None:
    network = Network(stage.url)
    mall, (till, *_) = open_shop(stage, network)
    customer = next(iter(mall.accounts))
    prepared = till.prepare(mall.payment(1250, "coffee"), customer)
    home = stage.house.settings.home
    with (home / "postgres.lock").open("a") as lock:
        # Whoever would start it again waits for this.
        fcntl.flock(lock, fcntl.LOCK_EX)
        stage.kill_database()
        reply = till.transport.exchange(
            ATTEMPT, prepared.evidence, timeout_s=10.0, bytes_max=MAX_MESSAGE_BYTES
        )
    assert reply.status == 503
    assert Problem.decode(reply.body).reason == Reason.UNAVAILABLE
    assert prepared.decide().approved
    assert network.answers[500] == 0
    check_everything(mall, [Payment(prepared, customer, 1250)])


def test_a_database_that_is_killed_in_the_middle_loses_nothing(stage: Stage) -> None:
    network = Network(stage.url)
    mall, tills = open_shop(stage, network)
    lock_file = stage.house.settings.home / "postgres.lock"
    with ThreadPoolExecutor(TERMINALS) as threads, lock_file.open("a") as lock:
        shopping = [threads.submit(shop, till, mall, n, 5) for n, till in enumerate(tills)]
        wait_for(network, 15)
        # Whoever would start it again waits until somebody has met the dead one.
        fcntl.flock(lock, fcntl.LOCK_EX)
        stage.kill_database()
        wait_until(lambda: network.answers[503] > 0)
        fcntl.flock(lock, fcntl.LOCK_UN)
        paid = [each for future in shopping for each in future.result()]
    assert network.answers[500] == 0
    check_everything(mall, paid)
