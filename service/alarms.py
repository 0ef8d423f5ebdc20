"""What a person must look at now: a row for the guards, and a leaf of the audit log.

Guarantee: nothing that a terminal is answered depends on an alarm. An alarm's leaf is one of its
own, with a nonce, so the leaf hash in a decision or receipt does not tell that there is one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.audit import log
from service.audit.leaf import AlarmLeaf
from service.db import Row
from wire.ids import AccountId, AlarmId, AttemptId, DoorId, TerminalId


class AlarmKind(StrEnum):
    DURESS = "duress"
    ANTI_PASSBACK = "anti_passback"
    DOOR_FORCED = "door_forced"
    DOOR_HELD_OPEN = "door_held_open"
    TAMPER = "tamper"
    RECORDS_MISSING = "records_missing"
    RECORDS_CHANGED = "records_changed"
    OLD_DISK_IMAGE = "old_disk_image"
    BUNDLE_REFUSED = "bundle_refused"
    CLOCK_TURNED_BACK = "clock_turned_back"
    RECORDS_FULL = "records_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    kind: AlarmKind
    at_ms: int
    terminal: TerminalId
    door: DoorId | None = None
    attempt: AttemptId | None = None
    account: AccountId | None = None


def raise_alarm(conn: Connection[Row], alarm: Alarm) -> AlarmId:
    found = AlarmId.new()
    conn.execute(
        """INSERT INTO alarms (alarm_id, kind, at_ms, terminal_id, door_id, attempt_id,
        account_id) VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (
            found.raw,
            alarm.kind,
            alarm.at_ms,
            alarm.terminal.raw,
            alarm.door.raw if alarm.door else None,
            alarm.attempt.raw if alarm.attempt else None,
            alarm.account.raw if alarm.account else None,
        ),
    )
    leaf = AlarmLeaf(
        at_ms=alarm.at_ms,
        alarm=found,
        cause=alarm.kind,
        terminal=alarm.terminal,
        nonce=os.urandom(16),
        door=alarm.door,
        attempt=alarm.attempt,
        account=alarm.account,
    )
    log.append(conn, leaf.encode())
    return found


def waits(conn: Connection[Row], kind: AlarmKind, terminal: TerminalId) -> bool:
    """Whether such an alarm of the terminal is there that nobody has acknowledged."""
    row = conn.execute(
        """SELECT 1 FROM alarms WHERE kind = %s AND terminal_id = %s
        AND acknowledged_at_ms IS NULL""",
        (kind, terminal.raw),
    ).fetchone()
    return row is not None


def acknowledge(conn: Connection[Row], alarm: AlarmId, *, now_ms: int) -> bool:
    """Somebody looks after it; False for an unknown alarm, or one that was acknowledged."""
    done = conn.execute(
        """UPDATE alarms SET acknowledged_at_ms = %s
        WHERE alarm_id = %s AND acknowledged_at_ms IS NULL""",
        (now_ms, alarm.raw),
    )
    return done.rowcount == 1
