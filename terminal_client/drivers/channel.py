"""What every door driver looks like: two orders go out, signals come back.

Guarantees: an order never raises and never waits; what became of it comes as
:class:`Answered`. A release that could not be handed over at once is dropped, never kept for
later. :meth:`Channel.close` takes back a release that still runs.

The caller must call all methods from one thread, and :meth:`Channel.signals` at least every
50 ms: some buses are served only then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

ANSWER_MS = 2_000
SIGNALS_MAX = 64


class Input(Enum):
    """``CONTACT`` is active while the door is open."""

    CONTACT = "contact"
    EXIT = "exit"
    TAMPER = "tamper"


class Fault(Enum):
    """Why a lock or its line does not do what it was told."""

    BUSY = "busy"
    NOT_CONNECTED = "not_connected"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    NO_BADGE = "no_badge"
    JAMMED = "jammed"
    FLOODED = "flooded"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Sensed:
    input: Input
    active: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody showed a badge, or typed a number: ``badge:…``; ``digits`` are what was typed."""

    claim: str = field(repr=False)
    digits: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Link:
    """Whether the lock's side can be reached; what it sensed before is old once it could not."""

    up: bool
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The lock's side took the last release, or why not. Taken is not yet opened."""

    fault: Fault | None = None


Signal = Sensed | Claimed | Link | Answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """``claim`` is whose door it is: a reader of another panel passes the badge on."""

    open_ms: int
    claim: str | None = field(default=None, repr=False)


class LastSensed:
    """Makes signals of readings: of a change, and of the first reading that means something."""

    def __init__(self) -> None:
        self._last: dict[Input, bool] = {}

    def change(self, what: Input, active: bool) -> list[Signal]:
        """None or one; a contact's first reading counts, whatever it is."""
        before = self._last.get(what)
        self._last[what] = active
        counts = active or before is not None or what is Input.CONTACT
        return [Sensed(what, active)] if active != before and counts else []

    def forget(self) -> None:
        self._last.clear()


class Channel(Protocol):
    """``open_ms_max``: the longest release that the lock's side can time."""

    @property
    def has_contact(self) -> bool: ...

    @property
    def open_ms_max(self) -> int: ...

    def release(self, order: Release) -> None:
        """Lets the door be opened for so long; :class:`Answered` follows."""

    def lock(self) -> None:
        """Ends a release. Nothing follows: the contact shows what the door does."""

    def signals(self, wait_ms: int) -> list[Signal]:
        """What came, at most ``SIGNALS_MAX``; waits no longer than ``wait_ms`` for the first."""

    def close(self) -> None:
        """Ends a release that runs, and lets go of the hardware."""
