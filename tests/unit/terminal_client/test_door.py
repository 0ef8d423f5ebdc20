from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal_client.door import (
    BOUNCE_MS,
    GRACE_MS,
    Door,
    DoorEvent,
    DoorPolicy,
    Exit,
    Happened,
    Order,
    Step,
)
from terminal_client.drivers.channel import ANSWER_MS, Answered, Fault, Input, Link, Sensed, Signal
from wire.ids import AttemptId

POLICY = DoorPolicy(open_ms=5_000, held_ms=20_000)
FIRST, SECOND = AttemptId.new(), AttemptId.new()
OPEN, SHUT = Sensed(Input.CONTACT, True), Sensed(Input.CONTACT, False)
EXIT = Sensed(Input.EXIT, True)
NO_EXIT = Sensed(Input.EXIT, False)
TAKEN = Answered()

Act = Signal | AttemptId | None


def play(
    *acts: tuple[int, Act], policy: DoorPolicy = POLICY
) -> tuple[list[DoorEvent], list[tuple[int, Order]]]:
    """Each act at its time (ms), None lets time pass; ticks come when the door asks for them."""
    door, events, orders = Door(policy), list[DoorEvent](), list[tuple[int, Order]]()

    def keep(step: Step, at_ms: int) -> None:
        events.extend(step.events)
        orders.extend((at_ms, order) for order in step.orders)

    for at_ms, act in acts:
        while door.deadline_ms <= at_ms:
            due = door.deadline_ms
            keep(door.tick(due), due)
            assert door.deadline_ms > due
        if isinstance(act, AttemptId):
            keep(door.admit(act, at_ms), at_ms)
        elif act is not None:
            keep(door.sense(act, at_ms), at_ms)
    return events, orders


def happened(*acts: tuple[int, Act], policy: DoorPolicy = POLICY) -> list[str]:
    return [event.happened.value for event in play(*acts, policy=policy)[0]]


def test_a_door_is_commanded_then_accepted_then_confirmed() -> None:
    events, orders = play(
        (0, SHUT), (100, FIRST), (150, TAKEN), (900, OPEN), (3_000, SHUT), (60_000, None)
    )
    assert [(each.happened, each.attempt) for each in events] == [
        (Happened.COMMANDED, FIRST),
        (Happened.ACCEPTED, FIRST),
        (Happened.CONFIRMED, FIRST),
        (Happened.CLOSED, None),
    ]
    assert orders == [(100, Order.RELEASE), (3_000, Order.LOCK)]


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([(0, SHUT), (0, FIRST), (50, TAKEN), (9_000, None)],
         ["commanded", "accepted", "not_opened"]),
        ([(0, SHUT), (0, FIRST), (9_000, None)], ["commanded", "not_opened"]),
        ([(0, SHUT), (0, FIRST), (10, Answered(Fault.REFUSED))], ["commanded", "refused"]),
        ([(0, SHUT), (0, FIRST), (10, Link(False))], ["commanded", "link_lost", "refused"]),
        ([(0, SHUT), (5, OPEN)], ["forced"]),
        ([(0, SHUT), (5, OPEN), (30_000, SHUT)], ["forced", "held", "closed"]),
        ([(0, OPEN)], ["found_open"]),
        ([(0, OPEN), (10, FIRST)], ["found_open", "commanded", "confirmed"]),
        ([(0, SHUT), (1, Link(False)), (9, Link(True)), (10, OPEN)],
         ["link_lost", "link_restored", "found_open"]),
        ([(0, SHUT), (1, Link(False)), (9, Link(True)), (10, SHUT)],
         ["link_lost", "link_restored"]),
        ([(0, SHUT), (5, EXIT), (9, OPEN), (99, SHUT)], ["exit_requested", "opened", "closed"]),
        ([(0, SHUT), (5, EXIT), (6, NO_EXIT), (5 + 5_000 + GRACE_MS, OPEN)],
         ["exit_requested", "forced"]),
        ([(0, SHUT), (5, EXIT), (60_000, OPEN)], ["exit_requested", "opened"]),
        ([(0, SHUT), (5, EXIT), (6, EXIT)], ["exit_requested"]),
        ([(0, SHUT), (5, Sensed(Input.TAMPER, True)), (6, Sensed(Input.TAMPER, False))],
         ["tampered", "tamper_ended"]),
        ([(0, SHUT), (0, FIRST), (1, TAKEN), (9, OPEN), (20_009, None), (20_100, SHUT)],
         ["commanded", "accepted", "confirmed", "held", "closed"]),
        ([(0, SHUT), (0, FIRST), (1, TAKEN), (5_500, OPEN)],
         ["commanded", "accepted", "confirmed"]),
        ([(0, SHUT), (0, FIRST), (1, TAKEN), (5_000 + GRACE_MS, OPEN)],
         ["commanded", "accepted", "not_opened", "forced"]),
    ],
)  # fmt: skip
def test_what_becomes_of_it(acts: list[tuple[int, Act]], expected: list[str]) -> None:
    assert happened(*acts) == expected


