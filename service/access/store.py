"""Entries, and who is where, in PostgreSQL, in the caller's transaction.

Guarantees: :func:`judge` locks the zone until the transaction ends, so of two people who come at
once the second is judged after the first is recorded. Who was inside at any past moment can be
asked again: rows of ``presences`` and ``waits`` end, and are not changed otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from access.rules import Facts, Mode, Passback, Presence, Verdict, ZoneRules, decide
from service.access.places import read_grant
from service.db import Row
from wire.ids import AccountId, DoorId, EntryId, ZoneId
from wire.messages import Direction

FOREVER_MS = 2**62
GRANTS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """``companion`` passes together with the person, where the zone asks for two."""

    verdict: Verdict
    companion: AccountId | None


_ZONE = """SELECT z.mode, s.mode, passback, passback_timeout_ms, occupancy_max, two_person_ms,
    offline_ms, ARRAY(SELECT h.day FROM holidays h WHERE h.site_id = s.site_id
        AND h.day BETWEEN %(day)s::date - 2 AND %(day)s::date + 2)
    FROM doors JOIN zones z USING (zone_id) JOIN sites s USING (site_id)
    WHERE door_id = %(door)s """
_LOCKED = _ZONE + "FOR NO KEY UPDATE OF z FOR SHARE OF s"
_PEOPLE = """SELECT (SELECT v.until_ms FROM visitors v WHERE v.account_id = %(account)s),
    p.inside, p.since_ms, w.account_id, w.at_ms,
    CASE WHEN z.occupancy_max IS NULL THEN 0 ELSE (SELECT count(*) FROM presences o
        WHERE o.zone_id = z.zone_id AND o.inside AND o.from_ms < %(as_of)s
        AND o.until_ms >= %(as_of)s AND o.account_id <> %(account)s
        AND o.account_id IS DISTINCT FROM w.account_id) END
    FROM doors d JOIN zones z USING (zone_id)
    LEFT JOIN presences p ON p.zone_id = z.zone_id AND p.account_id = %(account)s
        AND p.from_ms < %(as_of)s AND p.until_ms >= %(as_of)s
    LEFT JOIN LATERAL (SELECT account_id, at_ms FROM waits WHERE waits.door_id = d.door_id
        AND account_id <> %(account)s AND at_ms < %(as_of)s AND until_ms >= %(as_of)s
        AND at_ms > %(at)s - z.two_person_ms
        ORDER BY at_ms DESC, wait_id DESC LIMIT 1) w ON true
    WHERE d.door_id = %(door)s"""
_GRANTS = """SELECT schedule, time_zone, valid_from_ms, valid_until_ms, through_lockdown
    FROM grants JOIN doors ON doors.door_id = %(door)s
        AND (grants.door_id = doors.door_id OR grants.zone_id = doors.zone_id)
    WHERE account_id = %(account)s
        OR group_id IN (SELECT group_id FROM memberships WHERE account_id = %(account)s)
    ORDER BY valid_until_ms DESC LIMIT %(grants)s"""


def judge(
    conn: Connection[Row], *, account: AccountId, door: DoorId, direction: Direction, at_ms: int
) -> Judgement:
    """Whether the door opens now; keeps everybody else of the zone waiting for the commit."""
    facts, companion = _gather(
        conn, account, door, direction, at_ms=at_ms, as_of_ms=FOREVER_MS, locked=True
    )
    together = direction is Direction.IN
    return Judgement(verdict=decide(facts), companion=companion if together else None)


def facts_at(
    conn: Connection[Row], *, account: AccountId, door: DoorId, direction: Direction, at_ms: int
) -> Facts:
    """What a decision at ``at_ms`` looked at, or would look at.

    Who was inside or waiting is as it was then; grants, settings, holidays and modes are as they
    are now.
    """
    facts, _ = _gather(conn, account, door, direction, at_ms=at_ms, as_of_ms=at_ms, locked=False)
    return facts


def _gather(
    conn: Connection[Row],
    account: AccountId,
    door: DoorId,
    direction: Direction,
    *,
    at_ms: int,
    as_of_ms: int,
    locked: bool,
) -> tuple[Facts, AccountId | None]:
    wanted = {
        "account": account.raw,
        "door": door.raw,
        "day": datetime.fromtimestamp(at_ms / 1000, UTC).date(),
        "at": at_ms,
        "as_of": as_of_ms,
        "grants": GRANTS_MAX,
    }
    # One after the other: a statement sees what was committed before it began, and the second
    # must begin when the first has the lock.
    zone = conn.execute(_LOCKED if locked else _ZONE, wanted)
    people, grants = conn.execute(_PEOPLE, wanted), conn.execute(_GRANTS, wanted)
    found, known = zone.fetchone(), people.fetchone()
    if found is None or known is None:
        return Facts(zone=None, direction=direction, at_ms=at_ms), None
    *rules, holidays = found
    visit_until_ms, inside, since_ms, companion, companion_at_ms, others_inside = known
    facts = Facts(
        zone=zone_rules(rules),
        direction=direction,
        at_ms=at_ms,
        grants=tuple(map(read_grant, grants.fetchall())),
        holidays=frozenset(holidays),
        visit_until_ms=visit_until_ms,
        presence=None if inside is None else Presence(inside=inside, since_ms=since_ms),
        others_inside=others_inside,
        companion_at_ms=companion_at_ms,
    )
    return facts, AccountId(companion) if companion else None


def zone_rules(columns: Sequence[Any]) -> ZoneRules:
    """Of the zone's mode, its site's, and the zone's columns from ``passback`` to
    ``offline_ms``."""
    mode, site_mode, passback, timeout_ms, occupancy_max, two_person_ms, offline_ms = columns
    return ZoneRules(
        mode=Mode(mode).and_of(Mode(site_mode)),
        passback=Passback(passback),
        passback_timeout_ms=timeout_ms,
        occupancy_max=occupancy_max,
        two_person_ms=two_person_ms,
        offline_ms=offline_ms,
    )


def wait_for_second(conn: Connection[Row], account: AccountId, door: DoorId, *, at_ms: int) -> None:
    """Somebody who may pass together with another; see ``SECOND_PERSON_MISSING``."""
    conn.execute(
        "INSERT INTO waits (door_id, account_id, at_ms) VALUES (%s, %s, %s)",
        (door.raw, account.raw, at_ms),
    )


def command_entry(
    conn: Connection[Row],
    entry: EntryId,
    *,
    people: Collection[AccountId],
    door: DoorId,
    direction: Direction,
    at_ms: int,
) -> None:
    """Records that the door is told to open; whether it did comes with the confirmation.

    From now on the people count as where the door leads, so that nobody else takes their room.
    """
    wanted = {"door": door.raw, "at": at_ms, "entry": entry.raw, "forever": FOREVER_MS}
    for person in people:
        of_person = wanted | {"account": person.raw, "direction": int(direction)}
        conn.execute(
            """INSERT INTO entries (entry_id, account_id, door_id, direction, state,
            commanded_at_ms) VALUES (%(entry)s, %(account)s, %(door)s, %(direction)s,
            'commanded', %(at)s)""",
            of_person,
        )
        conn.execute(
            """WITH ended AS (UPDATE presences SET until_ms = greatest(from_ms, %(at)s)
                FROM doors WHERE door_id = %(door)s AND presences.zone_id = doors.zone_id
                AND account_id = %(account)s AND until_ms = %(forever)s RETURNING presence_id)
            INSERT INTO presences (zone_id, account_id, inside, since_ms, from_ms, until_ms,
                entry_id, replaces)
            SELECT zone_id, %(account)s, %(direction)s = 1, %(at)s, %(at)s, %(at)s, %(entry)s,
                (SELECT presence_id FROM ended) FROM doors WHERE door_id = %(door)s""",
            of_person,
        )
        # Two statements: the unique index looks at the rows as they were before the first one.
        conn.execute(
            """UPDATE presences SET until_ms = %(forever)s
            WHERE entry_id = %(entry)s AND account_id = %(account)s""",
            of_person,
        )
        conn.execute(
            """UPDATE waits SET until_ms = %(at)s WHERE door_id = %(door)s
            AND account_id = %(account)s AND until_ms = %(forever)s""",
            of_person,
        )


def take_down_entry(
    conn: Connection[Row],
    entry: EntryId,
    *,
    people: Collection[AccountId],
    door: DoorId,
    direction: Direction,
    at_ms: int,
) -> None:
    """Records, later, that a door which was on its own told itself to open at ``at_ms``.

    What is known of its people after that moment stays.
    """
    wanted = {"door": door.raw, "at": at_ms, "entry": entry.raw, "forever": FOREVER_MS}
    conn.execute(
        """SELECT 1 FROM zones JOIN doors USING (zone_id) WHERE door_id = %(door)s
        FOR NO KEY UPDATE OF zones""",
        wanted,
    )
    for person in people:
        of_person = wanted | {"account": person.raw, "direction": int(direction)}
        entered = conn.execute(
            """INSERT INTO entries (entry_id, account_id, door_id, direction, state,
            commanded_at_ms) VALUES (%(entry)s, %(account)s, %(door)s, %(direction)s,
            'commanded', %(at)s) ON CONFLICT DO NOTHING""",
            of_person,
        )
        if entered.rowcount == 0:
            continue
        before = conn.execute(
            """UPDATE presences SET until_ms = %(at)s FROM doors
            WHERE door_id = %(door)s AND presences.zone_id = doors.zone_id
            AND account_id = %(account)s AND from_ms <= %(at)s AND until_ms > %(at)s
            RETURNING presence_id""",
            of_person,
        ).fetchone()
        conn.execute(
            """INSERT INTO presences (zone_id, account_id, inside, since_ms, from_ms, until_ms,
                entry_id, replaces)
            SELECT zone_id, %(account)s, %(direction)s = 1, %(at)s, %(at)s,
                coalesce((SELECT min(from_ms) FROM presences p WHERE p.zone_id = doors.zone_id
                    AND account_id = %(account)s AND from_ms > %(at)s), %(forever)s),
                %(entry)s, %(before)s FROM doors WHERE door_id = %(door)s""",
            of_person | {"before": before[0] if before else None},
        )
        conn.execute(
            """UPDATE waits SET until_ms = greatest(at_ms, %(at)s) WHERE door_id = %(door)s
            AND account_id = %(account)s AND at_ms <= %(at)s AND until_ms = %(forever)s""",
            of_person,
        )


def is_entry_of(conn: Connection[Row], entry: EntryId, door: DoorId) -> bool:
    row = conn.execute(
        "SELECT 1 FROM entries WHERE entry_id = %s AND door_id = %s LIMIT 1", (entry.raw, door.raw)
    ).fetchone()
    return row is not None


def close_entry(conn: Connection[Row], entry: EntryId, *, opened: bool, at_ms: int) -> None:
    """Whether the door opened; where it did not, its people are where they were before."""
    if not opened:
        _lock_zones_of(conn, entry)
    closed = conn.execute(
        """UPDATE entries SET state = %s, closed_at_ms = %s
        WHERE entry_id = %s AND state = 'commanded'""",
        ("confirmed" if opened else "failed", at_ms, entry.raw),
    )
    if opened or closed.rowcount == 0:
        return
    wanted = {"entry": entry.raw, "at": at_ms, "forever": FOREVER_MS}
    before = conn.execute(
        """UPDATE presences SET until_ms = greatest(from_ms, %(at)s)
        WHERE entry_id = %(entry)s AND until_ms = %(forever)s RETURNING replaces""",
        wanted,
    ).fetchall()
    conn.execute(
        """INSERT INTO presences (zone_id, account_id, inside, since_ms, from_ms, entry_id,
        replaces) SELECT zone_id, account_id, inside, since_ms, %(at)s, entry_id, replaces
        FROM presences WHERE presence_id = ANY(%(before)s)""",
        wanted | {"before": [row[0] for row in before if row[0] is not None]},
    )
    # A later entry that fails must not give back what this one claimed.
    conn.execute(
        """UPDATE presences SET replaces = failed.replaces FROM presences failed
        WHERE failed.entry_id = %(entry)s AND presences.replaces = failed.presence_id""",
        wanted,
    )


def _lock_zones_of(conn: Connection[Row], entry: EntryId) -> None:
    conn.execute(
        """SELECT 1 FROM zones WHERE zone_id IN (SELECT zone_id FROM presences
        WHERE entry_id = %s) ORDER BY zone_id FOR NO KEY UPDATE""",
        (entry.raw,),
    )


def forget(conn: Connection[Row], zone: ZoneId, account: AccountId | None, *, now_ms: int) -> int:
    """Amnesty: nobody, or one account not, is known to be inside or outside. Returns how many."""
    conn.execute("SELECT 1 FROM zones WHERE zone_id = %s FOR NO KEY UPDATE", (zone.raw,))
    done = conn.execute(
        """UPDATE presences SET until_ms = greatest(from_ms, %(at)s) WHERE zone_id = %(zone)s
        AND until_ms = %(forever)s AND (%(account)s::bytea IS NULL OR account_id = %(account)s)""",
        {
            "zone": zone.raw,
            "account": account.raw if account else None,
            "at": now_ms,
            "forever": FOREVER_MS,
        },
    )
    return done.rowcount
