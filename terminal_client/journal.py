"""What a cash machine did with its notes: append-only, hash-chained, on disk before it goes on.

Guarantees: what :meth:`Journal.append` returned from survives a power cut. Each line carries the
SHA-256 of the line before and its own words, across the days' files, so a line that was changed,
removed or put elsewhere is found when the files are read; what a power cut left half-written at
the very end is dropped. Files are numbered, so a clock that jumps does not change their order.

The caller must keep the folder from others. Lines that were cut off the end are not found here:
``countenance ledger atm`` finds them, by what the service knows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from terminal_client.errors import StorageError
from wire.errors import WireError
from wire.ids import AttemptId
from wire.money import AMOUNT_MINOR_MAX

LINE_BYTES_MAX = 4096
FILE_BYTES_MAX = 64 * 1024 * 1024
KINDS_OF_NOTES_MAX = 8
NOTES_MAX = 100_000
START = bytes(32)
_HASH_CHARS = 64
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, WireError)

Notes = Mapping[int, int]
"""A note's value in minor units, to how many."""


class Event(StrEnum):
    LOADED = "loaded"
    ORDERED = "ordered"
    STACKED = "stacked"
    HANDED = "handed"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. ``notes`` are those loaded, ordered, stacked, or taken by the person;
    ``retracted`` those that came back from the shutter; ``at_hand`` what the cassettes held then.
    """

    event: Event
    at_ms: int
    at_hand: Notes
    notes: Notes
    retracted: Notes = field(default_factory=dict)
    attempt: AttemptId | None = None
    amount_minor: int = 0
    currency: str = ""

    @property
    def given_minor(self) -> int:
        return total(self.notes) if self.event is Event.HANDED else 0


def total(notes: Notes) -> int:
    """The value of notes in minor units."""
    return sum(value * number for value, number in notes.items())


class Journal:
    """``folder`` holds a file for each day of UTC, named like ``000012.2026-11-25.log``."""

    def __init__(self, folder: Path) -> None:
        """Reads the newest file whole; raises :class:`StorageError`."""
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._files = files_in(folder)
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror}") from error
        self._folder = folder
        self._last = START
        self._entries: list[Entry] = []
        self._drop_torn_end()
        if self._files:
            newest = self._files[-1]
            _, self._entries, self._last = _read(newest)

    @property
    def files(self) -> list[Path]:
        """Oldest first."""
        return list(self._files)

    def append(self, entry: Entry) -> None:
        """On disk when it returns; raises :class:`StorageError`, and then nothing must move."""
        path = self._file_for(entry.at_ms)
        words = json.dumps(_written(entry), separators=(",", ":"), sort_keys=True)
        last = sha256(self._last + words.encode()).digest()
        line = f"{last.hex()} {words}\n".encode()
        if len(line) > LINE_BYTES_MAX:
            raise StorageError("a line of the journal is too long")
        try:
            new = not path.exists()
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if new:
                    os.write(descriptor, f"{self._last.hex()}\n".encode())
                if os.write(descriptor, line) != len(line):
                    raise StorageError(f"{path}: the disk is full")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                _sync_folder(self._folder)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        if new:
            self._files.append(path)
            self._entries = []
        self._entries.append(entry)
        self._last = last

    def of(self, attempt: AttemptId) -> list[Entry]:
        """What was done for an attempt: an attempt lives minutes, so in the last two files."""
        earlier = read_journal(self._files[-2]) if len(self._files) > 1 else []
        return [each for each in (*earlier, *self._entries) if each.attempt == attempt]

    def _file_for(self, at_ms: int) -> Path:
        day, number = day_of(at_ms), 1
        if self._files:
            newest = self._files[-1]
            if day_of_file(newest) == day:
                return newest
            number = int(newest.name.partition(".")[0]) + 1
        return self._folder / f"{number:06}.{day}.log"

    def _drop_torn_end(self) -> None:
        """What was not on disk when the power failed was never acted on."""
        while self._files:
            path = self._files[-1]
            try:
                with path.open("r+b") as file:
                    raw = file.read(FILE_BYTES_MAX + 1)
                    whole = raw.rfind(b"\n") + 1
                    if whole != len(raw):
                        file.truncate(whole)
                        os.fsync(file.fileno())
                if whole:
                    return
                path.unlink()
            except OSError as error:
                raise StorageError(f"{path}: {error.strerror}") from error
            self._files.pop()


def files_in(folder: Path) -> list[Path]:
    """A journal's files, oldest first."""
    return sorted(folder.glob("[0-9][0-9][0-9][0-9][0-9][0-9].????-??-??.log"))


