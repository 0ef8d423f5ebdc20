"""``countenance door``."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail
from service.access import store
from service.access.rules import Grant
from service.access.schedule import Schedule, ScheduleError, find_zone
from wire.ids import AccountId, DoorId

FOREVER_MS = 2**50


@click.group()
def door() -> None:
    """Doors and who may open them."""


@door.command()
@click.argument("name")
@as_json
def add(name: str, as_json: bool) -> None:
    """Add a door; its terminal is then added with `countenance terminal add door`."""
    with open_house() as house:
        found = house.operations.add_door(name)
    if as_json:
        emit_json({"door": str(found)})
    else:
        console.print(f"[green]✓[/] {found}")


@door.command("list")
@as_json
def list_doors(as_json: bool) -> None:
    """All doors."""
    with open_house() as house, house.database.transaction() as conn:
        rows = store.list_doors(conn)
    if as_json:
        emit_json([{"door": str(each.door), "name": each.name} for each in rows])
        return
    table = Table("door", "name")
    for each in rows:
        table.add_row(str(each.door), each.name)
    console.print(table)


@door.command()
@click.argument("found", metavar="DOOR", type=IdType(DoorId))
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
@click.option("--schedule", default="always", help="'Mon-Fri 08:00-18:00; Sat 09:00-13:00'")
@click.option("--zone", default="UTC", help="The schedule's time zone, like Europe/Berlin.")
@click.option("--until", type=click.DateTime(), help="When the grant ends (UTC).")
def grant(
    found: DoorId, account: AccountId, schedule: str, zone: str, until: datetime | None
) -> None:
    """Let an account through a door, or change when."""
    end = until.replace(tzinfo=UTC).timestamp() * 1000 if until else FOREVER_MS
    try:
        wanted = Grant(
            schedule=Schedule.parse(schedule),
            zone=find_zone(zone),
            valid_from_ms=0,
            valid_until_ms=int(end),
        )
    except ScheduleError as error:
        fail("The schedule was not understood", why=str(error), exit_code=2)
    with open_house() as house:
        with house.database.transaction() as conn:
            known = {each.door for each in store.list_doors(conn)}
        if found not in known:
            fail("No such door", todo="countenance door list")
        house.operations.grant(account, found, wanted)
    console.print(f"[green]✓[/] {account}: {wanted.schedule} ({zone})")


@door.command()
@click.argument("found", metavar="DOOR", type=IdType(DoorId))
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
def revoke(found: DoorId, account: AccountId) -> None:
    """Take a grant back; the next attempt is denied."""
    with open_house() as house:
        done = house.operations.revoke_grant(account, found)
    if not done:
        fail("There is no such grant")
    console.print("[green]✓[/] revoked")
