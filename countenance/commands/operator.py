"""``countenance operator``: who may use the console."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.operators import people, staff
from service.operators.people import OperatorId, Role
from wire.ids import MerchantId


@click.group()
def operator() -> None:
    """Who may use the console: add, list, invite again."""


@operator.command()
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice([str(role) for role in Role]),
    default=["admin"], show_default=True,
)  # fmt: skip
@click.option(
    "--merchant", type=IdType(MerchantId), help="Of the role merchant: whose payments it sees."
)
@as_json
def add(name: str, roles: tuple[str, ...], merchant: MerchantId | None, as_json: bool) -> None:
    """Add an operator and print a link that lets them make a passkey, once."""
    if not 1 <= len(name) <= 80 or not name.isprintable():
        fail("The operator was not added", why="a name has 1 to 80 printable characters")
    wanted = {Role(role) for role in roles}
    with open_house() as house:
        try:
            found, code = staff.of(house.operations).add_operator(name, wanted, merchant=merchant)
        except ValueError as error:
            fail("The operator was not added", why=str(error))
        _tell(found, code, house.settings.console_origin, as_json)


@operator.command()
@click.argument("operator", type=IdType(OperatorId))
@as_json
def invite(operator: OperatorId, as_json: bool) -> None:
    """A new link for an operator who lost every passkey; the old ones stop working."""
    with open_house() as house:
        code = staff.of(house.operations).invite_operator(operator)
        if code is None:
            fail("Nobody was invited", why="there is no such operator, or it is disabled")
        _tell(operator, code, house.settings.console_origin, as_json)


def _tell(found: OperatorId, code: str, origin: str | None, as_json: bool) -> None:
    link = f"{origin or ''}/console/join/{code}"
    if as_json:
        emit_json({"operator": str(found), "link": link})
        return
    said = f"{found}\nopen this link within a day, once: {link}"
    console.print(said, highlight=False, soft_wrap=True)
    if origin is None:
        console.print("[yellow]there is no console yet: set COUNTENANCE_CONSOLE_ORIGIN[/]")


@operator.command(name="list")
@as_json
def list_operators(as_json: bool) -> None:
    """Everybody, disabled ones too."""
    with open_house() as house, house.database.transaction() as conn:
        found = people.list_operators(conn)
    if as_json:
        emit_json(
            {
                "operators": [
                    {
                        "operator": str(each.operator),
                        "name": each.name,
                        "roles": sorted(each.roles),
                        "disabled": each.disabled,
                    }
                    for each in found
                ]
            }
        )
        return
    table = Table("operator", "name", "roles", "state")
    for each in found:
        state = "[red]disabled[/]" if each.disabled else "[green]active[/]"
        table.add_row(str(each.operator), each.name, ", ".join(sorted(each.roles)), state)
    console.print(table)
