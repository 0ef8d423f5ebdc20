"""Doors that an operator opens by hand, in PostgreSQL, in the caller's transaction.

Guarantees: a release is handed to the door once, in the answer to a beat that comes within
``WAITS_MS`` of being asked for, or never: an answer that is lost, and a door that asks too late,
open nothing. Of a door one release waits at a time. The first word of the door on it stands.
Release, door and moment are signed by the service: whoever can write rows alone opens no door.

The caller must check who asks, and log it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.keys import check_row
from service.operators.people import OperatorId
from wire.envelope import SigningKey
from wire.ids import AttemptId, DoorId, ReleaseId

WAITS_MS = 10_000
"""Five beats: nobody expects a door to open later than that."""
ANSWERS_MS = 60_000
REASON_MAX = 200
RELEASE_LABEL = b"countenance/v1/release"


class State(StrEnum):
    WAITS = "waits"
    NOT_FETCHED = "not_fetched"
    COMMANDED = "commanded"
    NO_WORD = "no_word"
    OPENED = "opened"
    NOT_OPENED = "not_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """``by`` is the operator's name."""

    release: ReleaseId
    by: str
    reason: str
    asked_at_ms: int
    sent_at_ms: int | None
    opened: bool | None

    def state_at(self, now_ms: int) -> State:
        if self.opened is not None:
            return State.OPENED if self.opened else State.NOT_OPENED
        if self.sent_at_ms is None:
            return State.WAITS if now_ms < self.asked_at_ms + WAITS_MS else State.NOT_FETCHED
        return State.COMMANDED if now_ms < self.sent_at_ms + ANSWERS_MS else State.NO_WORD


def ask(
    conn: Connection[Row],
    release: ReleaseId,
    door: DoorId,
    *,
    operator: OperatorId,
    reason: str,
    key: SigningKey,
    now_ms: int,
) -> bool:
    """False where there is no such door, or a release of it waits."""
    known = conn.execute("SELECT 1 FROM doors WHERE door_id = %s FOR UPDATE", (door.raw,))
    waiting = conn.execute(
        """SELECT 1 FROM releases
        WHERE door_id = %s AND asked_at_ms > %s AND sent_at_ms IS NULL""",
        (door.raw, now_ms - WAITS_MS),
    )
    if known.fetchone() is None or waiting.fetchone() is not None:
        return False
    conn.execute(
        """INSERT INTO releases (release_id, door_id, operator_id, reason, asked_at_ms, signature)
        VALUES (%s, %s, %s, %s, %s, %s)""",
        (
            release.raw,
            door.raw,
            operator.raw,
            reason,
            now_ms,
            key.private.sign(_signed(release, door, now_ms)),
        ),
    )
    return True


def hand_over(
    conn: Connection[Row], door: DoorId, *, key: SigningKey, now_ms: int
) -> ReleaseId | None:
    """The release that waits, to whoever asks first; None where none does.

    Raises :class:`Misconfigured` for one that this service did not sign.
    """
    row = conn.execute(
        """UPDATE releases SET sent_at_ms = %s
        WHERE door_id = %s AND asked_at_ms > %s AND sent_at_ms IS NULL
        RETURNING release_id, asked_at_ms, signature""",
        (now_ms, door.raw, now_ms - WAITS_MS),
    ).fetchone()
    if row is None:
        return None
    raw, asked_at_ms, signature = row
    release = ReleaseId(raw)
    check_row(key, signature, _signed(release, door, asked_at_ms), str(release))
    return release


def _signed(release: ReleaseId, door: DoorId, asked_at_ms: int) -> bytes:
    return RELEASE_LABEL + release.raw + door.raw + asked_at_ms.to_bytes(8)


def close(
    conn: Connection[Row], release: ReleaseId, door: DoorId, *, opened: bool, at_ms: int
) -> None:
    """What the door said of it; nothing where it is no release of this door."""
    conn.execute(
        """UPDATE releases SET opened = %s, closed_at_ms = %s
        WHERE release_id = %s AND door_id = %s AND sent_at_ms IS NOT NULL AND opened IS NULL""",
        (opened, at_ms, release.raw, door.raw),
    )


def list_newest(conn: Connection[Row], door: DoorId, *, limit: int) -> list[Release]:
    rows = conn.execute(
        """SELECT release_id, name, reason, asked_at_ms, sent_at_ms, opened
        FROM releases JOIN operators USING (operator_id)
        WHERE door_id = %s ORDER BY asked_at_ms DESC LIMIT %s""",
        (door.raw, limit),
    ).fetchall()
    return [
        Release(
            release=ReleaseId(release),
            by=name,
            reason=reason,
            asked_at_ms=asked_at_ms,
            sent_at_ms=sent_at_ms,
            opened=opened,
        )
        for release, name, reason, asked_at_ms, sent_at_ms, opened in rows
    ]


def among(conn: Connection[Row], attempts: Collection[AttemptId]) -> tuple[AttemptId, ...]:
    """Which of the ids that doors report are releases, and no attempts; in the ids' order."""
    rows = conn.execute(
        "SELECT release_id FROM releases WHERE release_id = ANY(%s) ORDER BY release_id",
        ([each.raw for each in attempts],),
    ).fetchall()
    return tuple(AttemptId(raw) for (raw,) in rows)
