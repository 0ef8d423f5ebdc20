"""Sites, zones, doors, groups, visitors and grants in PostgreSQL, in the caller's transaction.

Guarantee: what is set here holds for every decision after the commit. A decision keeps its zone's
row locked until it is recorded, so after a lockdown has committed no door of the zone is commanded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from psycopg import Connection

from access.rules import Grant, Mode, ZoneRules
from access.schedule import Schedule, find_time_zone
from service.db import Row
from wire.ids import AccountId, DoorId, GroupId, SiteId, ZoneId

HOLIDAYS_MAX = 366

Subject = AccountId | GroupId
Place = ZoneId | DoorId


class Failure(StrEnum):
    """What the lock does without power: lets people through, or keeps them out."""

    SAFE = "fail_safe"
    SECURE = "fail_secure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    site: SiteId
    name: str
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    zone: ZoneId
    site: SiteId
    name: str
    rules: ZoneRules = field(default_factory=ZoneRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """``zone`` is what one enters by it; None where it is to have one of its own."""

    door: DoorId
    name: str
    zone: ZoneId | None = None
    failure: Failure = Failure.SECURE


def add_site(conn: Connection[Row], site: Site, *, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO sites (site_id, name, time_zone, created_at_ms) VALUES (%s, %s, %s, %s)",
        (site.site.raw, site.name, site.time_zone, now_ms),
    )


def set_holidays(conn: Connection[Row], site: SiteId, days: Collection[date]) -> bool:
    """Takes the place of the holidays that the site had; False for an unknown site."""
    known = conn.execute("SELECT 1 FROM sites WHERE site_id = %s FOR UPDATE", (site.raw,))
    if known.fetchone() is None:
        return False
    conn.execute("DELETE FROM holidays WHERE site_id = %s", (site.raw,))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO holidays (site_id, day) VALUES (%s, %s)",
            [(site.raw, day) for day in sorted(set(days))],
        )
    return True


def set_mode(conn: Connection[Row], place: SiteId | ZoneId, mode: Mode) -> bool:
    """Waits for the decisions that are being recorded; False for an unknown place."""
    if isinstance(place, SiteId):
        done = conn.execute("UPDATE sites SET mode = %s WHERE site_id = %s", (mode, place.raw))
    else:
        done = conn.execute("UPDATE zones SET mode = %s WHERE zone_id = %s", (mode, place.raw))
    return done.rowcount == 1


def add_zone(conn: Connection[Row], zone: Zone, *, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO zones (zone_id, site_id, name, created_at_ms) VALUES (%s, %s, %s, %s)",
        (zone.zone.raw, zone.site.raw, zone.name, now_ms),
    )
    set_rules(conn, zone.zone, zone.rules)


def set_rules(conn: Connection[Row], zone: ZoneId, rules: ZoneRules) -> bool:
    """All but the mode, which is :func:`set_mode`'s; False for an unknown zone."""
    done = conn.execute(
        """UPDATE zones SET passback = %s, passback_timeout_ms = %s, occupancy_max = %s,
        two_person_ms = %s, offline_ms = %s WHERE zone_id = %s""",
        (
            rules.passback,
            rules.passback_timeout_ms,
            rules.occupancy_max,
            rules.two_person_ms,
            rules.offline_ms,
            zone.raw,
        ),
    )
    return done.rowcount == 1


def add_door(conn: Connection[Row], door: Door, *, now_ms: int) -> None:
    if door.zone is None:
        own = ZoneId(door.door.raw)
        conn.execute(
            """INSERT INTO zones (zone_id, site_id, name, created_at_ms)
            SELECT %s, site_id, %s, %s FROM sites ORDER BY created_at_ms, site_id LIMIT 1""",
            (own.raw, door.name, now_ms),
        )
    conn.execute(
        """INSERT INTO doors (door_id, name, zone_id, failure, created_at_ms)
        VALUES (%s, %s, %s, %s, %s)""",
        (door.door.raw, door.name, (door.zone or door.door).raw, door.failure, now_ms),
    )


def find_failure(conn: Connection[Row], door: DoorId) -> Failure | None:
    """None for an unknown door."""
    row = conn.execute("SELECT failure FROM doors WHERE door_id = %s", (door.raw,)).fetchone()
    return Failure(row[0]) if row else None


def change_door(conn: Connection[Row], door: DoorId, zone: ZoneId, failure: Failure) -> bool:
    """Into another zone, or another lock; False for an unknown door."""
    done = conn.execute(
        "UPDATE doors SET zone_id = %s, failure = %s WHERE door_id = %s",
        (zone.raw, failure, door.raw),
    )
    return done.rowcount == 1


def time_zone_of(conn: Connection[Row], place: Place) -> str | None:
    """The site's; None for an unknown place."""
    row = conn.execute(
        """SELECT time_zone FROM sites JOIN zones USING (site_id) WHERE zone_id = %(place)s
        OR zone_id = (SELECT zone_id FROM doors WHERE door_id = %(door)s)""",
        {
            "place": place.raw if isinstance(place, ZoneId) else None,
            "door": place.raw if isinstance(place, DoorId) else None,
        },
    ).fetchone()
    return str(row[0]) if row else None


