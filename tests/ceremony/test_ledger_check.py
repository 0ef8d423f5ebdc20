"""What the check of the ledger finds: rows of real attempts, and one of them tampered with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from countenance.cli import main
from service.ledger import store as ledger
from service.ledger.check import Discrepancy, check, check_and_record, last_check, totals
from terminal_client.journal import Entry, Event, Journal
from tests.ceremony.house import NOW_MS, House, enrol, payment, probe, withdrawal
from wire.ids import AccountId, AttemptId, Id, TerminalId, TransferId
from wire.messages import Completion, TerminalKind
from wire.money import Money

STORE, ATM = TerminalKind.STORE, TerminalKind.ATM
DAY = "2027-01-15"


@dataclass
class Day:
    """A customer's top-up, payment, refused payment, withdrawal and one that failed."""

    house: House
    account: AccountId
    top_up: TransferId
    paid: AttemptId
    refused: AttemptId
    drawn: AttemptId
    failed: AttemptId
    atm: TerminalId

    def names(self) -> dict[str, Id | str]:
        merchant = f"merchant {self.house.merchant}"
        return {
            "top_up": self.top_up,
            "paid": TransferId(self.paid.raw),
            "paid attempt": self.paid,
            "refused": TransferId(self.refused.raw),
            "drawn": TransferId(self.drawn.raw),
            "drawn attempt": self.drawn,
            "failed attempt": self.failed,
            "wallet": f"wallet {self.account}",
            "merchant": merchant,
        }


@pytest.fixture
def day(house: House) -> Day:
    account, transfer = enrol(house, 1), TransferId.new()
    money = Money(amount_minor=50_000, currency="EUR")
    assert house.operations.top_up(account, money, transfer=transfer) is None
    till, atm = house.add_terminal(STORE), house.add_terminal(ATM)
    paid = till.attempt(payment(house, 700), probe(1))
    refused = till.attempt(payment(house, 700), probe(2, claim="card:1"))
    drawn, failed = (atm.attempt(withdrawal(), probe(1, pin="2468")) for _ in range(2))
    atm.confirm(drawn.attempt, Completion.COMPLETED)
    atm.confirm(failed.attempt, Completion.FAILED)
    assert (paid.approved, refused.approved, drawn.approved, failed.approved) == (1, 0, 1, 1)
    return Day(house, account, transfer, paid.attempt, refused.attempt, drawn.attempt,
               failed.attempt, atm.terminal)  # fmt: skip


def found(house: House) -> tuple[Discrepancy, ...]:
    with house.database.transaction() as conn:
        return check(conn)


def test_an_honest_day_adds_up(day: Day) -> None:
    assert found(day.house) == ()
    with day.house.database.transaction() as conn:
        sums = {each.kind: each.balance_minor for each in totals(conn)}
    assert sums == {"cassette": 2000, "funding": -50_000, "merchant": 700, "wallet": 47_300}


WALLET = "(SELECT ledger_account_id FROM ledger_accounts WHERE kind = 'wallet')"
MERCHANT = "(SELECT ledger_account_id FROM ledger_accounts WHERE kind = 'merchant')"


