"""What a guard looks at: every place with its doors as they are now, what waits, what happened.

Guarantees: bounded (``DOORS_MAX`` doors), each part on an index; nothing of an account but its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from psycopg import Connection

from access.rules import Mode
from service.db import Row
from service.operators import door_records, releases
from service.operators.door_records import AlarmRecord, SiteRecord, ZoneRecord
from service.operators.pages import FIRST
from wire.ids import AttemptId, DoorId, TerminalId, ZoneId
from wire.messages import DoorEventKind

PLACES_MAX = 100
DOORS_MAX = 200
ALARMS_MAX = 20
NEWEST = 20
_OF_CONTACT = {
    DoorEventKind.OPENED: "stands open",
    DoorEventKind.CLOSED: "shut",
    DoorEventKind.HELD_OPEN: "held open",
    DoorEventKind.FORCED: "forced",
}
STATES = (*_OF_CONTACT.values(), "not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDoor:
    """``state`` is what its contact said last, at ``at_ms`` by the door's own clock."""

    door: DoorId
    name: str
    zone: ZoneId
    state: str
    at_ms: int | None
    terminal: TerminalId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    door: DoorId
    name: str
    event: str
    offline: bool
    attempt: AttemptId | None
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """``zones`` with the mode in force: the stronger of the zone's and its site's; ``by_hand``:
    which of the newest belong to no attempt, but to a release by an operator."""

    sites: Sequence[SiteRecord]
    zones: Sequence[tuple[ZoneRecord, Mode]]
    doors: Sequence[WatchedDoor]
    alarms: Sequence[AlarmRecord]
    newest: Sequence[Happened]
    by_hand: Sequence[AttemptId]

    @property
    def names(self) -> Mapping[DoorId, str]:
        return {door.door: door.name for door in self.doors}

    @property
    def digest(self) -> str:
        """Another one as soon as anything shown is another."""
        return sha256(repr(self).encode()).hexdigest()[:16]


def watch(conn: Connection[Row]) -> Watch:
    sites = door_records.list_sites(conn, after=FIRST, limit=PLACES_MAX).items
    zones = door_records.list_zones(conn, after=FIRST, limit=PLACES_MAX).items
    modes = {site.site: Mode(site.mode) for site in sites}
    alarms = door_records.list_alarms(conn, waiting=True, after=FIRST, limit=ALARMS_MAX)
    newest = _newest(conn)
    return Watch(
        sites=sites,
        zones=[(zone, Mode(zone.mode).and_of(modes.get(zone.site, Mode.NORMAL))) for zone in zones],
        doors=_doors(conn),
        alarms=alarms.items,
        newest=newest,
        by_hand=releases.among(conn, [each.attempt for each in newest if each.attempt]),
    )


def _doors(conn: Connection[Row]) -> list[WatchedDoor]:
    rows = conn.execute(
        """SELECT d.door_id, d.name, d.zone_id, event, at_ms, (SELECT terminal_id FROM terminals t
            WHERE t.door_id = d.door_id AND revoked_at_ms IS NULL LIMIT 1)
        FROM (SELECT * FROM doors ORDER BY name, door_id LIMIT %s) d
        LEFT JOIN LATERAL (SELECT event, at_ms FROM door_records r WHERE r.door_id = d.door_id
            AND event = ANY(%s) ORDER BY at_ms DESC, sequence DESC LIMIT 1) last ON true
        ORDER BY d.name, d.door_id""",
        (DOORS_MAX, [int(kind) for kind in _OF_CONTACT]),
    ).fetchall()
    return [
        WatchedDoor(
            door=DoorId(raw),
            name=name,
            zone=ZoneId(zone),
            state=_OF_CONTACT[DoorEventKind(event)] if event else "not known",
            at_ms=at_ms,
            terminal=TerminalId(terminal) if terminal else None,
        )
        for raw, name, zone, event, at_ms, terminal in rows
    ]


def _newest(conn: Connection[Row]) -> list[Happened]:
    rows = conn.execute(
        """SELECT d.door_id, d.name, event, offline, attempt_id, at_ms FROM doors d
        CROSS JOIN LATERAL (SELECT * FROM door_records r WHERE r.door_id = d.door_id
            ORDER BY r.at_ms DESC, sequence DESC LIMIT %(limit)s) last
        ORDER BY at_ms DESC, sequence DESC LIMIT %(limit)s""",
        {"limit": NEWEST},
    ).fetchall()
    return [
        Happened(
            door=DoorId(raw),
            name=name,
            event=DoorEventKind(event).name.lower(),
            offline=offline,
            attempt=AttemptId(attempt) if attempt else None,
            at_ms=at_ms,
        )
        for raw, name, event, offline, attempt, at_ms in rows
    ]