def add_group(conn: Connection[Row], group: GroupId, name: str, *, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO groups (group_id, name, created_at_ms) VALUES (%s, %s, %s)",
        (group.raw, name, now_ms),
    )


def group_exists(conn: Connection[Row], group: GroupId) -> bool:
    row = conn.execute("SELECT 1 FROM groups WHERE group_id = %s", (group.raw,)).fetchone()
    return row is not None


def join_group(conn: Connection[Row], group: GroupId, account: AccountId, *, now_ms: int) -> None:
    conn.execute(
        """INSERT INTO memberships (group_id, account_id, joined_at_ms) VALUES (%s, %s, %s)
        ON CONFLICT DO NOTHING""",
        (group.raw, account.raw, now_ms),
    )


def leave_group(conn: Connection[Row], group: GroupId, account: AccountId) -> bool:
    """Takes effect with the next decision; False where the account was no member."""
    done = conn.execute(
        "DELETE FROM memberships WHERE group_id = %s AND account_id = %s", (group.raw, account.raw)
    )
    return done.rowcount == 1


def set_visit(
    conn: Connection[Row], account: AccountId, until_ms: int | None, *, now_ms: int
) -> bool:
    """Makes the account a visitor's until then, or no visitor's; False where it was none."""
    if until_ms is None:
        done = conn.execute("DELETE FROM visitors WHERE account_id = %s", (account.raw,))
        return done.rowcount == 1
    conn.execute(
        """INSERT INTO visitors (account_id, until_ms, set_at_ms) VALUES (%s, %s, %s)
        ON CONFLICT (account_id) DO UPDATE SET until_ms = excluded.until_ms,
        set_at_ms = excluded.set_at_ms""",
        (account.raw, until_ms, now_ms),
    )
    return True


def _holder(subject: Subject, place: Place) -> dict[str, bytes | None]:
    return {
        "account": subject.raw if isinstance(subject, AccountId) else None,
        "group": subject.raw if isinstance(subject, GroupId) else None,
        "zone": place.raw if isinstance(place, ZoneId) else None,
        "door": place.raw if isinstance(place, DoorId) else None,
    }


def set_grant(conn: Connection[Row], subject: Subject, place: Place, grant: Grant) -> None:
    """Grants, or replaces the grant that the subject had for the place."""
    conn.execute(
        """INSERT INTO grants (account_id, group_id, zone_id, door_id, schedule, time_zone,
        valid_from_ms, valid_until_ms, through_lockdown)
        VALUES (%(account)s, %(group)s, %(zone)s, %(door)s, %(schedule)s, %(time_zone)s,
            %(from_ms)s, %(until_ms)s, %(through)s)
        ON CONFLICT (account_id, group_id, zone_id, door_id) DO UPDATE SET
        schedule = excluded.schedule, time_zone = excluded.time_zone,
        valid_from_ms = excluded.valid_from_ms, valid_until_ms = excluded.valid_until_ms,
        through_lockdown = excluded.through_lockdown""",
        {
            **_holder(subject, place),
            "schedule": str(grant.schedule),
            "time_zone": grant.time_zone.key,
            "from_ms": grant.valid_from_ms,
            "until_ms": grant.valid_until_ms,
            "through": grant.through_lockdown,
        },
    )


def find_grant(conn: Connection[Row], subject: Subject, place: Place) -> Grant | None:
    row = conn.execute(
        """SELECT schedule, time_zone, valid_from_ms, valid_until_ms, through_lockdown FROM grants
        WHERE account_id IS NOT DISTINCT FROM %(account)s
        AND group_id IS NOT DISTINCT FROM %(group)s
        AND zone_id IS NOT DISTINCT FROM %(zone)s AND door_id IS NOT DISTINCT FROM %(door)s""",
        _holder(subject, place),
    ).fetchone()
    return read_grant(row) if row else None


def read_grant(row: Row) -> Grant:
    """Of the columns schedule, time_zone, valid_from_ms, valid_until_ms and through_lockdown."""
    schedule, time_zone, valid_from_ms, valid_until_ms, through_lockdown = row
    return Grant(
        schedule=Schedule.parse(schedule),
        time_zone=find_time_zone(time_zone),
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        through_lockdown=through_lockdown,
    )


def revoke_grant(conn: Connection[Row], subject: Subject, place: Place) -> bool:
    """Takes effect with the next decision; False where there was none."""
    done = conn.execute(
        """DELETE FROM grants WHERE account_id IS NOT DISTINCT FROM %(account)s
        AND group_id IS NOT DISTINCT FROM %(group)s AND zone_id IS NOT DISTINCT FROM %(zone)s
        AND door_id IS NOT DISTINCT FROM %(door)s""",
        _holder(subject, place),
    )
    return done.rowcount == 1
