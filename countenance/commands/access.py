"""``countenance access``: grants, modes, who is inside, alarms, and why a door opens."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from rich.table import Table

from access.rules import Effect, Finding, Grant, Mode, decide, explain, when
from access.schedule import Schedule, ScheduleError, find_time_zone
from countenance.arguments import IdType, MomentType, as_json
from countenance.commands.access_places import group, site, zone
from countenance.house import open_house
from countenance.output import console, emit_json, fail, id_column
from service.access import places, store
from service.access.places import Place, Subject
from service.clock import unix_ms
from service.operators import door_records
from service.operators.pages import FIRST, PAGE_MAX, walk
from wire.ids import AccountId, AlarmId, DoorId, GroupId, SiteId, ZoneId
from wire.messages import Direction

FOREVER_MS = 2**50
SUBJECT = IdType(AccountId, GroupId)
PLACE = IdType(ZoneId, DoorId)
AREA = IdType(SiteId, ZoneId)
STYLES = {Effect.OPENS: "green", Effect.REFUSES: "red", Effect.ALARMS: "yellow"}


@click.group()
def access() -> None:
    """Who may enter where and when."""


access.add_command(site)
access.add_command(zone)
access.add_command(group)


@access.command("grant")
@click.argument("subject", metavar="ACCOUNT|GROUP", type=SUBJECT)
@click.argument("place", metavar="ZONE|DOOR", type=PLACE)
@click.option("--schedule", default="always", help="'Mon-Fri 08:00-18:00; Hol 10:00-12:00'")
@click.option("--time-zone", help="Like Europe/Berlin; the site's unless said.")
@click.option("--from", "start_ms", type=MomentType(), default=0, help="When the grant begins.")
@click.option("--until", "end_ms", type=MomentType(), default=FOREVER_MS, help="When it ends.")
@click.option("--through-lockdown", is_flag=True, help="Opens in a lockdown, too.")
def grant_place(
    subject: Subject,
    place: Place,
    schedule: str,
    time_zone: str | None,
    start_ms: int,
    end_ms: int,
    through_lockdown: bool,
) -> None:
    """Let an account or a group into a zone or through one door, or change when."""
    if start_ms >= end_ms:
        fail("A grant begins before it ends", exit_code=2)
    with open_house() as house:
        with house.database.transaction() as conn:
            local = places.time_zone_of(conn, place)
            if local is None:
                fail("No such zone or door", todo="countenance access zone list")
            if isinstance(subject, GroupId) and not places.group_exists(conn, subject):
                fail("No such group", todo="countenance access group list")
        try:
            wanted = Grant(
                schedule=Schedule.parse(schedule),
                time_zone=find_time_zone(time_zone or local),
                valid_from_ms=start_ms,
                valid_until_ms=end_ms,
                through_lockdown=through_lockdown,
            )
        except ScheduleError as error:
            fail("The schedule was not understood", why=str(error), exit_code=2)
        house.operations.grant(subject, place, wanted)
    console.print(f"[green]✓[/] {subject}: {wanted.schedule} ({wanted.time_zone.key})")


@access.command()
@click.argument("subject", metavar="ACCOUNT|GROUP", type=SUBJECT)
@click.argument("place", metavar="ZONE|DOOR", type=PLACE)
def revoke(subject: Subject, place: Place) -> None:
    """Take a grant back; the next attempt is denied."""
    with open_house() as house:
        done = house.operations.revoke_grant(subject, place)
    if not done:
        fail("There is no such grant")
    console.print("[green]✓[/] revoked")


@access.command()
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
@click.option("--until", "until_ms", type=MomentType(), help="No door opens from then on.")
@click.option("--end", is_flag=True, help="No visitor's any more: its grants alone count.")
def visitor(account: AccountId, until_ms: int | None, end: bool) -> None:
    """Make an account a visitor's until a time, whatever it is granted."""
    if end == (until_ms is not None):
        raise click.UsageError("give --until or --end")
    with open_house() as house:
        done = house.operations.set_visit(account, until_ms)
    if not done:
        fail("The account is no visitor's")
    console.print(f"[green]✓[/] {account}: " + (when(until_ms) if until_ms else "no visitor's"))


def _set_mode(place: SiteId | ZoneId, mode: Mode) -> None:
    with open_house() as house:
        done = house.operations.set_mode(place, mode)
    if not done:
        fail("No such site or zone", todo="countenance access zone list")
    console.print(f"[green]✓[/] {place}: {mode.value}")


@access.command()
@click.argument("place", metavar="SITE|ZONE", type=AREA)
def lockdown(place: SiteId | ZoneId) -> None:
    """Open no door but for grants that hold through a lockdown."""
    _set_mode(place, Mode.LOCKDOWN)


@access.command()
@click.argument("place", metavar="SITE|ZONE", type=AREA)
def evacuate(place: SiteId | ZoneId) -> None:
    """Let everybody out, and nobody in."""
    _set_mode(place, Mode.EVACUATION)


