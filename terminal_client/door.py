"""A door as its contact shows it: pure, and driven by times that are given.

A door is *commanded* when its driver was told to release it, *accepted* when the lock's side
took the order, and *confirmed* when the contact saw it open. An opening that nobody was let
through for is *forced*; one that lasts too long is *held*.

Guarantees: one entry waits at a time; another is refused as busy. An entry ends as exactly one
of confirmed, accepted (a door without a contact), not opened, or refused. After a lost line the
contact is unknown, so a door that comes back open is *found open*, not taken as shut.

The caller must pass each :class:`Signal`, call :meth:`Door.tick` at :attr:`Door.deadline_ms`,
give the orders of each :class:`Step` to the driver, and keep its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from terminal_client.drivers.channel import (
    ANSWER_MS,
    Answered,
    Claimed,
    Fault,
    Input,
    Link,
    Sensed,
    Signal,
)
from terminal_client.errors import UsageError
from terminal_client.keystore import Identity
from wire.ids import AttemptId
from wire.messages import Direction, EntryContext, TerminalKind

OPEN_MS, HELD_MS = 5_000, 20_000
GRACE_MS = 1_000
BOUNCE_MS = 300
FAR_MS = 2**62


class Exit(Enum):
    """What a request to exit does: a button releases the lock, a motion sensor before a door
    with a free handle only explains that it opens."""

    RELEASES = "releases"
    EXPLAINS = "explains"


class Happened(Enum):
    COMMANDED = "commanded"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    CONFIRMED = "confirmed"
    NOT_OPENED = "not_opened"
    EXIT_REQUESTED = "exit_requested"
    OPENED = "opened"
    CLOSED = "closed"
    HELD = "held"
    FORCED = "forced"
    FOUND_OPEN = "found_open"
    TAMPERED = "tampered"
    TAMPER_ENDED = "tamper_ended"
    LINK_LOST = "link_lost"
    LINK_RESTORED = "link_restored"


ALARMS = frozenset(
    {Happened.HELD, Happened.FORCED, Happened.FOUND_OPEN, Happened.TAMPERED, Happened.LINK_LOST}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorEvent:
    """``at_ms`` is of the clock that the door was driven by; ``attempt`` is whose entry it was."""

    happened: Happened
    at_ms: int
    attempt: AttemptId | None = None
    fault: Fault | None = None


class Order(Enum):
    RELEASE = "release"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Step:
    events: tuple[DoorEvent, ...] = ()
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorPolicy:
    """``held_ms``: how long a door may stand open."""

    open_ms: int = OPEN_MS
    held_ms: int = HELD_MS
    exit: Exit = Exit.EXPLAINS
    has_contact: bool = True


class Door:
    def __init__(self, policy: DoorPolicy) -> None:
        self._policy = policy
        self._entry: AttemptId | None = None
        self._accepted = False
        self._released_until_ms = self._explained_until_ms = 0
        self._answer_by_ms = FAR_MS
        self._open: bool | None = None
        self._exit_wanted = False
        self._open_since_ms = 0
        self._held = False
        self._events: list[DoorEvent] = []
        self._orders: list[Order] = []

    @property
    def deadline_ms(self) -> int:
        """When :meth:`tick` has something to do, unless a signal comes first."""
        ends = [self._answer_by_ms]
        if self._released_until_ms:
            ends.append(self._released_until_ms)
        if self._entry is not None and self._policy.has_contact:
            ends.append(self._explained_until_ms)
        if self._open and not self._held:
            ends.append(self._open_since_ms + self._policy.held_ms)
        return min(ends)

    def admit(self, attempt: AttemptId, at_ms: int) -> Step:
        """Releases the door for an approved entry."""
        self._pass_time(at_ms)
        if self._entry is not None:
            self._note(Happened.REFUSED, at_ms, attempt, Fault.BUSY)
            return self._step()
        self._entry, self._accepted = attempt, False
        self._answer_by_ms = at_ms + ANSWER_MS
        self._release(at_ms)
        self._note(Happened.COMMANDED, at_ms, attempt)
        if self._open:
            self._confirm(at_ms)
        return self._step()

    def sense(self, signal: Signal, at_ms: int) -> Step:
        """Takes what the driver brought; a claim is nothing to a door."""
        self._pass_time(at_ms)
        match signal:
            case Answered(fault):
                self._answered(fault, at_ms)
            case Link(up, fault):
                self._linked(up, fault, at_ms)
            case Sensed(Input.CONTACT, active):
                self._contact(active, at_ms)
            case Sensed(Input.EXIT, active):
                self._exit(active, at_ms)
            case Sensed(Input.TAMPER, active):
                self._note(Happened.TAMPERED if active else Happened.TAMPER_ENDED, at_ms)
            case Claimed():
                pass
        return self._step()

    def tick(self, at_ms: int) -> Step:
        self._pass_time(at_ms)
        return self._step()

    def _answered(self, fault: Fault | None, at_ms: int) -> None:
        self._answer_by_ms = FAR_MS
        if fault is not None:
            self._note(Happened.REFUSED, at_ms, self._entry, fault)
            self._entry = None
            self._lock()
        elif self._entry is not None and not self._accepted:
            self._accepted = True
            self._note(Happened.ACCEPTED, at_ms, self._entry)
            if not self._policy.has_contact:
                self._entry = None

    def _linked(self, up: bool, fault: Fault | None, at_ms: int) -> None:
        self._note(Happened.LINK_RESTORED if up else Happened.LINK_LOST, at_ms, None, fault)
        if not up:
            self._open, self._answer_by_ms = None, FAR_MS
            self._end(Happened.REFUSED, at_ms, fault or Fault.NOT_CONNECTED)
            self._released_until_ms = self._explained_until_ms = 0
            self._exit_wanted = False

    def _contact(self, is_open: bool, at_ms: int) -> None:
        was_open, self._open = self._open, is_open
        if is_open == was_open:
            return
        if not is_open:
            if was_open:
                self._note(Happened.CLOSED, at_ms)
                if self._entry is None:
                    self._explained_until_ms = at_ms + BOUNCE_MS
                    if self._released_until_ms:
                        self._lock()
            return
        self._open_since_ms, self._held = at_ms, False
        if self._entry is not None:
            self._confirm(at_ms)
        elif self._exit_wanted or at_ms < self._explained_until_ms:
            self._note(Happened.OPENED, at_ms)
        else:
            self._note(Happened.FORCED if was_open is False else Happened.FOUND_OPEN, at_ms)

    def _exit(self, wanted: bool, at_ms: int) -> None:
        was_wanted, self._exit_wanted = self._exit_wanted, wanted
        if not wanted or was_wanted:
            return
        self._note(Happened.EXIT_REQUESTED, at_ms)
        if self._entry is not None:
            return
        if self._policy.exit is Exit.RELEASES:
            self._release(at_ms)
        else:
            explained_ms = at_ms + self._policy.open_ms + GRACE_MS
            self._explained_until_ms = max(self._explained_until_ms, explained_ms)

    def _release(self, at_ms: int) -> None:
        self._released_until_ms = at_ms + self._policy.open_ms
        self._explained_until_ms = self._released_until_ms + GRACE_MS
        self._orders.append(Order.RELEASE)

    def _lock(self) -> None:
        self._released_until_ms = 0
        self._orders.append(Order.LOCK)

    def _confirm(self, at_ms: int) -> None:
        self._end(Happened.CONFIRMED, at_ms)
        self._open_since_ms, self._held = at_ms, False

    def _end(self, how: Happened, at_ms: int, fault: Fault | None = None) -> None:
        if self._entry is not None:
            self._note(how, at_ms, self._entry, fault)
            self._entry, self._answer_by_ms = None, FAR_MS

    def _pass_time(self, at_ms: int) -> None:
        if self._answer_by_ms <= at_ms:
            self._answer_by_ms = FAR_MS
            if not self._policy.has_contact:
                self._end(Happened.REFUSED, at_ms, Fault.NO_ANSWER)
        if self._entry is not None and self._explained_until_ms <= at_ms:
            fault = None if self._accepted else Fault.NO_ANSWER
            self._end(Happened.NOT_OPENED, at_ms, fault)
        if 0 < self._released_until_ms <= at_ms:
            self._lock()
        if self._open and not self._held and self._open_since_ms + self._policy.held_ms <= at_ms:
            self._held = True
            self._note(Happened.HELD, at_ms)

    def _note(
        self,
        happened: Happened,
        at_ms: int,
        attempt: AttemptId | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._events.append(DoorEvent(happened=happened, at_ms=at_ms, attempt=attempt, fault=fault))

    def _step(self) -> Step:
        step = Step(tuple(self._events), tuple(self._orders))
        self._events.clear()
        self._orders.clear()
        return step


def entry(identity: Identity, direction: Direction) -> EntryContext:
    """Raises :class:`UsageError` on a terminal without a door."""
    identity.require(TerminalKind.DOOR)
    if identity.door is None:
        raise UsageError("this terminal was registered without a door")
    return EntryContext(door=identity.door, direction=direction)
