"""``countenance terminal add | list | revoke | accept-camera``: what operators do, on the
service's machine."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.terminals import store
from wire.ids import DoorId, MerchantId, TerminalId
from wire.messages import TerminalKind

SITE_CHARS_MAX = 80
KINDS = [kind.name.lower() for kind in TerminalKind]


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--merchant", type=IdType(MerchantId), help="Whose store it is.")
@click.option("--door", type=IdType(DoorId), help="The door that it opens.")
@click.option("--site", default="", help="Where it stands; the population of each site is checked.")
@as_json
def add(
    kind: str,
    name: str,
    merchant: MerchantId | None,
    door: DoorId | None,
    site: str,
    as_json: bool,
) -> None:
    """Add a terminal and print its one-time registration code."""
    wanted = TerminalKind[kind.upper()]
    if (wanted is TerminalKind.STORE) != (merchant is not None):
        raise click.UsageError("a store, and only a store, has --merchant")
    if (wanted is TerminalKind.DOOR) != (door is not None):
        raise click.UsageError("a door, and only a door, has --door")
    if len(site) > SITE_CHARS_MAX or not site.isprintable():
        raise click.UsageError(f"--site is printable text of at most {SITE_CHARS_MAX} characters")
    with open_house() as house:
        found, code = house.operations.add_terminal(
            wanted, name, merchant=merchant, door=door, site=site
        )
    if as_json:
        emit_json({"terminal": str(found), "code": code})
    else:
        console.print(f"[green]✓[/] {found}")
        console.print(f"  code [bold]{code}[/], for one terminal within a day", highlight=False)


@click.command("list")
@as_json
def list_terminals(as_json: bool) -> None:
    """All terminals."""
    with open_house() as house, house.database.transaction() as conn:
        rows = store.list_terminals(conn)
    states = {found.terminal: _state(found) for found in rows}
    if as_json:
        emit_json(
            [
                {
                    "terminal": str(found.terminal),
                    "kind": found.kind.name.lower(),
                    "name": found.name,
                    "site": found.site,
                    "state": states[found.terminal],
                }
                for found in rows
            ]
        )
        return
    table = Table("terminal", "kind", "name", "site", "state")
    for found in rows:
        table.add_row(
            str(found.terminal),
            found.kind.name.lower(),
            found.name,
            found.site,
            states[found.terminal],
        )
    console.print(table)


def _state(found: store.Terminal) -> str:
    if found.revoked:
        return "revoked"
    return "registered" if found.public_key else "waiting for its code"


@click.command()
@click.argument("found", metavar="TERMINAL", type=IdType(TerminalId))
def revoke(found: TerminalId) -> None:
    """Accept nothing more from a terminal that was lost or sold."""
    with open_house() as house:
        done = house.operations.revoke_terminal(found)
    if not done:
        fail("No such terminal, or it was revoked before", todo="countenance terminal list")
    console.print(f"[green]✓[/] {found} is revoked")


@click.command("accept-camera")
@click.argument("found", metavar="TERMINAL", type=IdType(TerminalId))
def accept_camera(found: TerminalId) -> None:
    """Accept a terminal's new camera: that of its next live attempt.

    Use it after changing the camera, with the new one in place.
    """
    with open_house() as house:
        done = house.operations.accept_camera(found)
    if not done:
        fail("No such terminal, or it has no camera yet", todo="countenance terminal list")
    console.print(f"[green]✓[/] {found} is pinned to the camera of its next live attempt")
