"""What a door reports: once each, in order, and what was left out or changed is named."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.audit.leaf import DoorRecordLeaf
from tests.ceremony.house import NOW_MS, Device, House
from wire import envelope
from wire.codec import decode
from wire.messages import (
    CHAIN_START,
    DoorEventKind,
    DoorEvents,
    DoorEventsKept,
    DoorRecord,
    Problem,
    TerminalKind,
    chain_head,
)

KINDS = [kind for kind in DoorEventKind if kind < DoorEventKind.NOT_OPENED]


def records(number: int) -> list[DoorRecord]:
    return [
        DoorRecord(
            sequence=place + 1,
            at_ms=NOW_MS + place,
            offline=place % 2 == 1,
            event=KINDS[place % len(KINDS)],
        )
        for place in range(number)
    ]


def head_of(outbox: list[DoorRecord], number: int) -> bytes:
    head = CHAIN_START
    for record in outbox[:number]:
        head = chain_head(head, record)
    return head


def send(door: Device, outbox: list[DoorRecord], start: int, end: int) -> TestResponse:
    message = DoorEvents(
        terminal=door.terminal,
        previous=head_of(outbox, start),
        records=tuple(outbox[start:end]),
        head=head_of(outbox, end),
    )
    return door.send("/v1/door-events", envelope.sign(message, door.key).raw)


def kept(house: House, answer: TestResponse) -> DoorEventsKept:
    assert answer.status_code == 200, answer.data
    unverified = envelope.parse(answer.data, DoorEventsKept)
    return envelope.verify(unverified, house.keys.signing.public).message


def stored(house: House) -> list[DoorRecord]:
    """The records of the log, which must be those of the table."""
    with house.database.transaction() as conn:
        leaves = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
        rows = conn.execute("SELECT sequence, head FROM door_records ORDER BY sequence").fetchall()
    found = [DoorRecordLeaf.decode(leaf) for (leaf,) in leaves if decode(leaf)[1] == "door"]
    assert [(each.record.sequence, each.head) for each in found] == rows
    return [each.record for each in found]


def waiting(house: House) -> list[str]:
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT kind FROM alarms ORDER BY kind").fetchall()
    return [kind for (kind,) in rows]


def test_records_are_kept_once_in_order_and_alarm(house: House) -> None:
    door, outbox = house.add_terminal(TerminalKind.DOOR), records(7)
    first = kept(house, send(door, outbox, 0, 4))
    assert (first.sequence, first.head) == (4, head_of(outbox, 4))
    assert kept(house, send(door, outbox, 0, 4)) == first
    assert kept(house, send(door, outbox, 2, 7)).sequence == 7
    assert stored(house) == outbox
    assert waiting(house) == ["door_forced", "door_held_open", "tamper"]


def test_a_gap_a_changed_record_and_an_old_disk_image_are_named_once(house: House) -> None:
    door, outbox = house.add_terminal(TerminalKind.DOOR), records(2)
    kept(house, send(door, outbox, 0, 2))
    more = records(6)
    for _ in range(2):
        answer = send(door, more, 4, 6)
        assert answer.status_code == 409
        assert Problem.decode(answer.data).reason == "evidence_not_accepted"
    assert waiting(house) == ["records_missing"]
    edited = [replace(more[0], at_ms=5), *more[1:]]
    old_image = [*more[:1], replace(more[1], event=DoorEventKind.TAMPER_OVER), *more[2:]]
    for wrong, start, end in ((edited, 0, 3), (edited, 2, 4), (old_image, 1, 3)):
        assert send(door, wrong, start, end).status_code == 409
    assert waiting(house) == ["records_changed", "records_missing"]
    assert stored(house) == outbox
    assert kept(house, send(door, more, 2, 6)).sequence == 6


def test_only_a_doors_own_terminal_reports(house: House) -> None:
    store, door = house.add_terminal(TerminalKind.STORE), house.add_terminal(TerminalKind.DOOR)
    outbox = records(1)
    assert send(store, outbox, 0, 1).status_code == 400
    posed = replace(store, terminal=door.terminal)
    assert send(posed, outbox, 0, 1).status_code == 401
    assert kept(house, send(door, outbox, 0, 1)).sequence == 1


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6)), min_size=1, max_size=6))
def test_whatever_is_sent_again_the_log_is_a_beginning_of_the_outbox(
    house: House, cuts: list[tuple[int, int]]
) -> None:
    door, outbox, last = house.add_terminal(TerminalKind.DOOR), records(10), 0
    with house.database.transaction() as conn:
        before = conn.execute("SELECT count(*) FROM door_records").fetchone()
    for start, length in cuts:
        end = min(start + length, 10)
        answer = send(door, outbox, start, end)
        assert answer.status_code == (200 if start <= last else 409)
        if start <= last:
            last = max(last, end)
    with house.database.transaction() as conn:
        after = conn.execute("SELECT count(*) FROM door_records").fetchone()
    assert after[0] - before[0] == last
