"""``countenance ledger``: the money.

Exit codes: 0 it adds up, 1 it does not, 2 usage, 4 the database is not available.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256

import click
from rich.table import Table

from countenance.arguments import IdType, MoneyType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.ledger.check import FOUND_MAX, Discrepancy, Total, check, totals
from service.ledger.rules import Refusal
from wire.ids import TransferId
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
