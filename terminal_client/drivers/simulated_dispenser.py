"""A dispenser of paper and patience that do not exist: it counts, and remembers over power cuts.

Guarantee: every step is on disk before the next, as the counters of a real unit are. ``faults``
make it jam, let notes lie, or forget.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from terminal_client.drivers.dispenser import Handed, Notes
from terminal_client.errors import DispenserError, StorageError
from wire.ids import AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """``jams_after``: so many notes are stacked, then no more; ``taken``: how many of those
    presented the person takes, largest first, None for all; ``forgets``: the unit's memory is
    gone after a power cut."""

    jams_after: int | None = None
    taken: int | None = None
    forgets: bool = False


class SimulatedDispenser:
    def __init__(self, path: Path, notes: Notes, faults: Faults | None = None) -> None:
        """``notes`` are in the cassettes at the first start; raises :class:`StorageError`."""
        self.faults = faults or Faults()
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._database.execute("PRAGMA synchronous = EXTRA")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS unit (name TEXT PRIMARY KEY, notes TEXT)"
            )
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error
        if self._recall("at_hand") is None:
            self.load(notes)

    def at_hand(self) -> Notes:
        return self._recall("at_hand") or {}

    def load(self, notes: Notes) -> None:
        self._remember(at_hand=notes)

    def stack(self, attempt: AttemptId, wanted: Notes) -> Notes:
        at_hand = self.at_hand()
        possible = {value: min(number, at_hand.get(value, 0)) for value, number in wanted.items()}
        stacked = _first(possible, self.faults.jams_after)
        left = {value: number - stacked.get(value, 0) for value, number in at_hand.items()}
        self._remember(**{"at_hand": left, f"stacked {attempt}": stacked})
        return stacked

    def present(self, attempt: AttemptId) -> Handed:
        stacked = self._recall(f"stacked {attempt}") or {}
        taken = _first(stacked, self.faults.taken)
        self._remember(**{f"taken {attempt}": taken})
        return Handed(taken=taken, retracted=_without(stacked, taken))

    def recover(self, attempt: AttemptId) -> Handed:
        if self.faults.forgets:
            raise DispenserError("the unit has lost its memory")
        stacked = self._recall(f"stacked {attempt}") or {}
        taken = self._recall(f"taken {attempt}") or {}
        return Handed(taken=taken, retracted=_without(stacked, taken))

    def close(self) -> None:
        self._database.close()

    def _recall(self, name: str) -> dict[int, int] | None:
        try:
            row = self._database.execute(
                "SELECT notes FROM unit WHERE name = ?", (name,)
            ).fetchone()
            if row is None:
                return None
            return {int(value): int(number) for value, number in json.loads(row[0]).items()}
        except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
            raise StorageError("the dispenser's memory is damaged") from error

    def _remember(self, **values: Notes) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT OR REPLACE INTO unit VALUES (?, ?)",
                [(name, json.dumps(dict(notes))) for name, notes in values.items()],
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._database.rollback()
            raise DispenserError("the dispenser cannot count") from error


def _first(notes: Notes, most: int | None) -> dict[int, int]:
    """The first ``most`` notes, largest values first."""
    left = sum(notes.values()) if most is None else most
    chosen = {}
    for value in sorted(notes, reverse=True):
        number = min(notes[value], left)
        if number:
            chosen[value] = number
        left -= number
    return chosen


def _without(notes: Notes, others: Mapping[int, int]) -> dict[int, int]:
    rest = {value: number - others.get(value, 0) for value, number in notes.items()}
    return {value: number for value, number in rest.items() if number}
