from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from terminal_client.door import DoorEvent, DoorPolicy, Exit, Happened
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.channel import (
    Answered,
    Claimed,
    Fault,
    Input,
    Link,
    Release,
    Sensed,
    Signal,
)
from terminal_client.errors import DriverError, UsageError
from terminal_client.exchange import COMPLETED, FAILED, Word
from wire.ids import AttemptId, DoorId
from wire.messages import Decision, Direction, EntryContext, Outcome

POLICY = DoorPolicy(open_ms=500)


@dataclass
class Lock:
    """A lock's side that opens the door when it is released, or answers ``fault``."""

    opens: bool = True
    fault: Fault | None = None
    has_contact: bool = True
    open_ms_max: int = 60_000
    said: list[str] = field(default_factory=list)
    claims: list[str | None] = field(default_factory=list)
    breaks: bool = False
    waiting: queue.Queue[Signal] = field(default_factory=queue.Queue)

    def release(self, order: Release) -> None:
        self.said.append("release")
        self.claims.append(order.claim)
        self.waiting.put(Answered(self.fault))
        if self.opens:
            for active in (True, False):
                self.waiting.put(Sensed(Input.CONTACT, active))

    def lock(self) -> None:
        self.said.append("lock")

    def signals(self, wait_ms: int) -> list[Signal]:
        if self.breaks:
            raise OSError("the cable was pulled")
        try:
            return [self.waiting.get(timeout=wait_ms / 1000)]
        except queue.Empty:
            return []

    def close(self) -> None:
        self.said.append("close")


def decision(*, approved: bool = True) -> Decision:
    return Decision(
        attempt=AttemptId.new(),
        evidence_digest=bytes(32),
        outcome=Outcome.APPROVED if approved else Outcome.DENIED,
        reason=None if approved else "not_verified",
        result=None,
        context=EntryContext(door=DoorId.new(), direction=Direction.IN),
        decided_at_ms=0,
        expires_at_ms=1,
        leaf_hash=bytes(32),
    )


@pytest.mark.parametrize(
    ("lock", "expected", "ends"),
    [
        (Lock(), COMPLETED, Happened.CONFIRMED),
        (Lock(opens=False, has_contact=False), COMPLETED, Happened.ACCEPTED),
        (Lock(opens=False, fault=Fault.REFUSED), FAILED, Happened.REFUSED),
        (Lock(opens=False), FAILED, Happened.NOT_OPENED),
    ],
)
def test_an_entry_is_completed_as_the_door_says(lock: Lock, expected: Word, ends: Happened) -> None:
    events: list[DoorEvent] = []
    with Keeper(lock, POLICY, events.append, unix_ms=lambda: 7) as keeper:
        approved = decision()
        assert keeper.admit(approved, "badge:1") is expected
    own = [event for event in events if event.attempt == approved.attempt]
    assert own[-1].happened is ends
    assert {event.at_ms for event in events} == {7}
    assert lock.claims == ["badge:1"]
    assert lock.said[-1] == "close"


def test_an_operator_opens_the_door_by_hand_and_it_says_so_under_the_release() -> None:
    events, release = queue.Queue[DoorEvent](), AttemptId.new()
    with Keeper(Lock(), POLICY, events.put) as keeper:
        keeper.release(release)
        own = [events.get(timeout=5) for _ in range(3)]
    assert [each.happened.value for each in own] == ["commanded", "accepted", "confirmed"]
    assert {each.attempt for each in own} == {release}


@contextmanager
def letting_in(lock: Lock) -> Iterator[tuple[Keeper, Future[Word]]]:
    """A door that was just released for somebody, and what becomes of it."""
    with (
        Keeper(lock, POLICY, lambda event: None) as keeper,
        ThreadPoolExecutor() as people,
    ):
        first = people.submit(keeper.admit, decision())
        while not lock.said:
            time.sleep(0.005)
        yield keeper, first


def test_nobody_opens_by_hand_a_door_that_lets_somebody_in() -> None:
    lock = Lock(opens=False)
    with letting_in(lock) as (keeper, first):
        for _ in range(3):
            keeper.release(AttemptId.new())
        assert first.result() is FAILED
        assert lock.said.count("release") == 1


def test_only_an_approved_entry_opens_a_door() -> None:
    lock = Lock()
    with Keeper(lock, POLICY, lambda event: None) as keeper, pytest.raises(RuntimeError):
        keeper.admit(decision(approved=False))
    assert "release" not in lock.said


def test_two_entries_at_once_are_one() -> None:
    lock = Lock(opens=False)
    with letting_in(lock) as (keeper, first):
        assert keeper.admit(decision()) is FAILED
        assert lock.said.count("release") == 1
        lock.waiting.put(Sensed(Input.CONTACT, True))
        assert first.result(5) is COMPLETED


def test_whatever_ends_the_driver_the_lock_is_closed_and_nobody_waits() -> None:
    lock = Lock(opens=False)
    events: list[DoorEvent] = []
    with Keeper(lock, POLICY, events.append) as keeper, ThreadPoolExecutor() as people:
        entry = people.submit(keeper.admit, decision())
        while not lock.said:
            time.sleep(0.005)
        lock.breaks = True
        assert entry.result(5) is FAILED
        assert events[-1].fault is Fault.STOPPED
        with pytest.raises(DriverError, match="stopped"):
            keeper.next_claim(0)
        assert keeper.admit(decision()) is FAILED
    assert lock.said[-1] == "close"


def test_an_exit_is_served_while_somebody_looks_into_the_camera() -> None:
    lock = Lock(opens=False)
    released = threading.Event()
    seen = lambda event: released.set() if event.happened is Happened.EXIT_REQUESTED else None  # noqa: E731
    with Keeper(lock, DoorPolicy(open_ms=500, exit=Exit.RELEASES), seen):
        lock.waiting.put(Sensed(Input.EXIT, True))
        assert released.wait(5)
    assert lock.said[0] == "release"


def test_one_claim_waits_and_more_are_dropped() -> None:
    lock = Lock()
    for number in range(5):
        lock.waiting.put(Claimed(f"badge:{number}"))
    lock.waiting.put(Link(True))
    linked = threading.Event()
    with Keeper(lock, POLICY, lambda event: linked.set()) as keeper:
        assert linked.wait(5)
        assert keeper.next_claim(0) == "badge:0"
        assert keeper.next_claim(0) is None
        lock.waiting.put(Claimed("badge:9"))
        assert keeper.next_claim(5_000) == "badge:9"


def test_what_is_typed_while_a_pin_is_asked_for_is_no_claim() -> None:
    lock = Lock()
    with Keeper(lock, POLICY, lambda event: None) as keeper, ThreadPoolExecutor(1) as pool:
        typed = pool.submit(keeper.ask_digits, 10_000)
        while not keeper._asks_digits.is_set():
            assert not typed.done()
        lock.waiting.put(Claimed("badge:26-0a1b2c40"))
        lock.waiting.put(Claimed("badge:2468", "2468"))
        assert typed.result(10) == "2468"
        assert keeper.next_claim(0) == "badge:26-0a1b2c40"
        assert keeper.ask_digits(10) is None
        lock.waiting.put(Claimed("badge:2468", "2468"))
        assert keeper.next_claim(5_000) == "badge:2468"
        assert "2468" not in repr(Claimed("badge:2468", "2468"))


def test_a_lock_that_cannot_time_so_long_is_refused() -> None:
    lock = Lock(open_ms_max=400)
    with pytest.raises(UsageError, match="at most 400"):
        Keeper(lock, POLICY, lambda event: None)
    assert lock.said == ["close"]