@access.command()
@click.argument("place", metavar="SITE|ZONE", type=AREA)
def normal(place: SiteId | ZoneId) -> None:
    """End a lockdown or an evacuation."""
    _set_mode(place, Mode.NORMAL)


@access.command()
@click.argument("found", metavar="ZONE", type=IdType(ZoneId))
@click.argument("account", metavar="[ACCOUNT]", type=IdType(AccountId), required=False)
def amnesty(found: ZoneId, account: AccountId | None) -> None:
    """Forget who is inside and outside, of everybody or of one account."""
    with open_house() as house:
        number = house.operations.grant_amnesty(found, account)
    console.print(f"[green]✓[/] forgotten of {number} accounts")


@access.command()
@click.argument("found", metavar="ZONE", type=IdType(ZoneId))
@as_json
def inside(found: ZoneId, as_json: bool) -> None:
    """Who was let into a zone and not out since, the last one first."""
    with open_house() as house, house.database.transaction() as conn:
        rows = list(
            walk(lambda after: door_records.list_inside(conn, found, after=after, limit=PAGE_MAX))
        )
    if as_json:
        emit_json([{"account": str(each.account), "since_ms": each.since_ms} for each in rows])
        return
    table = Table(id_column("account"), "since", title=f"{len(rows)} inside")
    for each in rows:
        table.add_row(str(each.account), when(each.since_ms))
    console.print(table)


@access.command()
@click.option("--waiting", is_flag=True, help="Only those that nobody has acknowledged.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, PAGE_MAX))
@as_json
def alarms(waiting: bool, limit: int, as_json: bool) -> None:
    """The newest alarms: duress, anti-passback, doors forced or held open, tampering."""
    with open_house() as house, house.database.transaction() as conn:
        rows = door_records.list_alarms(conn, waiting=waiting, after=FIRST, limit=limit).items
    if as_json:
        emit_json(
            [
                {
                    "alarm": str(each.alarm),
                    "kind": each.kind,
                    "at_ms": each.at_ms,
                    "terminal": str(each.terminal),
                    "door": str(each.door) if each.door else None,
                    "account": str(each.account) if each.account else None,
                    "acknowledged_at_ms": each.acknowledged_at_ms,
                }
                for each in rows
            ]
        )
        return
    table = Table(
        id_column("alarm"),
        "what",
        "when",
        id_column("door or terminal"),
        id_column("account"),
        "acknowledged",
    )
    for each in rows:
        table.add_row(
            str(each.alarm),
            each.kind,
            when(each.at_ms),
            str(each.door or each.terminal),
            str(each.account or "-"),
            when(each.acknowledged_at_ms) if each.acknowledged_at_ms else "-",
        )
    console.print(table)


@access.command()
@click.argument("alarm", metavar="ALARM", type=IdType(AlarmId))
def acknowledge(alarm: AlarmId) -> None:
    """Say that somebody looks after an alarm."""
    with open_house() as house:
        done = house.operations.acknowledge_alarm(alarm)
    if not done:
        fail("No such alarm, or it was acknowledged before", todo="countenance access alarms")
    console.print("[green]✓[/] acknowledged")


@access.command("explain")
@click.argument("account", metavar="ACCOUNT", type=IdType(AccountId))
@click.argument("door", metavar="DOOR", type=IdType(DoorId))
@click.option("--at", "at_ms", type=MomentType(), help="The moment, in ISO 8601; now unless said.")
@click.option("--direction", type=click.Choice(["in", "out"]), default="in", show_default=True)
@as_json
def explain_access(
    account: AccountId, door: DoorId, at_ms: int | None, direction: str, as_json: bool
) -> None:
    """Say by which rule a door opens for an account, or does not.

    Who is inside is as it was at that moment; grants and settings are as they are now.
    """
    moment = unix_ms() if at_ms is None else at_ms
    way = Direction[direction.upper()]
    with open_house() as house, house.database.transaction() as conn:
        facts = store.facts_at(conn, account=account, door=door, direction=way, at_ms=moment)
    findings, verdict = explain(facts), decide(facts)
    if as_json:
        emit_json(
            {
                "account": str(account),
                "door": str(door),
                "direction": direction,
                "at_ms": moment,
                "opens": verdict.denial is None,
                "rule": verdict.rule,
                "findings": [
                    {"rule": each.rule, "effect": each.effect, "because": each.because}
                    for each in findings
                ],
            }
        )
        return
    console.print(_table(findings, verdict.rule))
    word = "[red]stays shut[/]" if verdict.denial else "[green]opens[/]"
    utc = datetime.fromtimestamp(moment // 1000, UTC).isoformat()
    console.print(f"The door {word} at {utc}: [bold]{verdict.rule}[/]", highlight=False)


def _table(findings: list[Finding], decides: str) -> Table:
    table = Table("", "rule", "says", "because")
    for each in findings:
        style = STYLES.get(each.effect, "dim")
        mark = "→" if each.rule == decides else ""
        table.add_row(mark, each.rule, f"[{style}]{each.effect}[/]", each.because)
    return table
