"""``countenance access site | zone | group``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from rich.table import Table

from access.rules import OFFLINE_MS, OFFLINE_MS_MAX, Passback, ZoneRules
from access.schedule import ScheduleError, find_time_zone
from countenance.arguments import IdType, as_json
from countenance.house import open_house
from countenance.output import console, emit_json, fail, id_column
from service.access import places
from service.operators import door_records
from service.operators.pages import PAGE_MAX, walk
from wire.ids import AccountId, GroupId, SiteId, ZoneId


@click.group()
def site() -> None:
    """Sites: a time zone and holidays."""


@site.command("add")
@click.argument("name")
@click.option("--time-zone", default="UTC", show_default=True, help="Like Europe/Berlin.")
@as_json
def add_site(name: str, time_zone: str, as_json: bool) -> None:
    """Add a site."""
    try:
        find_time_zone(time_zone)
    except ScheduleError as error:
        fail("The time zone was not understood", why=str(error), exit_code=2)
    with open_house() as house:
        found = house.operations.add_site(name, time_zone)
    _print_new("site", str(found), as_json)


@site.command("list")
@as_json
def list_sites(as_json: bool) -> None:
    """All sites, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        rows = list(walk(lambda after: door_records.list_sites(conn, after=after, limit=PAGE_MAX)))
    if as_json:
        emit_json(
            [
                {
                    "site": str(each.site),
                    "name": each.name,
                    "time_zone": each.time_zone,
                    "mode": each.mode,
                    "holidays": [day.isoformat() for day in each.holidays],
                }
                for each in rows
            ]
        )
        return
    table = Table(id_column("site"), "name", "time zone", "mode", "holidays")
    for each in rows:
        number = str(len(each.holidays))
        table.add_row(str(each.site), each.name, each.time_zone, each.mode, number)
    console.print(table)


@site.command()
@click.argument("found", metavar="SITE", type=IdType(SiteId))
@click.argument("days", metavar="DAY...", nargs=-1, type=click.DateTime(["%Y-%m-%d"]))
def holidays(found: SiteId, days: tuple[datetime, ...]) -> None:
    """Set a site's holidays, in place of those that it had; none takes them all away."""
    if len(days) > places.HOLIDAYS_MAX:
        raise click.UsageError(f"at most {places.HOLIDAYS_MAX} days")
    with open_house() as house:
        done = house.operations.set_holidays(found, [day.date() for day in days])
    if not done:
        fail("No such site", todo="countenance access site list")
    console.print(f"[green]✓[/] {len(set(days))} holidays")


@click.group()
def zone() -> None:
    """Zones: what one enters by doors, and what they ask for."""


