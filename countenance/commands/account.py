"""``countenance account``: customers. They enrol at an enrolment terminal."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import IdType, MoneyType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.enrolment import accounts
from service.ledger import store as ledger
from wire.ids import AccountId
from wire.money import Money

ACCOUNT = IdType(AccountId)


@click.group()
def account() -> None:
    """Customers."""


@account.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def list_accounts(limit: int, as_json: bool) -> None:
    """The newest accounts, their references and money."""
    with open_house() as house, house.database.transaction() as conn:
        rows = [
            (found, state, references, ledger.wallet_of(conn, found))
            for found, state, references in accounts.list_accounts(conn, limit=limit)
        ]
    if as_json:
        emit_json(
            [
                {
                    "account": str(found),
                    "state": state,
                    "references": references,
                    "available_minor": wallet.available_minor if wallet else None,
                    "currency": wallet.currency if wallet else None,
                }
                for found, state, references, wallet in rows
            ]
        )
        return
    table = Table("account", "state", "references", "available")
    for found, state, references, wallet in rows:
        money = f"{wallet.available_minor} {wallet.currency} (minor)" if wallet else "-"
        table.add_row(str(found), state, str(references), money)
    console.print(table)


@account.command("top-up")
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
@click.argument("money", metavar="AMOUNT", type=MoneyType())
def top_up(found: AccountId, money: Money) -> None:
    """Put money into a wallet: countenance account top-up acc_… '50 EUR'."""
    with open_house() as house:
        denial = house.operations.top_up(found, money)
    if denial is not None:
        fail("Nothing was booked", why=denial.value, todo="countenance account list")
    console.print(f"[green]✓[/] {money} into {found}")


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def suspend(found: AccountId) -> None:
    """Deny every attempt on the account from now on."""
    _set(found, active=False)


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def resume(found: AccountId) -> None:
    """Lift a suspension or a lockout."""
    _set(found, active=True)


def _set(found: AccountId, *, active: bool) -> None:
    with open_house() as house:
        done = house.operations.set_account(found, active=active)
    if not done:
        fail("No such account, or it was erased", todo="countenance account list")
    console.print(f"[green]✓[/] {found} is {'active' if active else 'suspended'}")


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
@click.confirmation_option(prompt="References, claims and PIN will be gone for ever. Go on?")
def erase(found: AccountId) -> None:
    """Destroy the account's data key, references, claims and PIN."""
    with open_house() as house:
        leaf_hash = house.operations.erase_account(found)
    if leaf_hash is None:
        fail("No such account, or it was erased before", todo="countenance account list")
    console.print(f"[green]✓[/] {found} is erased; the log keeps it as {leaf_hash.hex()}")