@pytest.mark.parametrize(
    ("statement", "what", "row"),
    [
        (
            "UPDATE postings SET amount_minor = amount_minor + 1 WHERE transfer_id = %(paid)s"
            " AND amount_minor > 0",
            "postings of a transfer do not sum to zero",
            "paid",
        ),
        (
            "UPDATE transfers SET amount_minor = 701 WHERE transfer_id = %(paid)s",
            "a posted transfer is not in its two accounts",
            "paid",
        ),
        (
            "DELETE FROM postings WHERE transfer_id = %(paid)s",
            "a posted transfer is not in its two accounts",
            "paid",
        ),
        (
            "UPDATE transfers SET state = 'voided', expires_at_ms = 1 WHERE transfer_id = %(paid)s",
            "a transfer that was not posted has postings",
            "paid",
        ),
        (
            "UPDATE ledger_accounts SET currency = 'USD' WHERE kind = 'merchant'",
            "a transfer between two currencies",
            "paid",
        ),
        (
            "INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,"
            " created_at_ms, closed_at_ms, refers_to) SELECT decode(repeat('07', 16), 'hex'),"
            f" 'refund', 'posted', {MERCHANT}, {WALLET}, 701, 1, 1, %(paid)s",
            "refunds of more than was posted",
            "paid",
        ),
        (
            "UPDATE ledger_accounts SET balance_minor = balance_minor + 1 WHERE kind = 'wallet'",
            "a wallet's balance differs from its postings",
            "wallet",
        ),
        (
            "UPDATE ledger_accounts SET held_minor = 1 WHERE kind = 'wallet'",
            "a wallet's held money differs from its holds",
            "wallet",
        ),
        (
            "UPDATE transfers SET act = NULL WHERE transfer_id = %(top_up)s",
            "a transfer that neither an attempt nor an act explains",
            "top_up",
        ),
        (
            "DELETE FROM attempts WHERE attempt_id = %(paid)s",
            "a transfer that neither an attempt nor an act explains",
            "paid",
        ),
        (
            "UPDATE transfers SET act = (SELECT leaf_hash FROM audit_entries LIMIT 1)"
            " WHERE transfer_id = %(paid)s",
            "a transfer that both an attempt and an act explain",
            "paid",
        ),
        (
            "UPDATE attempts SET denial = 'no_match' WHERE attempt_id = %(paid)s",
            "a transfer of an attempt that was denied",
            "paid",
        ),
        (
            "UPDATE attempts SET account_id = decode(repeat('07', 16), 'hex')"
            " WHERE attempt_id = %(paid)s",
            "a transfer from another account's wallet than was verified",
            "paid",
        ),
        (
            "DELETE FROM transfers WHERE transfer_id = %(paid)s",
            "an approved attempt without its transfer",
            "paid attempt",
        ),
        (
            "UPDATE attempts SET denial = NULL WHERE attempt_id = %(refused)s",
            "an approved attempt without its transfer",
            "refused attempt",
        ),
        (
            "UPDATE transfers SET state = 'expired' WHERE transfer_id = %(drawn)s",
            "cash was handed out, but its hold is not posted",
            "drawn",
        ),
        (
            "UPDATE attempts SET completion = 2 WHERE attempt_id = %(drawn)s",
            "no cash was handed out, but its hold is posted",
            "drawn",
        ),
        (
            "UPDATE attempts SET decision = (SELECT decision FROM attempts"
            " WHERE attempt_id = %(drawn)s) WHERE attempt_id = %(paid)s",
            "a transfer is not what the signed decision says",
            "paid",
        ),
        (
            "UPDATE transfers SET amount_minor = 701 WHERE transfer_id = %(paid)s",
            "a transfer is not what the signed decision says",
            "paid",
        ),
        (
            "UPDATE attempts SET terminal_id = decode(repeat('07', 16), 'hex')"
            " WHERE attempt_id = %(drawn)s",
            "a transfer is not what the signed decision says",
            "drawn",
        ),
        (
            "UPDATE attempts SET decision = '\\x00' WHERE attempt_id = %(paid)s",
            "a transfer is not what the signed decision says",
            "paid",
        ),
        (
            "UPDATE attempts SET completed_minor = 500 WHERE attempt_id = %(drawn)s",
            "another amount of a hold is posted than was handed out",
            "drawn",
        ),
        (
            "UPDATE transfers SET amount_minor = 50001 WHERE transfer_id = %(top_up)s",
            "a transfer is not what the log says of its act",
            "top_up",
        ),
        (
            "UPDATE transfers SET act = (SELECT leaf_hash FROM audit_entries"
            " ORDER BY entry_id LIMIT 1) WHERE transfer_id = %(top_up)s",
            "a transfer is not what the log says of its act",
            "top_up",
        ),
    ],
)
def test_what_does_not_add_up_is_named_to_the_row(
    day: Day, url: str, statement: str, what: str, row: str
) -> None:
    names = day.names() | {"refused attempt": day.refused}
    with psycopg.connect(url) as conn:
        conn.execute("SET session_replication_role = replica")  # whoever owns the database may
        raw = {name: each.raw for name, each in names.items() if isinstance(each, Id)}
        assert conn.execute(statement, raw).rowcount > 0
    assert Discrepancy(what=what, row=str(names[row])) in found(day.house)