def _with_rules(command: Any) -> Any:
    options = (
        click.option(
            "--passback",
            type=click.Choice([each.value for each in Passback]),
            default=Passback.OFF.value,
            show_default=True,
            help="Entering twice without leaving: let it be, raise an alarm, or refuse.",
        ),
        click.option(
            "--passback-timeout",
            type=click.IntRange(1, 366 * 86_400),
            help="Seconds after which it does not count where somebody was seen.",
        ),
        click.option("--occupancy", type=click.IntRange(1, 1_000_000), help="People at most."),
        click.option(
            "--two-person",
            type=click.IntRange(1, 600),
            help="Seconds within which two people must be verified to enter.",
        ),
        click.option(
            "--offline",
            type=click.IntRange(0, OFFLINE_MS_MAX // 60_000),
            default=OFFLINE_MS // 60_000,
            show_default=True,
            help="Minutes for which a door may decide alone; 0 for never.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _rules(
    passback: str,
    passback_timeout: int | None,
    occupancy: int | None,
    two_person: int | None,
    offline: int,
) -> ZoneRules:
    if two_person is not None and occupancy == 1:
        raise click.UsageError("two people do not fit into a zone for one")
    return ZoneRules(
        passback=Passback(passback),
        passback_timeout_ms=passback_timeout and passback_timeout * 1000,
        occupancy_max=occupancy,
        two_person_ms=two_person and two_person * 1000,
        offline_ms=offline * 60_000,
    )


@zone.command("add")
@click.argument("name")
@click.option("--site", "at", type=IdType(SiteId), required=True)
@_with_rules
@as_json
def add_zone(name: str, at: SiteId, as_json: bool, **rules: Any) -> None:
    """Add a zone."""
    wanted = _rules(**rules)
    with open_house() as house:
        with house.database.transaction() as conn:
            if door_records.find_site(conn, at) is None:
                fail("No such site", todo="countenance access site list")
        found = house.operations.add_zone(name, at, wanted)
    _print_new("zone", str(found), as_json)


@zone.command("rules")
@click.argument("found", metavar="ZONE", type=IdType(ZoneId))
@_with_rules
def set_rules(found: ZoneId, **rules: Any) -> None:
    """Set a zone's rules, in place of those that it had."""
    wanted = _rules(**rules)
    with open_house() as house:
        done = house.operations.set_rules(found, wanted)
    if not done:
        fail("No such zone", todo="countenance access zone list")
    console.print(f"[green]✓[/] {found}")


@zone.command("list")
@as_json
def list_zones(as_json: bool) -> None:
    """All zones, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        rows = list(walk(lambda after: door_records.list_zones(conn, after=after, limit=PAGE_MAX)))
    if as_json:
        emit_json(
            [
                {
                    "zone": str(each.zone),
                    "site": str(each.site),
                    "name": each.name,
                    "mode": each.mode,
                    "passback": each.passback,
                    "passback_timeout_ms": each.passback_timeout_ms,
                    "occupancy_max": each.occupancy_max,
                    "two_person_ms": each.two_person_ms,
                    "offline_ms": each.offline_ms,
                }
                for each in rows
            ]
        )
        return
    table = Table(
        id_column("zone"),
        "name",
        id_column("site"),
        "mode",
        "anti-passback",
        "people at most",
        "two-person",
        "alone",
    )
    for each in rows:
        table.add_row(
            str(each.zone),
            each.name,
            str(each.site),
            each.mode,
            each.passback,
            str(each.occupancy_max or "-"),
            f"{each.two_person_ms // 1000} s" if each.two_person_ms else "-",
            f"{each.offline_ms // 60_000} min" if each.offline_ms else "never",
        )
    console.print(table)


@click.group()
def group() -> None:
    """Groups of accounts, which are granted as one."""


@group.command("add")
@click.argument("name")
@as_json
def add_group(name: str, as_json: bool) -> None:
    """Add a group."""
    with open_house() as house:
        found = house.operations.add_group(name)
    _print_new("group", str(found), as_json)


@group.command("list")
@as_json
def list_groups(as_json: bool) -> None:
    """All groups, the newest first."""
    with open_house() as house, house.database.transaction() as conn:
        rows = list(walk(lambda after: door_records.list_groups(conn, after=after, limit=PAGE_MAX)))
    if as_json:
        emit_json(
            [
                {"group": str(each.group), "name": each.name, "members": each.members}
                for each in rows
            ]
        )
        return
    table = Table(id_column("group"), "name", "members")
    for each in rows:
        table.add_row(str(each.group), each.name, str(each.members))
    console.print(table)


@group.command()
@click.argument("found", metavar="GROUP", type=IdType(GroupId))
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
def join(found: GroupId, account: AccountId) -> None:
    """Put an account into a group."""
    with open_house() as house:
        with house.database.transaction() as conn:
            if not places.group_exists(conn, found):
                fail("No such group", todo="countenance access group list")
        house.operations.join_group(found, account)
    console.print(f"[green]✓[/] {account} joined")


@group.command()
@click.argument("found", metavar="GROUP", type=IdType(GroupId))
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
def leave(found: GroupId, account: AccountId) -> None:
    """Take an account out of a group; the next attempt is denied."""
    with open_house() as house:
        done = house.operations.leave_group(found, account)
    if not done:
        fail("The account is not in this group")
    console.print(f"[green]✓[/] {account} left")


def _print_new(kind: str, found: str, as_json: bool) -> None:
    if as_json:
        emit_json({kind: found})
    else:
        console.print(f"[green]✓[/] {found}")
