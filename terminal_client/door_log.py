"""What a door did, in a chain on its disk, until the service has it and no bundle needs it.

Guarantees: a record that :meth:`DoorLog.append` returned survives a power cut; numbers have no
gap, and each record's place in the chain is taken down with it, so one that is later edited, left
out or put back is refused by the service. At most ``RECORDS_MAX`` are kept, of which the last
``RESERVED`` are not for decisions: a door that cannot take down whom it lets in lets nobody in.
What was appended and kept by the service stays until a bundle says that it has it in. Safe for
several threads of one process, and closed to others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from threading import RLock

from terminal_client.errors import InUse, StorageError
from wire.errors import WireError
from wire.ids import AttemptId
from wire.messages import (
    CHAIN_START,
    DoorDecision,
    DoorEventKind,
    DoorFault,
    DoorRecord,
    chain_head,
)
from wire.messages import RECORDS_MAX as BATCH_MAX

RECORDS_MAX, RESERVED = 50_000, 1_000
FILE_NAME = "door.db"


class DoorLog:
    def __init__(self, path: Path, *, records_max: int = RECORDS_MAX) -> None:
        """Raises :class:`StorageError` for a file that is damaged or cannot be made."""
        self._lock, self._records_max = RLock(), records_max
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=0, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InUse(f"{path}: another process runs this door") from error
            raise StorageError(f"{path}: {error}") from error

    def _open(self) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("BEGIN EXCLUSIVE")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY, previous BLOB,"
            " raw BLOB, head BLOB)"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, number INTEGER, raw BLOB)"
        )
        self._database.execute("COMMIT")

    def append(
        self,
        event: DoorEventKind,
        at_ms: int,
        *,
        offline: bool,
        attempt: AttemptId | None = None,
        decision: DoorDecision | None = None,
        fault: DoorFault | None = None,
    ) -> DoorRecord | None:
        """None where there is no room; a decision must not be acted on then.

        Raises :class:`StorageError`.
        """
        with self._lock, self._transaction():
            (number,) = self._database.execute("SELECT count(*) FROM records").fetchone()
            room = self._records_max - number - (RESERVED if decision else 0)
            if room < 1:
                return None
            if room == 1 and decision is None:
                # The last place: from now on things happen here that nobody will hear of.
                event, attempt, fault = DoorEventKind.FAULT, None, DoorFault.RECORDS_FULL
            sequence, previous = self.end
            record = DoorRecord(
                sequence=sequence + 1,
                at_ms=at_ms,
                offline=offline,
                event=event,
                attempt=attempt,
                decision=decision,
                fault=fault,
            )
            head = chain_head(previous, record)
            self._database.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?)",
                (record.sequence, previous, record.encode(), head),
            )
            self._mark("end", record.sequence, head)
        return record

    @property
    def end(self) -> tuple[int, bytes]:
        """The last record's number, 0 before the first, and the chain's head after it."""
        number, head = self.mark("end")
        return number, head or CHAIN_START

    @property
    def kept(self) -> int:
        """The last record that the service has."""
        return self.mark("kept")[0]

    def waiting(self) -> tuple[bytes, tuple[DoorRecord, ...], bytes] | None:
        """The next records for the service, with the chain's heads before and after them.

        Raises :class:`StorageError` for what is no record.
        """
        with self._lock:
            rows = self._rows("sequence > ? ORDER BY sequence LIMIT ?", self.kept, BATCH_MAX)
        if not rows:
            return None
        records = [_read(raw) for _, _, raw, _ in rows]
        # Where one was taken out, what follows it is sent by itself, and refused.
        numbers = count(records[0].sequence)
        whole = tuple(takewhile(lambda record: record.sequence == next(numbers), records))
        return rows[0][1], whole, rows[len(whole) - 1][3]

    def since(self, sequence: int) -> list[DoorRecord]:
        """Everything after a record, in order; raises :class:`StorageError`."""
        with self._lock:
            rows = self._rows("sequence > ? ORDER BY sequence", sequence)
        return [_read(raw) for _, _, raw, _ in rows]

    def keep(self, sequence: int, head: bytes) -> None:
        """The service has the records up to this one; raises :class:`StorageError`."""
        with self._lock, self._transaction():
            own = self._rows("sequence = ?", sequence)
            if not own or own[0][3] != head:
                raise StorageError("the service acknowledged other records than these")
            self._mark("kept", max(sequence, self.kept))
            self._forget()

    def cover(self, sequence: int) -> None:
        """A bundle has the records up to this one in it; raises :class:`StorageError`."""
        with self._lock, self._transaction():
            self._mark("covered", sequence)
            self._forget()

    def _forget(self) -> None:
        done = min(self.kept, self.mark("covered")[0])
        self._database.execute("DELETE FROM records WHERE sequence <= ?", (done,))

    def mark(self, name: str) -> tuple[int, bytes]:
        """What was remembered under a name; 0 and nothing before. Raises :class:`StorageError`."""
        with self._lock:
            try:
                row = self._database.execute(
                    "SELECT number, raw FROM marks WHERE name = ?", (name,)
                ).fetchone()
            except sqlite3.Error as error:
                raise StorageError("the door's log is damaged") from error
        match row:
            case None:
                return 0, b""
            case (int(number), bytes(raw)):
                return number, raw
        raise StorageError("the door's log is damaged")

    def remember(self, name: str, number: int, raw: bytes = b"") -> None:
        """Raises :class:`StorageError`."""
        with self._lock, self._transaction():
            self._mark(name, number, raw)

    def _mark(self, name: str, number: int, raw: bytes = b"") -> None:
        self._database.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (name, number, raw))

    def _rows(self, where: str, *values: int) -> list[tuple[int, bytes, bytes, bytes]]:
        try:
            return self._database.execute(
                f"SELECT sequence, previous, raw, head FROM records WHERE {where}",  # noqa: S608
                values,
            ).fetchall()
        except sqlite3.Error as error:
            raise StorageError("the door's log is damaged") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._database.rollback()
            raise StorageError(f"the door's log cannot store: {error}") from error
        except BaseException:
            self._database.rollback()
            raise

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _read(raw: bytes) -> DoorRecord:
    try:
        return DoorRecord.decode(raw)
    except (WireError, TypeError) as error:
        raise StorageError("the door's log is damaged") from error