def test_late_cash_is_booked_once_and_then_adds_up(day: Day, run: Callable[..., Result]) -> None:
    house = day.house
    atm = house.add_terminal(ATM)
    late = atm.attempt(withdrawal(), probe(1, pin="2468"))
    transfer = str(TransferId(late.attempt.raw))
    assert run("book-cash", transfer).exit_code == 1
    house.clock.now_ms += 3_600_000
    atm.confirm(late.attempt, Completion.COMPLETED)
    with house.database.transaction() as conn:
        assert len(ledger.expire_holds(conn, now_ms=house.clock())) == 1
    assert found(house) == (
        Discrepancy(what="cash was handed out, but its hold is not posted", row=transfer),
    )
    for _ in range(2):
        told = run("book-cash", transfer)
        assert told.exit_code == 0, told.output
    assert found(house) == ()
    with house.database.transaction() as conn:
        sums = {each.kind: each.balance_minor for each in totals(conn)}
    assert (sums["suspense"], sums["cassette"]) == (-2000, 4000)


def test_late_cash_is_booked_in_the_part_that_was_handed_out(
    day: Day, run: Callable[..., Result]
) -> None:
    house = day.house
    atm = house.add_terminal(ATM)
    late = atm.attempt(withdrawal(), probe(1, pin="2468"))
    house.clock.now_ms += 3_600_000
    atm.confirm(late.attempt, Completion.COMPLETED, amount_minor=500)
    with house.database.transaction() as conn:
        assert ledger.expire_holds(conn, now_ms=house.clock()) == [TransferId(late.attempt.raw)]
    assert run("book-cash", str(TransferId(late.attempt.raw))).exit_code == 0
    with house.database.transaction() as conn:
        assert ledger.earned_minor(conn, atm.terminal) == 500


