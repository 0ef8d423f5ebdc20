"""Opening a door: the strike is commanded, then the contact confirms."""

from __future__ import annotations

from typing import Protocol

from terminal_client.errors import UsageError
from terminal_client.keystore import Identity
from wire.messages import Completion, Decision, Direction, EntryContext, TerminalKind


class Relay(Protocol):
    def command(self, *, open_ms: int) -> None:
        """Releases the strike for so long."""

    def confirmed(self) -> bool:
        """Whether the door contact saw the door open."""


OPEN_MS = 5_000


def entry(identity: Identity, direction: Direction) -> EntryContext:
    """Raises :class:`UsageError` on a terminal without a door."""
    identity.require(TerminalKind.DOOR)
    if identity.door is None:
        raise UsageError("this terminal was registered without a door")
    return EntryContext(door=identity.door, direction=direction)


def open_door(decision: Decision, relay: Relay, *, open_ms: int = OPEN_MS) -> Completion:
    """Commands the relay for an approved entry only."""
    if not decision.approved or not isinstance(decision.context, EntryContext):
        raise RuntimeError("only an approved entry opens a door")
    relay.command(open_ms=open_ms)
    return Completion.COMPLETED if relay.confirmed() else Completion.FAILED
