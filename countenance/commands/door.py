"""``countenance door``: who may open them is ``countenance access``'s."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail, id_column
from service.access.places import Failure
from service.clock import unix_ms
from service.operators import door_records
from service.operators.pages import PAGE_MAX, walk
from service.terminals.health import DoorHealth
from wire.ids import DoorId, ZoneId

UNWELL = 7
FAILURE = click.Choice([failure.value for failure in Failure])


@click.group()
def door() -> None:
    """Doors."""


@door.command()
@click.argument("name")
@click.option("--zone", type=IdType(ZoneId), help="What one enters by it; else one of its own.")
@click.option(
    "--failure",
    type=FAILURE,
    default=Failure.SECURE.value,
    show_default=True,
    help="Whether the lock lets people through without power, or keeps them out.",
)
@as_json
def add(name: str, zone: ZoneId | None, failure: str, as_json: bool) -> None:
    """Add a door; its terminal is then added with `countenance terminal add door`."""
    with open_house() as house:
        with house.database.transaction() as conn:
            if zone is not None and door_records.find_zone(conn, zone) is None:
                fail("No such zone", todo="countenance access zone list")
        found = house.operations.add_door(name, zone, Failure(failure))
    if as_json:
        emit_json({"door": str(found)})
    else:
        console.print(f"[green]✓[/] {found}")


@door.command()
@click.argument("found", metavar="DOOR", type=IdType(DoorId))
@click.option("--zone", type=IdType(ZoneId), help="What one enters by it from now on.")
@click.option("--failure", type=FAILURE, help="What its lock does without power.")
def change(found: DoorId, zone: ZoneId | None, failure: str | None) -> None:
    """Let a door lead into another zone, or say what its lock does without power."""
    with open_house() as house:
        with house.database.transaction() as conn:
            before = door_records.find_door(conn, found)
            if before is None:
                fail("No such door", todo="countenance door list")
            if zone is not None and door_records.find_zone(conn, zone) is None:
                fail("No such zone", todo="countenance access zone list")
        house.operations.change_door(found, zone or before.zone, Failure(failure or before.failure))
    console.print(f"[green]✓[/] {found}")


@door.command()
@as_json
def status(as_json: bool) -> None:
    """How every door is, by what its terminal last said; 7 where one is unwell."""
    with open_house() as house, house.database.transaction() as conn:
        doors, now_ms = door_records.list_health(conn), unix_ms()
    unwell = [each for each in doors if each.complaints(now_ms)]
    if as_json:
        emit_json([_told(each, now_ms) for each in doors])
    else:
        console.print(_shown(doors, now_ms))
    if unwell:
        raise SystemExit(UNWELL)


def _told(each: DoorHealth, now_ms: int) -> dict[str, object]:
    heard, age_ms = each.heard, each.bundle_age_ms(now_ms)
    return {
        "door": str(each.door),
        "terminal": str(each.terminal),
        "name": each.name,
        "complaints": list(each.complaints(now_ms)),
        "heard_s": (now_ms - heard.at_ms) / 1000 if heard else None,
        "camera": heard.camera if heard else None,
        "lock": heard.lock if heard else None,
        "clock_skew_s": heard.skew_ms / 1000 if heard else None,
        "bundle_age_s": None if age_ms is None else age_ms / 1000,
        "records_waiting": heard.waiting if heard else None,
        "alarms": each.alarms,
    }


def _shown(doors: list[DoorHealth], now_ms: int) -> Table:
    table = Table(
        id_column("door"), "name", "heard", "camera", "lock", "clock", "bundle", "waiting", "is"
    )
    for each in doors:
        heard, age_ms, complaints = each.heard, each.bundle_age_ms(now_ms), each.complaints(now_ms)
        beat = ("never", *("" for _ in range(5)))
        if heard is not None:
            beat = (
                f"{(now_ms - heard.at_ms) / 1000:.0f} s ago",
                _answers(heard.camera),
                _answers(heard.lock),
                f"{heard.skew_ms / 1000:+.1f} s",
                "" if age_ms is None else f"{age_ms / 3_600_000:.1f} h old",
                str(heard.waiting),
            )
        said = ", ".join(complaints)
        state = f"[red]{said}[/]" if complaints else "[green]well[/]"
        table.add_row(str(each.door), escape(each.name), *beat, state)
    return table


def _answers(good: bool) -> str:
    return "answers" if good else "[red]silent[/]"


@door.command("list")
@as_json
def list_doors(as_json: bool) -> None:
    """All doors, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        rows = list(walk(lambda after: door_records.list_doors(conn, after=after, limit=PAGE_MAX)))
    if as_json:
        emit_json(
            [
                {
                    "door": str(each.door),
                    "name": each.name,
                    "zone": str(each.zone),
                    "failure": each.failure,
                }
                for each in rows
            ]
        )
        return
    table = Table(id_column("door"), "name", id_column("zone"), "without power")
    for each in rows:
        table.add_row(str(each.door), each.name, str(each.zone), each.failure)
    console.print(table)