def journal_of(folder: Path, given: dict[AttemptId, int]) -> list[str]:
    """A machine's journal of 1.00 notes."""
    journal = Journal(folder)
    for attempt, minor in given.items():
        for event, number in ((Event.ORDERED, 20), (Event.HANDED, minor // 100)):
            journal.append(
                Entry(
                    event=event,
                    at_ms=NOW_MS,
                    at_hand={100: 0},
                    notes={100: number},
                    attempt=attempt,
                    amount_minor=2000,
                    currency="EUR",
                )
            )
    return [str(path) for path in journal.files]


def test_a_machines_day_is_compared_with_its_journal(
    day: Day, run: Callable[..., Result], tmp_path: Path
) -> None:
    atm = str(day.atm)

    def told(name: str, given: dict[AttemptId, int]) -> tuple[int, dict[str, object]]:
        (tmp_path / name).mkdir()
        files = journal_of(tmp_path / name, given)
        result = run("atm", atm, DAY, *files, "--json")
        return result.exit_code, json.loads(result.stdout.splitlines()[-1])

    code, answer = told("right", {day.drawn: 2000, day.failed: 0})
    assert (code, answer) == (
        0,
        {
            "approved": 2,
            "booked_minor": 2000,
            "journal_minor": 2000,
            "cassette_minor": 2000,
            "mismatches": [],
        },
    )
    stranger = AttemptId.new()
    code, answer = told("wrong", {day.failed: 1000, stranger: 2000})
    assert code == 1
    assert [(each["attempt"], each["what"]) for each in answer["mismatches"]] == [
        (str(day.failed), "booked 0, handed out 1000 minor units"),
        (str(stranger), "the journal has it, and no withdrawal was approved"),
        (str(day.drawn), "the books say it was handed out, and the journal does not have it"),
    ]
    code, answer = told("part", {day.drawn: 500, day.failed: 0})
    assert answer["mismatches"] == [
        {"attempt": str(day.drawn), "what": "booked 2000, handed out 500 minor units"}
    ]
    for_people = run("atm", atm, DAY)
    assert for_people.exit_code == 1
    assert "do not agree" in for_people.output


def test_a_hold_that_was_never_confirmed_and_a_changed_journal_are_named(
    day: Day, run: Callable[..., Result], tmp_path: Path
) -> None:
    machine = day.house.add_terminal(ATM)
    open_one = machine.attempt(withdrawal(), probe(1, pin="2468"))
    (file,) = journal_of(tmp_path, {open_one.attempt: 2000})
    told = run("atm", str(machine.terminal), DAY, file)
    assert told.exit_code == 1
    assert "still pending" in told.output
    content = Path(file).read_text()
    Path(file).write_text(content.replace('"100":20', '"100":19', 1))
    told = run("atm", str(machine.terminal), DAY, file)
    assert told.exit_code == 1
    assert "line 2 is damaged or was changed" in told.output.replace("\n", " ")


def test_an_operator_refunds_what_was_paid_and_the_log_says_so(
    day: Day, run: Callable[..., Result]
) -> None:
    paid, own = str(TransferId(day.paid.raw)), str(TransferId.new())
    for _ in range(2):
        told = run("refund", paid, "5.00 EUR", "--id", own)
        assert told.exit_code == 0, told.output
    for wrong in ([paid, "2.01 EUR"], [paid, "1 USD"], [str(TransferId.new()), "1 EUR"],
                  [paid, "1 EUR", "--id", own], [str(day.top_up), "1 EUR"]):  # fmt: skip
        told = run("refund", *wrong)
        assert told.exit_code == 1, told.output
        assert "Nothing was booked" in told.output
    assert found(day.house) == ()
    with day.house.database.transaction() as conn:
        assert ledger.earned_minor(conn, day.house.merchant) == 200


def test_the_nightly_check_is_a_metric(day: Day, url: str) -> None:
    house = day.house

    def metrics() -> list[str]:
        lines: list[str] = house.client().get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith("countenance_ledger")]

    assert metrics() == []
    with house.database.transaction() as conn:
        assert check_and_record(conn, now_ms=1_800_000_000_000) is not None
    assert metrics() == [
        "countenance_ledger_discrepancies 0.0",
        "countenance_ledger_checked_timestamp_seconds 1.8e+09",
    ]
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE ledger_accounts SET balance_minor = 1 WHERE kind = 'wallet'")
    with house.database.transaction() as conn:
        check_and_record(conn, now_ms=1_800_000_060_000)
        row = conn.execute("SELECT found FROM ledger_checks ORDER BY checked_at_ms DESC").fetchone()
    assert metrics()[0] == "countenance_ledger_discrepancies 1.0"
    assert row is not None
    assert row[0] == [
        {
            "what": "a wallet's balance differs from its postings",
            "row": f"wallet {day.account}",
        }
    ]
    house.database.close()
    assert metrics() == []


def test_two_checks_do_not_run_beside_each_other(house: House) -> None:
    with house.database.transaction() as first, house.database.transaction() as second:
        assert check_and_record(first, now_ms=1) is not None
        assert check_and_record(second, now_ms=2) is None
    with house.database.transaction() as conn:
        checked = last_check(conn)
    assert checked is not None
    assert checked.at_ms == 1


@pytest.fixture
def run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, ["ledger", *arguments])


def test_the_command_says_that_it_adds_up(day: Day, run: Callable[..., Result]) -> None:
    told = run("check")
    assert told.exit_code == 0
    assert "money balances" in told.output
    assert "473.00" in told.output
    answer = json.loads(run("check", "--json").stdout.splitlines()[-1])
    assert answer["balanced"] is True
    assert {each["kind"]: each["balance_minor"] for each in answer["totals"]} == {
        "cassette": 2000,
        "funding": -50_000,
        "merchant": 700,
        "wallet": 47_300,
    }


def test_the_command_ends_with_1_and_names_the_row(
    day: Day, url: str, run: Callable[..., Result]
) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE ledger_accounts SET balance_minor = 1 WHERE kind = 'wallet'")
    told = run("check", "--json")
    assert told.exit_code == 1
    answer = json.loads(told.stdout.splitlines()[-1])
    assert answer["balanced"] is False
    assert answer["discrepancies"] == [
        {"what": "a wallet's balance differs from its postings", "row": f"wallet {day.account}"}
    ]
    for_people = run("check")
    assert for_people.exit_code == 1
    assert "1 discrepanc" in for_people.output
    assert str(day.account) in for_people.output.replace(os.linesep, "")
