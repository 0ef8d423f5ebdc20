"""``countenance settlement``: what merchants' days came to.

Exit codes: 0 it adds up, 1 it does not or there is none, 2 usage, 4 the database is not available.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import click
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.clock import unix_ms
from service.operators.pages import PAGE_MAX
from service.payments.settlement import (
    Settlement,
    due,
    find,
    lines,
    list_settlements,
    prove,
    settle,
    write_file,
)
from wire.ids import MerchantId
from wire.money import MINOR_DIGITS

MERCHANT = click.argument("merchant", type=IdType(MerchantId))


@click.group()
def settlement() -> None:
    """Daily settlements of merchants."""


@settlement.command()
def make() -> None:
    """Settle every day that is over and is not settled; the worker does it every hour."""
    with open_house() as house:
        with house.database.transaction() as conn:
            days = due(conn, now_ms=unix_ms())
        for merchant, day in days:
            with house.database.transaction() as conn:
                settle(conn, merchant, day, now_ms=unix_ms())
    console.print(f"[green]✓[/] {len(days)} settled")


@settlement.command("list")
@MERCHANT
@click.option("--limit", default=31, show_default=True, type=click.IntRange(1, PAGE_MAX))
@as_json
def list_command(merchant: MerchantId, limit: int, as_json: bool) -> None:
    """A merchant's days, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        found = list_settlements(conn, merchant, before=date.max, limit=limit)
    if as_json:
        emit_json([_told(each) for each in found])
        return
    table = Table("day", "payments", "refunds", "other", "net", "currency")
    for each in found:
        sums, digits = each.totals, MINOR_DIGITS[each.currency]
        amounts = (sums.payments_minor, sums.refunds_minor, sums.others_minor, sums.net_minor)
        table.add_row(
            str(each.day),
            *(f"{Decimal(minor).scaleb(-digits):,.{digits}f}" for minor in amounts),
            each.currency,
        )
    console.print(table)


@settlement.command("file")
@MERCHANT
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
def file_command(merchant: MerchantId, day: datetime) -> None:
    """A settled day's postings as CSV, on standard output."""
    with open_house() as house, house.database.transaction() as conn:
        wanted = day.replace(tzinfo=UTC).date()
        if find(conn, merchant, wanted) is None:
            fail("This day is not settled", todo="countenance settlement make")
        click.echo(write_file(lines(conn, merchant, wanted)), nl=False)


@settlement.command()
@as_json
def check(as_json: bool) -> None:
    """Prove from the postings that each merchant's settlements are its money."""
    with open_house() as house, house.database.transaction() as conn:
        found = prove(conn)
    if as_json:
        emit_json(
            [
                {
                    "merchant": str(each.merchant),
                    "settled_minor": each.settled_minor,
                    "posted_minor": each.posted_minor,
                }
                for each in found
            ]
        )
    if found:
        first = found[0]
        fail(
            f"Settlements of {len(found)} merchants are not their postings",
            why=f"{first.merchant}: {first.settled_minor} settled, {first.posted_minor} posted",
            todo="countenance ledger check; then compare the days' files",
        )
    if not as_json:
        console.print("[green]✓[/] what was settled is what was posted")


def _told(found: Settlement) -> dict[str, object]:
    return {
        "day": str(found.day),
        "currency": found.currency,
        "payments_minor": found.totals.payments_minor,
        "refunds_minor": found.totals.refunds_minor,
        "others_minor": found.totals.others_minor,
        "net_minor": found.totals.net_minor,
        "file_sha256": found.digest.hex(),
    }