def day_of_file(path: Path) -> date:
    """Raises :class:`StorageError` for a file that is not a journal's."""
    try:
        return date.fromisoformat(path.name.split(".")[1])
    except (IndexError, ValueError) as error:
        raise StorageError(f"{path} is not named like a day's journal") from error


def day_of(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def read_journal(path: Path) -> list[Entry]:
    """The entries of one file; raises :class:`StorageError`, naming the line."""
    return _read(path)[1]


def verify_journal(files: list[Path]) -> Iterator[tuple[Path, list[Entry]]]:
    """Each file's entries, oldest first; raises :class:`StorageError` where one does not follow
    from the one before."""
    last = None
    for path in files:
        first, entries, last_of_file = _read(path)
        if last is not None and first != last:
            raise StorageError(f"{path} does not follow from the file before it")
        last = last_of_file
        yield path, entries


def _read(path: Path) -> tuple[bytes, list[Entry], bytes]:
    """The hash that the file begins from, its entries, and the hash of its last line."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise StorageError(f"{path} is too long to be a day's journal")
    head, *lines = raw.split(b"\n")
    if not lines or lines.pop() != b"":
        raise StorageError(f"{path} ends in the middle of a line")
    try:
        first = last = _hash(head)
    except ValueError as error:
        raise StorageError(f"{path}, line 1 is damaged") from error
    entries = []
    for number, line in enumerate(lines, 2):
        try:
            last, entry = _follow(last, line)
        except _UNREADABLE as error:
            raise StorageError(f"{path}, line {number} is damaged or was changed") from error
        entries.append(entry)
    return first, entries, last


def _follow(last: bytes, line: bytes) -> tuple[bytes, Entry]:
    said, blank, words = line.partition(b" ")
    following = sha256(last + words).digest()
    if _hash(said) != following or not blank:
        raise ValueError("not what its hash says")
    return following, _parsed(words)


def _hash(text: bytes) -> bytes:
    if len(text) != _HASH_CHARS:
        raise ValueError("not a hash")
    return bytes.fromhex(text.decode("ascii"))


def _written(entry: Entry) -> dict[str, object]:
    words: dict[str, object] = {
        "event": entry.event,
        "at_ms": entry.at_ms,
        "at_hand": _texts(entry.at_hand),
        "notes": _texts(entry.notes),
    }
    if entry.retracted:
        words["retracted"] = _texts(entry.retracted)
    if entry.attempt is not None:
        words |= {
            "attempt": str(entry.attempt),
            "amount_minor": entry.amount_minor,
            "currency": entry.currency,
        }
    return words


def _parsed(words: bytes) -> Entry:
    fields = json.loads(words)
    attempt = fields.pop("attempt", None)
    return Entry(
        event=Event(fields.pop("event")),
        at_ms=_number(fields.pop("at_ms"), 2**53),
        at_hand=_notes(fields.pop("at_hand")),
        notes=_notes(fields.pop("notes")),
        retracted=_notes(fields.pop("retracted", {})),
        attempt=AttemptId.parse(attempt) if attempt is not None else None,
        amount_minor=_number(fields.pop("amount_minor", 0), AMOUNT_MINOR_MAX),
        currency=str(fields.pop("currency", "")),
        **fields,
    )


def _texts(notes: Notes) -> dict[str, int]:
    return {str(value): number for value, number in sorted(notes.items()) if number}


def _notes(words: dict[str, object]) -> dict[int, int]:
    if len(words) > KINDS_OF_NOTES_MAX:
        raise ValueError("too many kinds of notes")
    return {
        _number(int(value), AMOUNT_MINOR_MAX): _number(number, NOTES_MAX)
        for value, number in words.items()
    }


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a number out of range")
    return value


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