def test_two_commands_at_once_are_one_entry_and_one_refusal() -> None:
    events, orders = play((0, SHUT), (0, FIRST), (0, SECOND), (10, TAKEN), (20, OPEN))
    assert [(each.happened.value, each.attempt, each.fault) for each in events] == [
        ("commanded", FIRST, None),
        ("refused", SECOND, Fault.BUSY),
        ("accepted", FIRST, None),
        ("confirmed", FIRST, None),
    ]
    assert orders == [(0, Order.RELEASE)]


def test_nobody_slips_in_while_the_release_still_runs() -> None:
    acts = (0, SHUT), (0, FIRST), (10, TAKEN), (500, OPEN), (900, SHUT)
    assert happened(*acts, (900 + BOUNCE_MS, OPEN))[-1] == "forced"
    assert happened(*acts, (900 + BOUNCE_MS - 1, OPEN))[-1] == "opened"
    assert play(*acts)[1][-1] == (900, Order.LOCK)


def test_a_door_without_a_contact_is_done_when_the_lock_took_it() -> None:
    policy = DoorPolicy(has_contact=False)
    acts = (0, FIRST), (9, TAKEN), (30_000, None)
    assert happened(*acts, policy=policy) == ["commanded", "accepted"]
    events, _ = play((0, FIRST), (ANSWER_MS, None), policy=policy)
    assert (events[-1].happened, events[-1].fault) == (Happened.REFUSED, Fault.NO_ANSWER)


def test_an_exit_button_releases_and_a_motion_sensor_only_explains() -> None:
    acts = (0, SHUT), (10, EXIT), (6_000, None)
    assert play(*acts)[1] == []
    released = play(*acts, policy=DoorPolicy(exit=Exit.RELEASES))[1]
    assert released == [(10, Order.RELEASE), (5_010, Order.LOCK)]


def test_an_exit_during_an_entry_does_not_command_twice() -> None:
    policy = DoorPolicy(exit=Exit.RELEASES)
    assert play((0, SHUT), (0, FIRST), (1, EXIT), policy=policy)[1] == [(0, Order.RELEASE)]


SIGNALS = st.sampled_from(
    [OPEN, SHUT, EXIT, NO_EXIT, TAKEN, Answered(Fault.REFUSED), Answered(Fault.BUSY),
     Link(True), Link(False), Sensed(Input.TAMPER, True), None]
)  # fmt: skip
ENDS = {Happened.CONFIRMED, Happened.NOT_OPENED, Happened.REFUSED}


@given(
    acts=st.lists(
        st.tuples(st.integers(0, 7_000), st.one_of(SIGNALS, st.builds(AttemptId.new))), max_size=40
    ),
    exits=st.sampled_from(Exit),
    has_contact=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_every_entry_ends_once_and_every_release_is_locked(
    acts: list[tuple[int, Act]], exits: Exit, has_contact: bool
) -> None:
    policy = DoorPolicy(exit=exits, has_contact=has_contact)
    at_ms, played = 0, []
    for after_ms, act in acts:
        at_ms += after_ms
        played.append((at_ms, act))
    events, orders = play(*played, (at_ms + 100_000, None), policy=policy)
    ends = ENDS if has_contact else ENDS | {Happened.ACCEPTED}
    for attempt in (act for _, act in played if isinstance(act, AttemptId)):
        own = [event.happened for event in events if event.attempt == attempt]
        assert sum(each in ends for each in own) == 1
        assert own[-1] in ends
    if orders and not any(isinstance(act, Link) for _, act in played):
        assert orders[-1][1] is Order.LOCK
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
