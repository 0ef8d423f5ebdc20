"""Keeps a door: one thread serves the driver, and everybody else asks it.

Guarantees: every event reaches ``on_event`` in the order in which it happened; an exit is served
during somebody's attempt, too; whatever ends the thread, the driver is closed, and an entry
that waits is answered as failed.

The caller must use it as a context, and look at :attr:`Keeper.failure` while it waits.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

from terminal_client.door import (
    GRACE_MS,
    Door,
    DoorEvent,
    DoorPolicy,
    Happened,
    Order,
    Step,
)
from terminal_client.drivers.channel import ANSWER_MS, Channel, Claimed, Fault, Release
from terminal_client.errors import DriverError, UsageError
from terminal_client.exchange import COMPLETED, FAILED, Word
from wire.ids import AttemptId
from wire.messages import Decision, EntryContext

WAIT_MS = 20
SLACK_MS = 2_000
STOP_S = 5.0
DONE = frozenset({Happened.CONFIRMED})
DONE_WITHOUT_CONTACT = DONE | {Happened.ACCEPTED}
NOT_DONE = frozenset({Happened.NOT_OPENED, Happened.REFUSED})


@dataclass(slots=True)
class _Wanted:
    attempt: AttemptId
    claim: str | None = field(repr=False)
    done: Future[Word] = field(default_factory=Future)


class Keeper:
    """``on_event`` gets each event with its Unix time, on the keeper's own thread."""

    def __init__(
        self,
        channel: Channel,
        policy: DoorPolicy,
        on_event: Callable[[DoorEvent], None],
        *,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        """Raises :class:`UsageError` where the driver cannot hold the door released so long."""
        if policy.open_ms > channel.open_ms_max:
            channel.close()
            raise UsageError(f"door.open_ms is at most {channel.open_ms_max} with this driver")
        self._channel = channel
        self._policy = replace(policy, has_contact=channel.has_contact)
        self._door = Door(self._policy)
        self._on_event = on_event
        self._unix_ms, self._monotonic_ms = unix_ms, monotonic_ms
        self._wanted: queue.Queue[_Wanted] = queue.Queue(maxsize=1)
        self._claims: queue.Queue[str] = queue.Queue(maxsize=1)
        self._typed: queue.Queue[str] = queue.Queue(maxsize=1)
        self._asks_digits = threading.Event()
        self._entry: _Wanted | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="doorkeeper", daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    def admit(self, decision: Decision, claim: str | None = None) -> Word:
        """Releases the door for an approved entry, and waits for what the door says.

        ``COMPLETED``: the contact saw it open, or the lock's side of a door without a contact
        took the order.
        """
        if not decision.approved or not isinstance(decision.context, EntryContext):
            raise RuntimeError("only an approved entry opens a door")
        wanted = _Wanted(decision.attempt, claim)
        try:
            self._wanted.put_nowait(wanted)
            if self._stop.is_set():
                return FAILED
            longest_ms = self._policy.open_ms + GRACE_MS + ANSWER_MS + SLACK_MS
            return wanted.done.result(longest_ms / 1000)
        except (queue.Full, TimeoutError):
            return FAILED

    def release(self, attempt: AttemptId) -> None:
        """Opens the door by an operator's hand, and returns at once; its events have this id.

        Nothing happens where somebody is just let in: who asked looks, and asks again.
        """
        with suppress(queue.Full):
            self._wanted.put_nowait(_Wanted(attempt, None))

    @property
    def has_contact(self) -> bool:
        return self._policy.has_contact

    def next_claim(self, wait_ms: int) -> str | None:
        """What was shown or typed at the door; raises :class:`DriverError` where it stopped."""
        if self.failure is not None:
            raise DriverError("the door's driver stopped") from self.failure
        with suppress(queue.Empty):
            return self._claims.get(timeout=wait_ms / 1000) if wait_ms else self._claims.get(False)
        return None

    def ask_digits(self, wait_ms: int) -> str | None:
        """What is typed next at the door, which is then nobody's claim; None where nothing is."""
        with suppress(queue.Empty):
            self._typed.get_nowait()
        self._asks_digits.set()
        try:
            return self._typed.get(timeout=wait_ms / 1000)
        except queue.Empty:
            return None
        finally:
            self._asks_digits.clear()

    def drop_claims(self) -> None:
        """Forgets what was shown meanwhile: an attempt starts with the badge shown for it."""
        with suppress(queue.Empty):
            self._claims.get_nowait()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except Exception as error:
            self.failure = error
        finally:
            self._stop.set()
            self._channel.close()
            self._settle_rest()

    def _turn(self) -> None:
        with suppress(queue.Empty):
            self._admit(self._wanted.get_nowait())
        for signal in self._channel.signals(WAIT_MS):
            if isinstance(signal, Claimed):
                self._hear(signal)
            else:
                self._take(self._door.sense(signal, self._monotonic_ms()))
        if self._door.deadline_ms <= self._monotonic_ms():
            self._take(self._door.tick(self._monotonic_ms()))

    def _hear(self, said: Claimed) -> None:
        with suppress(queue.Full):
            if said.digits is not None and self._asks_digits.is_set():
                self._typed.put_nowait(said.digits)
            else:
                self._claims.put_nowait(said.claim)

    def _admit(self, wanted: _Wanted) -> None:
        if self._entry is not None:
            wanted.done.set_result(FAILED)
            return
        self._entry = wanted
        self._take(self._door.admit(wanted.attempt, self._monotonic_ms()))

    def _take(self, step: Step) -> None:
        for order in step.orders:
            if order is Order.LOCK:
                self._channel.lock()
            else:
                claim = self._entry.claim if self._entry else None
                self._channel.release(Release(open_ms=self._policy.open_ms, claim=claim))
        for event in step.events:
            self._settle(event)
            self._on_event(replace(event, at_ms=self._unix_ms()))

    def _settle(self, event: DoorEvent) -> None:
        entry = self._entry
        if entry is None or event.attempt != entry.attempt:
            return
        done = DONE if self._policy.has_contact else DONE_WITHOUT_CONTACT
        if event.happened in done | NOT_DONE:
            completed = event.happened in done
            entry.done.set_result(COMPLETED if completed else FAILED)
            self._entry = None

    def _settle_rest(self) -> None:
        """Nobody is left waiting for a door that is no longer kept."""
        with suppress(queue.Empty):
            self._wanted.get_nowait().done.set_result(FAILED)
        if self._entry is not None:
            attempt = self._entry.attempt
            self._entry.done.set_result(FAILED)
            self._entry = None
            self._on_event(
                DoorEvent(
                    happened=Happened.REFUSED,
                    at_ms=self._unix_ms(),
                    attempt=attempt,
                    fault=Fault.STOPPED,
                )
            )
