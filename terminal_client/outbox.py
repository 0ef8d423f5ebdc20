"""What was sent and not yet answered, on disk before it is sent.

Guarantees: a message that :meth:`Outbox.put` returned from survives a power cut, and is sent
again with the same bytes until its answer is there. At most ``MESSAGES_MAX`` wait; a full
outbox or disk refuses before anything is sent.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from terminal_client.errors import StorageError
from wire.ids import AttemptId

MESSAGES_MAX = 1000


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
            self._database = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._database.execute("PRAGMA synchronous = EXTRA")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS waiting (attempt BLOB, path TEXT, raw BLOB,"
                " PRIMARY KEY (attempt, path))"
            )
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error

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
        """Oldest first."""
        rows = self._database.execute("SELECT attempt, path, raw FROM waiting ORDER BY rowid")
        return [Waiting(AttemptId(attempt), path, raw) for attempt, path, raw in rows]

    def close(self) -> None:
        self._database.close()
