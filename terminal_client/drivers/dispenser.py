"""What hands out notes: cassettes, a stacker, and a shutter that takes back what is not taken.

The order of a withdrawal is :meth:`Dispenser.stack`, then :meth:`Dispenser.present`. A real unit
goes behind these methods (CEN/XFS and J/XFS have the same steps: dispense, present, retract).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wire.ids import AttemptId

Notes = Mapping[int, int]
"""A note's value in minor units, to how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Where the notes of one attempt went: to the person, or back into the reject bin."""

    taken: Notes
    retracted: Notes


class Dispenser(Protocol):
    """Each method raises :class:`~terminal_client.errors.DispenserError` where the unit cannot
    say what happened; what it counted stays in its own memory, whatever happens to the power."""

    def at_hand(self) -> Notes:
        """What the cassettes hold."""

    def load(self, notes: Notes) -> None:
        """Somebody filled the cassettes: they hold ``notes`` now, and the reject bin is empty."""

    def stack(self, attempt: AttemptId, wanted: Notes) -> Notes:
        """Moves notes from the cassettes to the stacker; returns which, fewer after a jam.

        Nobody can reach them yet.
        """

    def present(self, attempt: AttemptId) -> Handed:
        """Opens the shutter, waits for a bounded time, and takes back what is still there."""

    def recover(self, attempt: AttemptId) -> Handed:
        """After a power cut: takes back what lies in the stacker or the shutter, and says from
        the unit's memory where the attempt's notes went. Asked again, it says the same; an
        attempt that the unit never began handed out nothing."""
