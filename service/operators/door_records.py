"""What operators may read of doors and who passes them: pages of bounded size, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection

from access.rules import Grant
from service.db import Row
from service.operators.pages import Cursor, Page, page
from service.terminals.health import DoorHealth, Heard
from wire.ids import (
    AccountId,
    AlarmId,
    AttemptId,
    DoorId,
    EntryId,
    GroupId,
    SiteId,
    TerminalId,
    ZoneId,
)
from wire.messages import Direction, DoorEventKind

HEALTH_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    site: SiteId
    name: str
    time_zone: str
    mode: str
    holidays: Sequence[date]
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRecord:
    """``mode`` is the zone's own."""

    zone: ZoneId
    site: SiteId
    name: str
    mode: str
    passback: str
    passback_timeout_ms: int | None
    occupancy_max: int | None
    two_person_ms: int | None
    offline_ms: int
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRecord:
    door: DoorId
    name: str
    zone: ZoneId
    failure: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    group: GroupId
    name: str
    members: int
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    account: AccountId
    joined_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRecord:
    """Of an account or a group, for a zone or one door."""

    account: AccountId | None
    group: GroupId | None
    zone: ZoneId | None
    door: DoorId | None
    schedule: str
    time_zone: str
    valid_from_ms: int
    valid_until_ms: int
    through_lockdown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorRecord:
    account: AccountId
    until_ms: int
    set_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideRecord:
    account: AccountId
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRecord:
    """``state``: commanded, then confirmed (it opened) or failed (it did not)."""

    entry: EntryId
    accounts: Sequence[AccountId]
    direction: str
    state: str
    commanded_at_ms: int
    closed_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """What a door reported; ``at_ms`` is by the door's clock."""

    terminal: TerminalId
    sequence: int
    event: str
    offline: bool
    attempt: AttemptId | None
    at_ms: int
    received_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    alarm: AlarmId
    kind: str
    at_ms: int
    terminal: TerminalId
    door: DoorId | None
    attempt: AttemptId | None
    account: AccountId | None
    acknowledged_at_ms: int | None


_SITE = """SELECT created_at_ms, site_id, name, time_zone, mode,
    ARRAY(SELECT day FROM holidays h WHERE h.site_id = sites.site_id ORDER BY day) FROM sites """


def _site(row: Row) -> SiteRecord:
    return SiteRecord(
        site=SiteId(row[1]),
        name=row[2],
        time_zone=row[3],
        mode=row[4],
        holidays=row[5],
        created_at_ms=row[0],
    )


def find_site(conn: Connection[Row], site: SiteId) -> SiteRecord | None:
    row = conn.execute(_SITE + "WHERE site_id = %s", (site.raw,)).fetchone()
    return _site(row) if row else None


