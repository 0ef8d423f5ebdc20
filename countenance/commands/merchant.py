"""``countenance merchant``."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import as_json
from countenance.house import open_house
from countenance.output import console, emit_json
from service.ledger import store as ledger
from wire.ids import MerchantId
from wire.money import MINOR_DIGITS


@click.group()
def merchant() -> None:
    """Merchants."""


@merchant.command()
@click.argument("name")
@click.option("--currency", default="EUR", type=click.Choice(sorted(MINOR_DIGITS)))
@as_json
def add(name: str, currency: str, as_json: bool) -> None:
    """Add a merchant; its stores' terminals are then added with `countenance terminal add`."""
    with open_house() as house:
        found = house.operations.add_merchant(name, currency)
    if as_json:
        emit_json({"merchant": str(found)})
    else:
        console.print(f"[green]✓[/] {found}")


@merchant.command("list")
@as_json
def list_merchants(as_json: bool) -> None:
    """Merchants and what they earned."""
    with open_house() as house, house.database.transaction() as conn:
        query = "SELECT merchant_id, name, currency FROM merchants ORDER BY name, merchant_id"
        rows = [
            (MerchantId(raw), name, currency, ledger.earned_minor(conn, MerchantId(raw)))
            for raw, name, currency in conn.execute(query).fetchall()
        ]
    if as_json:
        names = ("merchant", "name", "currency", "earned_minor")
        emit_json([dict(zip(names, (str(row[0]), *row[1:]), strict=True)) for row in rows])
        return
    table = Table("merchant", "name", "earned (minor)", "currency")
    for found, name, currency, earned in rows:
        table.add_row(str(found), name, str(earned), currency)
    console.print(table)
