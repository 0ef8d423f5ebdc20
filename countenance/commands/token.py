"""``countenance token``: who may call the JSON API, and what for."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Column, Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.clock import unix_ms
from service.operators import records, tokens
from service.operators.tokens import MERCHANT_SCOPES, ApiToken, Scope, TokenId
from wire.ids import MerchantId


@click.group()
def token() -> None:
    """API tokens."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="Repeat.",
)
@click.option("--merchant", type=IdType(MerchantId), help="It sees this merchant only.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, tokens.TTL_DAYS_MAX))
@as_json
def add(
    name: str, scopes: tuple[str, ...], merchant: MerchantId | None, days: int, as_json: bool
) -> None:
    """Make a token, and show it this once."""
    wanted = {Scope(scope) for scope in scopes}
    if not 1 <= len(name) <= 80:
        raise click.UsageError("a name has 1 to 80 characters")
    if merchant is not None and not wanted <= MERCHANT_SCOPES:
        raise click.UsageError(f"a merchant's scopes are {', '.join(sorted(MERCHANT_SCOPES))}")
    with open_house() as house:
        if merchant is not None:
            with house.database.transaction() as conn:
                known = records.find_merchant(conn, merchant)
            if known is None:
                fail("No such merchant", todo="countenance merchant list")
        found, secret = house.operations.add_token(name, wanted, merchant=merchant, days=days)
    if as_json:
        emit_json({"token": str(found), "secret": secret})
        return
    console.print(f"[green]✓[/] {found}, for {days} days")
    console.print(f"  [bold]{secret}[/]", highlight=False, soft_wrap=True)
    console.print("  [dim]kept nowhere: store it now, or revoke it and make another[/]")


@token.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@as_json
def list_tokens(limit: int, as_json: bool) -> None:
    """The newest tokens; what they open is not shown, for nobody knows it."""
    with open_house() as house, house.database.transaction() as conn:
        rows = tokens.list_tokens(conn, limit=limit)
    if as_json:
        emit_json(
            [
                {
                    "token": str(found.token),
                    "name": found.name,
                    "scopes": sorted(found.scopes),
                    "merchant": str(found.merchant) if found.merchant else None,
                    "expires_at_ms": found.expires_at_ms,
                    "state": _state(found),
                }
                for found in rows
            ]
        )
        return
    table = Table(
        Column("token", no_wrap=True), "name", "scopes", "merchant", Column("until", no_wrap=True)
    )
    for found in rows:
        until, state = datetime.fromtimestamp(found.expires_at_ms / 1000, UTC), _state(found)
        table.add_row(
            str(found.token),
            found.name,
            " ".join(sorted(found.scopes)),
            str(found.merchant or "-"),
            f"{until:%Y-%m-%d}" if state == "valid" else state,
        )
    console.print(table)


def _state(found: ApiToken) -> str:
    if found.revoked:
        return "revoked"
    return "valid" if found.expires_at_ms > unix_ms() else "expired"


@token.command()
@click.argument("found", metavar="TOKEN", type=IdType(TokenId))
def revoke(found: TokenId) -> None:
    """Refuse a token from its next request on; TOKEN is its id, tok_…"""
    with open_house() as house:
        done = house.operations.revoke_token(found)
    if not done:
        fail("No such token, or it was revoked before", todo="countenance token list")
    console.print(f"[green]✓[/] {found} is revoked")
