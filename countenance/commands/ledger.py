"""``countenance ledger``: the money.

Exit codes: 0 it adds up, 1 it does not, 2 usage, 4 the database is not available.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import click
from rich.table import Table

from countenance.arguments import IdType, MoneyType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.ledger.cash import compare_day
from service.ledger.check import FOUND_MAX, Discrepancy, Total, check, totals
from service.ledger.rules import Refusal
from terminal_client.errors import StorageError
from terminal_client.journal import verify_journal
from wire.ids import AttemptId, TerminalId, TransferId
from wire.money import MINOR_DIGITS, Money


@click.group()
def ledger() -> None:
    """The money."""


@ledger.command("check")
@as_json
def check_command(as_json: bool) -> None:
    """Prove from the rows that money balances and that somebody asked for each transfer."""
    with open_house() as house, house.database.transaction() as conn:
        sums, found = totals(conn), check(conn)
    if as_json:
        emit_json(_summary(sums, found))
    else:
        console.print(_trial_balance(sums))
    if found:
        if not as_json:
            console.print(_findings(found))
        more = "at least " if len(found) == FOUND_MAX else ""
        fail(
            f"The ledger does not add up: {more}{len(found)} discrepancies",
            why=f"the first: {found[0].what} ({found[0].row})",
            todo="stop paying out; compare these rows with the log: countenance audit list",
        )
    if not as_json:
        console.print("[green]✓[/] money balances, and each transfer has its attempt or act")


@ledger.command()
@click.argument("of", metavar="TRANSFER", type=IdType(TransferId))
@click.argument("money", metavar="AMOUNT", type=MoneyType())
@click.option("--id", "transfer", type=IdType(TransferId), help="The refund's own id.")
def refund(of: TransferId, money: Money, transfer: TransferId | None) -> None:
    """Give a payment or withdrawal back, or a part: countenance ledger refund tra_… '5 EUR'."""
    own = transfer or TransferId.new()
    with open_house() as house:
        _report(house.operations.refund(of, money, transfer=own))
    console.print(f"[green]✓[/] {money} of {of} are given back by {own}", soft_wrap=True)


@ledger.command("book-cash")
@click.argument("of", metavar="TRANSFER", type=IdType(TransferId))
def book_cash(of: TransferId) -> None:
    """Book cash that an ATM handed out after its hold had ended: from suspense, once.

    What suspense lacks then is the customer's debt, to be settled outside the ledger.
    """
    with open_house() as house:
        transfer = TransferId(sha256(b"late cash" + of.raw).digest()[:16])
        _report(house.operations.book_late_cash(of, transfer=transfer))
    console.print(f"[green]✓[/] {of} is booked from suspense by {transfer}", soft_wrap=True)


@ledger.command()
@click.argument("terminal", type=IdType(TerminalId))
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("journal", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
def atm(terminal: TerminalId, day: datetime, journal: tuple[Path, ...], as_json: bool) -> None:
    """Compare a cash machine's books of a DAY (UTC) with its JOURNAL's files of that day.

    The files are those that `countenance terminal atm report` names on the device; the next
    day's file may be given, too, for what was decided before midnight and handed out after.
    """
    try:
        given = _given(journal)
    except StorageError as error:
        fail("The journal cannot be believed", why=str(error), todo="look at the machine")
    day_ms = int(day.replace(tzinfo=UTC).timestamp()) * 1000
    with open_house() as house, house.database.transaction() as conn:
        found = compare_day(conn, terminal, day_ms=day_ms, given=given)
    if as_json:
        emit_json(
            {
                "approved": found.approved,
                "booked_minor": found.booked_minor,
                "journal_minor": found.journal_minor,
                "cassette_minor": found.cassette_minor,
                "mismatches": [
                    {"attempt": str(attempt), "what": what} for attempt, what in found.mismatches
                ],
            }
        )
    else:
        table = Table("withdrawals", "booked", "journal", "cassette's account", title=str(terminal))
        sums = (found.approved, found.booked_minor, found.journal_minor, found.cassette_minor)
        table.add_row(*map(str, sums))
        console.print(table)
        for attempt, what in found.mismatches:
            console.print(f"[red]✗[/] {attempt}: {what}", soft_wrap=True)
    if found.mismatches:
        attempt, what = found.mismatches[0]
        fail(
            f"{len(found.mismatches)} withdrawals do not agree",
            why=f"the first: {attempt}: {what}",
            todo="count the cassettes; late cash is booked by: countenance ledger book-cash",
        )
    if not as_json:
        console.print("[green]✓[/] books and journal agree")


def _given(journal: tuple[Path, ...]) -> dict[AttemptId, int]:
    """What was handed out for each attempt that the files name; raises :class:`StorageError`."""
    given: dict[AttemptId, int] = {}
    for _, entries in verify_journal(sorted(journal, key=lambda path: path.name)):
        for entry in entries:
            if entry.attempt is not None:
                given[entry.attempt] = given.get(entry.attempt, 0) + entry.given_minor
    return given


def _report(refusal: Refusal | None) -> None:
    if refusal is not None:
        fail("Nothing was booked", why=refusal.value, todo="countenance ledger check")


def _summary(sums: tuple[Total, ...], found: tuple[Discrepancy, ...]) -> dict[str, object]:
    return {
        "balanced": not found,
        "discrepancies": [{"what": each.what, "row": each.row} for each in found],
        "totals": [
            {
                "kind": each.kind,
                "currency": each.currency,
                "accounts": each.accounts,
                "balance_minor": each.balance_minor,
            }
            for each in sums
        ],
    }


def _trial_balance(sums: tuple[Total, ...]) -> Table:
    table = Table("accounts", "kind", "balance", "currency", title="Trial balance")
    for each in sums:
        digits = MINOR_DIGITS[each.currency]
        balance = f"{Decimal(each.balance_minor).scaleb(-digits):,.{digits}f}"
        table.add_row(str(each.accounts), each.kind, balance, each.currency)
    return table


def _findings(found: tuple[Discrepancy, ...]) -> Table:
    table = Table("what does not add up", "row")
    for each in found:
        table.add_row(each.what, each.row)
    return table
