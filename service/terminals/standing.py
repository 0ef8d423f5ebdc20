"""How doors are, and the newest bundle of each, in PostgreSQL, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from psycopg import Connection

from service.db import Row
from wire.bundle import DoorBeat
from wire.ids import AccountId, TerminalId

DIGEST_BYTES = 8
KEPT = 3
_ROW_BYTES = 16 + DIGEST_BYTES

People = tuple[tuple[AccountId, bytes], ...]
"""Each account and a digest of its rights, 8 bytes, in the bundle's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What a door was given."""

    issued_at_ms: int
    model_id: bytes
    header: bytes
    people: People = field(repr=False)


def holds_at(conn: Connection[Row], terminal: TerminalId, number: int) -> int | None:
    """The revision at which a bundle last held; None for one that is no longer known."""
    row = conn.execute(
        "SELECT revision FROM door_bundles WHERE terminal_id = %s AND number = %s",
        (terminal.raw, number),
    ).fetchone()
    return int(row[0]) if row else None


def find_issued(conn: Connection[Row], terminal: TerminalId, number: int) -> Issued | None:
    row = conn.execute(
        """SELECT issued_at_ms, model_id, header, people FROM door_bundles
        WHERE terminal_id = %s AND number = %s""",
        (terminal.raw, number),
        binary=True,
    ).fetchone()
    if row is None:
        return None
    issued_at_ms, model_id, header, raw = row
    return Issued(
        issued_at_ms=issued_at_ms,
        model_id=model_id,
        header=header,
        people=tuple(
            (AccountId(raw[at : at + 16]), raw[at + 16 : at + _ROW_BYTES])
            for at in range(0, len(raw), _ROW_BYTES)
        ),
    )


def issue(
    conn: Connection[Row],
    terminal: TerminalId,
    *,
    issued_at_ms: int,
    model_id: bytes,
    revision: int,
    header: bytes,
    people: People,
) -> int:
    """Returns its number; the last ``KEPT`` of a terminal are remembered."""
    conn.execute("SELECT 1 FROM terminals WHERE terminal_id = %s FOR UPDATE", (terminal.raw,))
    row = conn.execute(
        """INSERT INTO door_bundles (terminal_id, number, issued_at_ms, model_id, revision, header,
        people) VALUES (%(terminal)s, (SELECT coalesce(max(number), 0) + 1 FROM door_bundles
            WHERE terminal_id = %(terminal)s), %(at)s, %(model)s, %(revision)s, %(header)s,
            %(people)s) RETURNING number""",
        {
            "terminal": terminal.raw,
            "at": issued_at_ms,
            "model": model_id,
            "revision": revision,
            "header": header,
            "people": b"".join(account.raw + digest for account, digest in people),
        },
    ).fetchone()
    if row is None:
        raise RuntimeError("an insertion returns its row")
    conn.execute(
        "DELETE FROM door_bundles WHERE terminal_id = %s AND number <= %s",
        (terminal.raw, row[0] - KEPT),
    )
    return int(row[0])


def still_holds(conn: Connection[Row], terminal: TerminalId, number: int, revision: int) -> None:
    conn.execute(
        "UPDATE door_bundles SET revision = %s WHERE terminal_id = %s AND number = %s",
        (revision, terminal.raw, number),
    )


def last_beat_ms(conn: Connection[Row], terminal: TerminalId) -> int | None:
    """When the newest beat came, by the service's clock; locks it."""
    row = conn.execute(
        "SELECT at_ms FROM door_beats WHERE terminal_id = %s FOR UPDATE", (terminal.raw,)
    ).fetchone()
    return int(row[0]) if row else None


def keep_beat(conn: Connection[Row], beat: DoorBeat, *, now_ms: int) -> None:
    conn.execute(
        """INSERT INTO door_beats (terminal_id, at_ms, skew_ms, bundle, sequence, waiting, camera,
        lock, fail_safe) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (terminal_id) DO UPDATE SET at_ms = excluded.at_ms,
        skew_ms = excluded.skew_ms, bundle = excluded.bundle, sequence = excluded.sequence,
        waiting = excluded.waiting, camera = excluded.camera, lock = excluded.lock,
        fail_safe = excluded.fail_safe""",
        (
            beat.terminal.raw,
            now_ms,
            beat.at_ms - now_ms,
            beat.bundle,
            beat.sequence,
            beat.waiting,
            beat.camera,
            beat.lock,
            beat.fail_safe,
        ),
    )
