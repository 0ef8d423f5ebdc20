"""``countenance account``: customers. They enrol at an enrolment terminal."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import IdType, MoneyType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.customers import acts as customers
from service.enrolment import accounts
from service.funding.processor import Card, StripeSource
from service.funding.sources import processor_of, read_card
from service.ledger import store as ledger
from service.operators.acts import Refusal
from wire.ids import AccountId
from wire.money import Money

ACCOUNT = IdType(AccountId)
_WHY_NO_DURESS_PIN = {
    Refusal.PIN_NOT_SET: "there is no such account, or it has no such PIN",
    Refusal.PIN_NOT_ACCEPTED: "4 to 12 digits, and not the account's own PIN",
}


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


@account.command("attach-source")
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
@click.option("--stripe", "method", metavar="PM", help="A payment method of Stripe's, pm_….")
@click.option("--card", is_flag=True, help="A card of the bank's host; it is asked for, unseen.")
def attach_source(found: AccountId, method: str | None, card: bool) -> None:
    """Have outside money pay from now on, in place of the account's wallet."""
    if (method is None) != card:
        raise click.UsageError("give --stripe, or --card")
    try:
        source = StripeSource(method=method) if method is not None else _ask_card()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with open_house() as house:
        refusal = house.operations.attach_source(found, source, house.processors)
    if refusal is not None:
        fail("Nothing was attached", why=refusal.value, todo="see docs/funding.md")
    console.print(f"[green]✓[/] {found} pays by {processor_of(source)}")


def _ask_card() -> Card:
    number = click.prompt("Card number", hide_input=True)
    return read_card(number, click.prompt("Expiry (MM/YY)", hide_input=True))


@account.command("detach-source")
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def detach_source(found: AccountId) -> None:
    """Have the account's own wallet pay again."""
    with open_house() as house:
        done = house.operations.detach_source(found)
    if not done:
        fail("No such account, or its wallet pays", todo="countenance account list")
    console.print(f"[green]✓[/] {found} pays by its wallet")


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def suspend(found: AccountId) -> None:
    """Deny every attempt on the account from now on."""
    _set(found, active=False)


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def resume(found: AccountId) -> None:
    """Lift a suspension, or a lockout of the face."""
    _set(found, active=True)


@account.command("unlock-pin")
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
def unlock_pin(found: AccountId) -> None:
    """Lift a lockout of the PIN, once the customer has shown who they are."""
    with open_house() as house:
        done = house.operations.unlock_pin(found)
    if not done:
        fail("No such account, or it was erased", todo="countenance account list")
    console.print(f"[green]✓[/] the PIN of {found} may be tried again")


def _set(found: AccountId, *, active: bool) -> None:
    with open_house() as house:
        done = house.operations.set_account(found, active=active)
    if not done:
        fail("No such account, or it was erased", todo="countenance account list")
    console.print(f"[green]✓[/] {found} is {'active' if active else 'suspended'}")


@account.command("duress-pin")
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
@click.option("--remove", is_flag=True, help="The account has none any more.")
def duress_pin(found: AccountId, remove: bool) -> None:
    """Set a second PIN, which does what the first does, and silently calls for help."""
    pin = None
    if not remove:
        pin = click.prompt("Duress PIN", hide_input=True, confirmation_prompt=True, err=True)
    with open_house() as house:
        refusal = house.operations.set_duress_pin(found, pin)
    if refusal is not None:
        fail("Nothing was changed", why=_WHY_NO_DURESS_PIN[refusal])
    console.print(f"[green]✓[/] {found} has {'no' if remove else 'a'} duress PIN")


@account.command()
@click.argument("found", metavar="ACCOUNT", type=ACCOUNT)
@as_json
def link(found: AccountId, as_json: bool) -> None:
    """Print a link to the customer's own page, for whoever has shown to be the customer."""
    with open_house() as house:
        origin = house.settings.console_origin
        code = customers.of(house.operations).make_link(found)
    if code is None:
        fail("No such account, or it was erased", todo="countenance account list")
    address = f"{origin or ''}/me/enter#{code}"
    if as_json:
        emit_json({"account": str(found), "link": address})
        return
    said = f"open this link within half an hour, once: {address}"
    console.print(said, highlight=False, soft_wrap=True)
    if origin is None:
        console.print("[yellow]there is no such page yet: set COUNTENANCE_CONSOLE_ORIGIN[/]")


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
