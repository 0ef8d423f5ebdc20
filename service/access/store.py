"""Doors, grants and entries in PostgreSQL, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from service.access.rules import Grant, refuse_entry
from service.access.schedule import Schedule, find_zone
from service.db import Row
from wire.denial import Denial
from wire.ids import AccountId, DoorId, EntryId
from wire.messages import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    door: DoorId
    name: str


def add_door(conn: Connection[Row], door: Door, *, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO doors (door_id, name, created_at_ms) VALUES (%s, %s, %s)",
        (door.door.raw, door.name, now_ms),
    )


def list_doors(conn: Connection[Row]) -> list[Door]:
    rows = conn.execute("SELECT door_id, name FROM doors ORDER BY name, door_id").fetchall()
    return [Door(door=DoorId(raw), name=name) for raw, name in rows]


def set_grant(conn: Connection[Row], account: AccountId, door: DoorId, grant: Grant) -> None:
    """Grants, or replaces the grant that the account had for the door."""
    conn.execute(
        """INSERT INTO grants (account_id, door_id, schedule, time_zone, valid_from_ms,
        valid_until_ms) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (account_id, door_id) DO UPDATE SET schedule = excluded.schedule,
        time_zone = excluded.time_zone, valid_from_ms = excluded.valid_from_ms,
        valid_until_ms = excluded.valid_until_ms""",
        (
            account.raw,
            door.raw,
            str(grant.schedule),
            grant.zone.key,
            grant.valid_from_ms,
            grant.valid_until_ms,
        ),
    )


def revoke_grant(conn: Connection[Row], account: AccountId, door: DoorId) -> bool:
    """Takes effect with the next decision; False where there was none."""
    done = conn.execute(
        "DELETE FROM grants WHERE account_id = %s AND door_id = %s", (account.raw, door.raw)
    )
    return done.rowcount == 1


def refuse(conn: Connection[Row], *, account: AccountId, door: DoorId, at_ms: int) -> Denial | None:
    row = conn.execute(
        """SELECT schedule, time_zone, valid_from_ms, valid_until_ms FROM doors
        LEFT JOIN grants ON grants.door_id = doors.door_id AND account_id = %s
        WHERE doors.door_id = %s""",
        (account.raw, door.raw),
    ).fetchone()
    return refuse_entry(door_known=row is not None, grant=_grant(row), at_ms=at_ms)


def _grant(row: Row | None) -> Grant | None:
    if row is None or row[0] is None:
        return None
    return Grant(
        schedule=Schedule.parse(row[0]),
        zone=find_zone(row[1]),
        valid_from_ms=row[2],
        valid_until_ms=row[3],
    )


def command_entry(
    conn: Connection[Row],
    entry: EntryId,
    *,
    account: AccountId,
    door: DoorId,
    direction: Direction,
    at_ms: int,
) -> None:
    """Records that the door is told to open; whether it did comes with the confirmation."""
    conn.execute(
        """INSERT INTO entries (entry_id, account_id, door_id, direction, state, commanded_at_ms)
        VALUES (%s, %s, %s, %s, 'commanded', %s)""",
        (entry.raw, account.raw, door.raw, int(direction), at_ms),
    )


def close_entry(conn: Connection[Row], entry: EntryId, *, opened: bool, at_ms: int) -> None:
    conn.execute(
        """UPDATE entries SET state = %s, closed_at_ms = %s
        WHERE entry_id = %s AND state = 'commanded'""",
        ("confirmed" if opened else "failed", at_ms, entry.raw),
    )