def list_sites(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[SiteRecord]:
    query = (
        _SITE + "WHERE (created_at_ms, site_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, site_id DESC LIMIT %(limit)s"
    )
    return page(conn, query, {}, after=after, limit=limit, read=_site)


_ZONE = """SELECT created_at_ms, zone_id, site_id, name, mode, passback, passback_timeout_ms,
    occupancy_max, two_person_ms, offline_ms FROM zones """


def _zone(row: Row) -> ZoneRecord:
    (
        created_at_ms,
        raw,
        site,
        name,
        mode,
        passback,
        timeout_ms,
        occupancy,
        two_person_ms,
        alone_ms,
    ) = row
    return ZoneRecord(
        zone=ZoneId(raw),
        site=SiteId(site),
        name=name,
        mode=mode,
        passback=passback,
        passback_timeout_ms=timeout_ms,
        occupancy_max=occupancy,
        two_person_ms=two_person_ms,
        offline_ms=alone_ms,
        created_at_ms=created_at_ms,
    )


def find_zone(conn: Connection[Row], zone: ZoneId) -> ZoneRecord | None:
    row = conn.execute(_ZONE + "WHERE zone_id = %s", (zone.raw,)).fetchone()
    return _zone(row) if row else None


def list_zones(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[ZoneRecord]:
    query = (
        _ZONE + "WHERE (created_at_ms, zone_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, zone_id DESC LIMIT %(limit)s"
    )
    return page(conn, query, {}, after=after, limit=limit, read=_zone)


def list_health(
    conn: Connection[Row],
    *,
    terminals: Sequence[TerminalId] | None = None,
    limit: int = HEALTH_MAX,
) -> list[DoorHealth]:
    """Every registered terminal of a door that was not revoked, by the door's name; of
    ``terminals`` alone where some are named."""
    rows = conn.execute(
        """SELECT t.terminal_id, t.door_id, d.name, d.failure, z.offline_ms,
            (SELECT count(*) FROM alarms a WHERE a.terminal_id = t.terminal_id
                AND acknowledged_at_ms IS NULL),
            b.at_ms, b.skew_ms, issued.issued_at_ms, b.waiting, b.camera, b.lock, b.fail_safe
        FROM terminals t JOIN doors d USING (door_id) JOIN zones z USING (zone_id)
        LEFT JOIN door_beats b USING (terminal_id)
        LEFT JOIN door_bundles issued
            ON issued.terminal_id = t.terminal_id AND issued.number = b.bundle
        WHERE t.public_key IS NOT NULL AND t.revoked_at_ms IS NULL
        AND (%(terminals)s::bytea[] IS NULL OR t.terminal_id = ANY(%(terminals)s))
        ORDER BY d.name, t.terminal_id LIMIT %(limit)s""",
        {
            "terminals": None if terminals is None else [each.raw for each in terminals],
            "limit": limit,
        },
    ).fetchall()
    return [
        DoorHealth(
            terminal=TerminalId(terminal),
            door=DoorId(door),
            name=name,
            fail_safe=failure == "fail_safe",
            offline_ms=offline_ms,
            alarms=alarms,
            heard=_heard(beat) if beat[0] is not None else None,
        )
        for terminal, door, name, failure, offline_ms, alarms, *beat in rows
    ]


def _heard(beat: Sequence[Any]) -> Heard:
    at_ms, skew_ms, issued_at_ms, waiting, camera, lock, fail_safe = beat
    return Heard(
        at_ms=at_ms,
        skew_ms=skew_ms,
        bundle_issued_at_ms=issued_at_ms,
        waiting=waiting,
        camera=camera,
        lock=lock,
        fail_safe=fail_safe,
    )


_DOOR = "SELECT created_at_ms, door_id, name, zone_id, failure FROM doors "


def _door(row: Row) -> DoorRecord:
    return DoorRecord(
        door=DoorId(row[1]),
        name=row[2],
        zone=ZoneId(row[3]),
        failure=row[4],
        created_at_ms=row[0],
    )


def find_door(conn: Connection[Row], door: DoorId) -> DoorRecord | None:
    row = conn.execute(_DOOR + "WHERE door_id = %s", (door.raw,)).fetchone()
    return _door(row) if row else None


def list_doors(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[DoorRecord]:
    query = (
        _DOOR + "WHERE (created_at_ms, door_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, door_id DESC LIMIT %(limit)s"
    )
    return page(conn, query, {}, after=after, limit=limit, read=_door)


def list_groups(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[GroupRecord]:
    query = """SELECT created_at_ms, group_id, name, (SELECT count(*) FROM memberships m
        WHERE m.group_id = groups.group_id) FROM groups
        WHERE (created_at_ms, group_id) < (%(at)s, %(id)s)
        ORDER BY created_at_ms DESC, group_id DESC LIMIT %(limit)s"""

    def read(row: Row) -> GroupRecord:
        return GroupRecord(group=GroupId(row[1]), name=row[2], members=row[3], created_at_ms=row[0])

    return page(conn, query, {}, after=after, limit=limit, read=read)


def list_members(
    conn: Connection[Row], group: GroupId, *, after: Cursor, limit: int
) -> Page[MemberRecord]:
    query = """SELECT joined_at_ms, account_id FROM memberships WHERE group_id = %(group)s
        AND (joined_at_ms, account_id) < (%(at)s, %(id)s)
        ORDER BY joined_at_ms DESC, account_id DESC LIMIT %(limit)s"""

    def read(row: Row) -> MemberRecord:
        return MemberRecord(account=AccountId(row[1]), joined_at_ms=row[0])

    return page(conn, query, {"group": group.raw}, after=after, limit=limit, read=read)


def list_grants(
    conn: Connection[Row], place: ZoneId | DoorId, *, after: Cursor, limit: int
) -> Page[GrantRecord]:
    """Those for this very place, a door's zone not included. Those that begin last come first."""
    query = """SELECT valid_from_ms, coalesce(account_id, group_id)::bytea, account_id, group_id,
        zone_id, door_id, schedule, time_zone, valid_until_ms, through_lockdown FROM grants
        WHERE (door_id = %(door)s OR zone_id = %(zone)s)
        AND (valid_from_ms, coalesce(account_id, group_id)::bytea) < (%(at)s, %(id)s)
        ORDER BY 1 DESC, 2 DESC LIMIT %(limit)s"""
    wanted = {
        "door": place.raw if isinstance(place, DoorId) else None,
        "zone": place.raw if isinstance(place, ZoneId) else None,
    }
    return page(conn, query, wanted, after=after, limit=limit, read=_grant)


def grant_record(subject: AccountId | GroupId, place: ZoneId | DoorId, grant: Grant) -> GrantRecord:
    """A grant as it reads once it is stored."""
    return GrantRecord(
        account=subject if isinstance(subject, AccountId) else None,
        group=subject if isinstance(subject, GroupId) else None,
        zone=place if isinstance(place, ZoneId) else None,
        door=place if isinstance(place, DoorId) else None,
        schedule=str(grant.schedule),
        time_zone=grant.time_zone.key,
        valid_from_ms=grant.valid_from_ms,
        valid_until_ms=grant.valid_until_ms,
        through_lockdown=grant.through_lockdown,
    )


def _grant(row: Row) -> GrantRecord:
    from_ms, _, account, group, zone, door, schedule, time_zone, until_ms, through = row
    return GrantRecord(
        account=AccountId(account) if account else None,
        group=GroupId(group) if group else None,
        zone=ZoneId(zone) if zone else None,
        door=DoorId(door) if door else None,
        schedule=schedule,
        time_zone=time_zone,
        valid_from_ms=from_ms,
        valid_until_ms=until_ms,
        through_lockdown=through,
    )


def list_visitors(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[VisitorRecord]:
    query = """SELECT set_at_ms, account_id, until_ms FROM visitors
        WHERE (set_at_ms, account_id) < (%(at)s, %(id)s)
        ORDER BY set_at_ms DESC, account_id DESC LIMIT %(limit)s"""

    def read(row: Row) -> VisitorRecord:
        return VisitorRecord(account=AccountId(row[1]), until_ms=row[2], set_at_ms=row[0])

    return page(conn, query, {}, after=after, limit=limit, read=read)


def list_inside(
    conn: Connection[Row], zone: ZoneId, *, after: Cursor, limit: int
) -> Page[InsideRecord]:
    """Who was commanded in, and not out since."""
    query = """SELECT since_ms, account_id FROM presences WHERE zone_id = %(zone)s AND inside
        AND until_ms = 4611686018427387904 AND (since_ms, account_id) < (%(at)s, %(id)s)
        ORDER BY since_ms DESC, account_id DESC LIMIT %(limit)s"""

    def read(row: Row) -> InsideRecord:
        return InsideRecord(account=AccountId(row[1]), since_ms=row[0])

    return page(conn, query, {"zone": zone.raw}, after=after, limit=limit, read=read)


def list_entries(
    conn: Connection[Row], door: DoorId, *, after: Cursor, limit: int
) -> Page[EntryRecord]:
    query = """SELECT commanded_at_ms, entry_id, array_agg(account_id::bytea ORDER BY account_id),
        direction, state, closed_at_ms FROM entries WHERE door_id = %(door)s
        AND (commanded_at_ms, entry_id) < (%(at)s, %(id)s)
        GROUP BY commanded_at_ms, entry_id, direction, state, closed_at_ms
        ORDER BY commanded_at_ms DESC, entry_id DESC LIMIT %(limit)s"""

    def read(row: Row) -> EntryRecord:
        return EntryRecord(
            entry=EntryId(row[1]),
            accounts=[AccountId(raw) for raw in row[2]],
            direction=Direction(row[3]).name.lower(),
            state=row[4],
            commanded_at_ms=row[0],
            closed_at_ms=row[5],
        )

    return page(conn, query, {"door": door.raw}, after=after, limit=limit, read=read)


def list_events(
    conn: Connection[Row], door: DoorId, *, after: Cursor, limit: int
) -> Page[EventRecord]:
    # A record's id in a cursor is its number: it has none of its own.
    query = """SELECT at_ms, decode(lpad(to_hex(sequence), 32, '0'), 'hex'), terminal_id, sequence,
        event, offline, attempt_id, received_at_ms FROM door_records WHERE door_id = %(door)s
        AND (at_ms, decode(lpad(to_hex(sequence), 32, '0'), 'hex')) < (%(at)s, %(id)s)
        ORDER BY 1 DESC, 2 DESC LIMIT %(limit)s"""

    def read(row: Row) -> EventRecord:
        return EventRecord(
            terminal=TerminalId(row[2]),
            sequence=row[3],
            event=DoorEventKind(row[4]).name.lower(),
            offline=row[5],
            attempt=AttemptId(row[6]) if row[6] else None,
            at_ms=row[0],
            received_at_ms=row[7],
        )

    return page(conn, query, {"door": door.raw}, after=after, limit=limit, read=read)


def list_alarms(
    conn: Connection[Row], *, waiting: bool, after: Cursor, limit: int
) -> Page[AlarmRecord]:
    """``waiting`` leaves out those that somebody has acknowledged."""
    query = """SELECT at_ms, alarm_id, kind, terminal_id, door_id, attempt_id, account_id,
        acknowledged_at_ms FROM alarms WHERE (at_ms, alarm_id) < (%(at)s, %(id)s)
        AND (NOT %(waiting)s OR acknowledged_at_ms IS NULL)
        ORDER BY at_ms DESC, alarm_id DESC LIMIT %(limit)s"""
    return page(conn, query, {"waiting": waiting}, after=after, limit=limit, read=_alarm)


def _alarm(row: Row) -> AlarmRecord:
    at_ms, raw, kind, terminal, door, attempt, account, acknowledged_at_ms = row
    return AlarmRecord(
        alarm=AlarmId(raw),
        kind=kind,
        at_ms=at_ms,
        terminal=TerminalId(terminal),
        door=DoorId(door) if door else None,
        attempt=AttemptId(attempt) if attempt else None,
        account=AccountId(account) if account else None,
        acknowledged_at_ms=acknowledged_at_ms,
    )
