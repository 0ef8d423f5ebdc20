"""Who may pass a door, for the door's own decisions, in PostgreSQL, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from psycopg import Connection

from access.rules import ZoneRules
from service.access.store import FOREVER_MS, zone_rules
from service.db import Row
from wire.ids import AccountId, DoorId, ZoneId

Right = tuple[str, str, int, int, bool]
"""Schedule, time zone, valid from, valid until, holds through a lockdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A door, as the zone behind it wants it; ``holidays`` are those near."""

    zone: ZoneId
    rules: ZoneRules
    holidays: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passer:
    """Somebody who is granted; ``visit_until_ms`` of a visitor."""

    rights: tuple[Right, ...]
    visit_until_ms: int | None


def find_gate(conn: Connection[Row], door: DoorId, *, now_ms: int, until_ms: int) -> Gate | None:
    """None for an unknown door."""
    row = conn.execute(
        """SELECT z.zone_id, ARRAY(SELECT h.day FROM holidays h WHERE h.site_id = s.site_id
            AND h.day BETWEEN %(from)s::date - 2 AND %(until)s::date + 2 ORDER BY h.day),
        z.mode, s.mode, passback, passback_timeout_ms, occupancy_max, two_person_ms, offline_ms
        FROM doors JOIN zones z USING (zone_id) JOIN sites s USING (site_id)
        WHERE door_id = %(door)s""",
        {
            "door": door.raw,
            "from": datetime.fromtimestamp(now_ms / 1000, UTC).date(),
            "until": datetime.fromtimestamp(until_ms / 1000, UTC).date(),
        },
    ).fetchone()
    if row is None:
        return None
    zone, holidays, *rules = row
    return Gate(zone=ZoneId(zone), rules=zone_rules(rules), holidays=tuple(holidays))


def passers(
    conn: Connection[Row], door: DoorId, *, now_ms: int, until_ms: int
) -> dict[AccountId, Passer]:
    """Everybody with a grant that is valid at some time between."""
    rows = conn.execute(
        """SELECT person, schedule, time_zone, valid_from_ms, valid_until_ms, through_lockdown,
            v.until_ms
        FROM (SELECT coalesce(g.account_id, m.account_id)::bytea AS person, g.*
            FROM grants g LEFT JOIN memberships m ON m.group_id = g.group_id
            JOIN doors d ON d.door_id = %(door)s
                AND (g.door_id = d.door_id OR g.zone_id = d.zone_id)
            WHERE g.valid_until_ms > %(now)s AND g.valid_from_ms < %(until)s) granted
        LEFT JOIN visitors v ON v.account_id::bytea = person
        WHERE person IS NOT NULL AND (v.until_ms IS NULL OR v.until_ms > %(now)s)
        ORDER BY person, schedule, time_zone, valid_from_ms, valid_until_ms, through_lockdown""",
        {"door": door.raw, "now": now_ms, "until": until_ms},
        binary=True,
    ).fetchall()
    rights: dict[bytes, list[Right]] = {}
    visits: dict[bytes, int | None] = {}
    for person, schedule, time_zone, from_ms, to_ms, through, visit_until_ms in rows:
        rights.setdefault(person, []).append((schedule, time_zone, from_ms, to_ms, through))
        visits[person] = visit_until_ms
    return {
        AccountId(person): Passer(rights=tuple(own), visit_until_ms=visits[person])
        for person, own in rights.items()
    }


def whereabouts(conn: Connection[Row], zone: ZoneId) -> dict[AccountId, tuple[bool, int]]:
    """Who is known to be inside (True) or outside, and since when."""
    rows = conn.execute(
        """SELECT account_id, inside, since_ms FROM presences
        WHERE zone_id = %s AND until_ms = %s""",
        (zone.raw, FOREVER_MS),
        binary=True,
    ).fetchall()
    return {AccountId(raw): (inside, since_ms) for raw, inside, since_ms in rows}


def revision(conn: Connection[Row]) -> int:
    """Rises with each commit after which a bundle may say something else."""
    row = conn.execute("SELECT revision FROM door_revision").fetchone()
    return int(row[0]) if row else 0
