"""Notes: which to give, and a journal of what was given.

Guarantees: the journal is on disk before the notes move, so an attempt dispenses at most once,
whatever happens to the power; an amount that the notes cannot make is not dispensed at all.
The simulated cassette counts notes; a real one goes behind the same two methods.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from terminal_client.errors import StorageError, UsageError
from terminal_client.keystore import Identity
from wire.ids import AttemptId
from wire.messages import Completion, Decision, TerminalKind, WithdrawalContext
from wire.money import Money

NOTES_MAX = 40


class Cassette:
    """``notes`` maps a note's value in minor units to how many there are, at the first start."""

    def __init__(self, path: Path, notes: Mapping[int, int]) -> None:
        """Raises :class:`StorageError`."""
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=5)
            self._database.execute("PRAGMA synchronous = EXTRA")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS notes (value INTEGER PRIMARY KEY, number INTEGER"
                " CHECK (number >= 0))"
            )
            self._database.execute("CREATE TABLE IF NOT EXISTS given (attempt BLOB PRIMARY KEY)")
            if not self.notes:
                self._database.executemany("INSERT INTO notes VALUES (?, ?)", list(notes.items()))
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error

    @property
    def notes(self) -> dict[int, int]:
        return dict(self._database.execute("SELECT value, number FROM notes").fetchall())

    def load(self, notes: Mapping[int, int]) -> None:
        """The cassettes hold ``notes`` now; raises :class:`StorageError`."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("DELETE FROM notes")
            self._database.executemany("INSERT INTO notes VALUES (?, ?)", list(notes.items()))
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._database.rollback()
            raise StorageError(f"the cassette's journal cannot be written: {error}") from error

    def dispense(self, decision: Decision) -> Completion:
        """Gives the approved amount, once."""
        context = decision.context
        if not decision.approved or not isinstance(context, WithdrawalContext):
            raise RuntimeError("only an approved withdrawal is dispensed")
        chosen = choose_notes(context.amount_minor, self.notes)
        if chosen is None or self.was_given(decision.attempt):
            return Completion.FAILED
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute("INSERT INTO given VALUES (?)", (decision.attempt.raw,))
            self._database.executemany(
                "UPDATE notes SET number = number - ? WHERE value = ?",
                [(number, value) for value, number in chosen.items()],
            )
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self._database.rollback()
            return Completion.FAILED
        return Completion.COMPLETED

    def was_given(self, attempt: AttemptId) -> bool:
        query = "SELECT 1 FROM given WHERE attempt = ?"
        return self._database.execute(query, (attempt.raw,)).fetchone() is not None

    def close(self) -> None:
        self._database.close()


def withdrawal(identity: Identity, money: Money, notes: Mapping[int, int]) -> WithdrawalContext:
    """``notes``: value to number; raises :class:`UsageError` for what they cannot make."""
    identity.require(TerminalKind.ATM)
    if choose_notes(money.amount_minor, notes) is None:
        raise UsageError(f"the notes in the cassette cannot make {money}")
    return WithdrawalContext(amount_minor=money.amount_minor, currency=money.currency)


def choose_notes(amount_minor: int, notes: Mapping[int, int]) -> dict[int, int] | None:
    """The fewest notes that make the amount exactly; None where no ``NOTES_MAX`` notes do.

    ``notes``: value to number.
    """
    reached: dict[int, dict[int, int]] = {0: {}}
    for value, number in notes.items():
        for amount, chosen in list(reached.items()):
            room = NOTES_MAX - sum(chosen.values())
            for count in range(1, min(number, room, (amount_minor - amount) // value) + 1):
                candidate = {**chosen, value: count}
                rival = reached.get(amount + count * value)
                if rival is None or sum(candidate.values()) < sum(rival.values()):
                    reached[amount + count * value] = candidate
    return reached.get(amount_minor)
