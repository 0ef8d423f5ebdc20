"""What was sent and not yet answered, on disk before it is sent.

Guarantees: a message that :meth:`Outbox.put` returned from survives a power cut, and is sent
again with the same bytes until its answer is there. At most ``MESSAGES_MAX`` wait; a full
outbox or disk refuses before anything is sent. One process at a time has it open.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from terminal_client.errors import InUse, StorageError
from wire.ids import AttemptId

MESSAGES_MAX = 1000
ATTEMPT, CARD_ATTEMPT, CONFIRM = "/v1/attempts", "/v1/card-attempts", "/v1/confirmations"
PATHS = frozenset({ATTEMPT, CARD_ATTEMPT, CONFIRM})


@dataclass(frozen=True, slots=True)
class Waiting:
    """``path`` is where it goes; ``raw`` the signed bytes."""

    attempt: AttemptId
    path: str
    raw: bytes


class Outbox:
    def __init__(self, path: Path) -> None:
        """Raises :class:`StorageError` for a file that is damaged or cannot be made."""
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InUse(f"{path}: another process runs this terminal") from error
            raise StorageError(f"{path}: {error}") from error

    def _open(self) -> None:
        # Held until the process ends: two that settle one attempt could act and void it at once.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA synchronous = EXTRA")
        self._database.execute("BEGIN EXCLUSIVE")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS waiting (attempt BLOB, path TEXT, raw BLOB,"
            " PRIMARY KEY (attempt, path))"
        )
        self._database.execute("COMMIT")

    def put(self, message: Waiting) -> None:
        """Raises :class:`StorageError`; then nothing must be sent."""
        try:
            (number,) = self._database.execute("SELECT count(*) FROM waiting").fetchone()
            if number >= MESSAGES_MAX:
                raise StorageError("the outbox is full: restore the connection to the service")
            self._database.execute(
                "INSERT INTO waiting VALUES (?, ?, ?)",
                (message.attempt.raw, message.path, message.raw),
            )
        except sqlite3.Error as error:
            raise StorageError(f"the outbox cannot store: {error}") from error

    def swap(self, done: Waiting, follow: Waiting) -> None:
        """Replaces an answered message by the one that follows from it, in one step."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._delete(done)
            self.put(follow)
            self._database.execute("COMMIT")
        except (sqlite3.Error, StorageError) as error:
            self._database.rollback()
            raise StorageError(f"the outbox cannot store: {error}") from error

    def done(self, message: Waiting) -> None:
        try:
            self._delete(message)
        except sqlite3.Error as error:
            raise StorageError(f"the outbox cannot delete: {error}") from error

    def _delete(self, message: Waiting) -> None:
        self._database.execute(
            "DELETE FROM waiting WHERE attempt = ? AND path = ?",
            (message.attempt.raw, message.path),
        )

    def waiting(self) -> list[Waiting]:
        """Oldest first; raises :class:`StorageError` for rows that are no messages."""
        try:
            rows = self._database.execute(
                "SELECT attempt, path, raw FROM waiting ORDER BY rowid"
            ).fetchall()
            return [_read(row) for row in rows]
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StorageError("the outbox is damaged") from error

    def close(self) -> None:
        self._database.close()


def _read(row: tuple[object, ...]) -> Waiting:
    match row:
        case (bytes(attempt), str(path), bytes(raw)) if path in PATHS:
            return Waiting(AttemptId(attempt), path, raw)
    raise ValueError("not a message")
