"""A service and workers of real processes, and a bank that is one, too; each of them is killed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from countenance.stage import Stage, set_stage
from service.funding.sources import read_card
from service.ledger.check import Discrepancy, check
from tests.funding.conftest import Bank, open_bank
from tests.processes.conftest import Network
from tests.processes.test_tasks import wait_until
from tests.processes.till import Mall, Till, withdrawal
from wire.ids import AccountId, TransferId
from wire.messages import Completion, Decision, Level, TerminalKind

CARD = read_card("4242 4242 4242 4242", "12/34")
AMOUNT_MINOR = 2000


@pytest.fixture(scope="module")
def bank() -> Iterator[Bank]:
    with open_bank() as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(home: Path, bank: Bank) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COUNTENANCE_DATABASE_URL", raising=False)
        patch.delenv("COUNTENANCE_BROKER_URL", raising=False)
        patch.setenv("COUNTENANCE_ISO8583_URL", f"tcp://127.0.0.1:{bank.port}")
        with set_stage(home, level=Level.NONE, worker=False) as running:
            yield running


@pytest.fixture(scope="module")
def atm(stage: Stage) -> tuple[Till, int]:
    """A cash machine, and a customer of the bank."""
    mall, network = Mall(stage.house), Network(stage.url)
    mall.enrol(mall.add_till(TerminalKind.ENROLMENT, network.line()), 1)
    ((seed, account),) = mall.accounts.items()
    attach(stage, account)
    return mall.add_till(TerminalKind.ATM, network.line()), seed


def attach(stage: Stage, account: AccountId) -> None:
    house = stage.house
    assert house.operations.attach_source(account, CARD, house.processors) is None


def sides(stage: Stage, decision: Decision) -> tuple[str, str]:
    with stage.house.database.transaction() as conn:
        row = conn.execute(
            "SELECT state, side FROM transfers JOIN processor_entries USING (transfer_id)"
            " WHERE transfer_id = %s",
            (TransferId(decision.attempt.raw).raw,),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def checked(stage: Stage) -> tuple[Discrepancy, ...]:
    with stage.house.database.transaction() as conn:
        return check(conn)


def test_cash_is_drawn_and_what_failed_is_reversed_by_the_next_worker(
    stage: Stage, bank: Bank, atm: tuple[Till, int]
) -> None:
    till, seed = atm
    drawn, failed = (till.prepare(withdrawal(AMOUNT_MINOR), seed) for _ in range(2))
    given, kept = drawn.decide(), failed.decide()
    assert given.approved
    assert kept.approved
    drawn.confirm()
    failed.confirm(Completion.FAILED)
    bank.behave("late:30", "ok")
    stage.start_worker()
    wait_until("the reversal is asked for", lambda: "0400" in bank.books["seen"])
    stage.kill_workers()
    assert sides(stage, kept) == ("voided", "captured")
    with stage.house.database.transaction() as conn:
        conn.execute("UPDATE processor_entries SET leased_until_ms = 0")  # or wait for 30 s
    for _ in range(2):
        stage.start_worker()
    wait_until("it is reversed", lambda: sides(stage, kept) == ("voided", "released"))
    stage.kill_workers()
    assert sides(stage, given) == ("posted", "captured")
    assert list(bank.books["taken"].values()) == [AMOUNT_MINOR]
    assert "0401" in bank.books["seen"]
    assert checked(stage) == ()


def test_a_service_that_is_killed_while_the_bank_thinks_gives_no_cash_away(
    stage: Stage, bank: Bank, atm: tuple[Till, int]
) -> None:
    till, seed = atm
    before, requests = bank.books["taken"], bank.books["seen"].count("0200")
    bank.behave("late:30", "ok")
    cut = till.prepare(withdrawal(AMOUNT_MINOR), seed)

    def kill_when_asked() -> None:
        wait_until("the bank is asked", lambda: bank.books["seen"].count("0200") > requests)
        stage.kill_server()
        stage.start_server()
        stage.wait_until_ready()
        with stage.house.database.transaction() as conn:
            conn.execute("UPDATE processor_entries SET leased_until_ms = 0")

    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(kill_when_asked)
        decision = cut.decide()
        killed.result()
    assert not decision.approved
    stage.start_worker()
    wait_until("it is reversed", lambda: sides(stage, decision) == ("voided", "released"))
    stage.kill_workers()
    assert bank.books["taken"] == before
    assert checked(stage) == ()
