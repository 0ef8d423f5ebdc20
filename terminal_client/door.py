"""Opening a door: the strike is commanded, then the contact confirms."""

from __future__ import annotations

from typing import Protocol

from wire.messages import Completion, Decision, EntryContext


class Relay(Protocol):
    def command(self, *, open_ms: int) -> None:
        """Releases the strike for so long."""

    def confirmed(self) -> bool:
        """Whether the door contact saw the door open."""


OPEN_MS = 5_000


def open_door(decision: Decision, relay: Relay) -> Completion:
    """Commands the relay for an approved entry only."""
    if not decision.approved or not isinstance(decision.context, EntryContext):
        raise RuntimeError("only an approved entry opens a door")
    relay.command(open_ms=OPEN_MS)
    return Completion.COMPLETED if relay.confirmed() else Completion.FAILED
