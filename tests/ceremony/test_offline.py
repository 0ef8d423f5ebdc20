"""A door whose network is cut: it decides as the service would, and tells it all, once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from shutil import copytree

import numpy as np
import pytest

from access.rules import Mode, Passback, ZoneRules, decide
from face_engine.types import Embedding
from service.access import places
from service.access import store as access
from service.audit.leaf import DoorRecordLeaf
from terminal_client.door import entry
from terminal_client.door_link import BEAT, BUNDLE, EVENTS
from terminal_client.door_log import RESERVED
from terminal_client.errors import Unreachable
from terminal_client.exchange import COMPLETED
from terminal_client.standalone import BUNDLE_FILE
from terminal_client.transport import Reply
from tests.ceremony.devices import made_up_ceremony, publish_easy
from tests.ceremony.house import MODEL_ID, House, enrol, face, probe
from tests.ceremony.lone_door import LoneDoor, alarms, leaves
from wire.ids import AccountId, ZoneId
from wire.messages import Direction, DoorEventKind, DoorFault, EntryContext, TerminalKind

HOUR_MS = 3_600_000


@pytest.fixture
def door(house: House, tmp_path: Path) -> Iterator[LoneDoor]:
    publish_easy(house)
    found = LoneDoor(house, tmp_path / "door")
    yield found
    found.stop()


def denials(found: list[DoorRecordLeaf]) -> list[str | None]:
    return [each.record.decision.denial for each in found if each.record.decision]


def test_a_cut_door_decides_and_tells_it_later(house: House, door: LoneDoor) -> None:
    granted, other = enrol(house, 1), enrol(house, 2)
    house.grant(granted)
    door.beat()
    assert door.standalone.bundle is not None
    door.cable.cut = True
    door.beat()
    assert not door.link.connected
    assert door.enter(1).approved
    assert door.enter(2).reason == "not_verified"
    assert door.enter(1, embedding=None).approved
    assert leaves(house.database) == []
    door.cable.cut = False
    door.beat()
    found = leaves(house.database)
    assert denials(found) == [None, "account_unknown", None]
    assert [each.account for each in found if each.record.decision] == [granted, None, granted]
    assert all(each.record.offline for each in found)
    assert [each.record.sequence for each in found] == [1, 2, 3, 4, 5]
    door.beat()
    assert leaves(house.database) == found
    with house.database.transaction() as conn:
        states = conn.execute("SELECT state, account_id FROM entries").fetchall()
    assert states == [("confirmed", granted.raw)] * 2
    assert other not in {each.account for each in found}


def zone_of(house: House) -> ZoneId:
    return ZoneId(house.door.raw)


def cut(door: LoneDoor) -> None:
    """The door has the newest bundle, and from now on no network."""
    door.beat()
    assert door.standalone.fault is None
    door.cable.cut = True
    door.beat()


def mend(door: LoneDoor) -> list[DoorRecordLeaf]:
    door.cable.cut = False
    door.beat()
    return leaves(door.house.database)


def person(house: House, seed: int, schedule: str = "always") -> AccountId:
    account = enrol(house, seed)
    house.grant(account, schedule)
    return account


def test_a_face_that_does_not_match_locks_here_as_there(house: House, door: LoneDoor) -> None:
    """The tenth failure locks, across a restart and at the service, too."""
    account = person(house, 1)
    cut(door)
    stranger = Embedding(vector=np.frombuffer(face(7), "<f4").astype(np.float32), model_id=MODEL_ID)
    for _ in range(5):
        assert door.enter(1, embedding=stranger).reason == "not_verified"
    assert door.enter(1).reason == "not_verified"
    door.restart()
    assert door.enter(1).reason == "not_verified"
    house.clock.now_ms += 60_000
    assert door.enter(1, embedding=stranger).reason == "not_verified"
    found = mend(door)
    assert denials(found) == ["no_match"] * 5 + ["account_locked"] * 2 + ["no_match"]
    with house.database.transaction() as conn:
        row = conn.execute(
            "SELECT failures, locked_until_ms FROM accounts WHERE account_id = %s", (account.raw,)
        ).fetchone()
    assert row is not None
    assert row[0] == 6
    assert row[1] == found[-1].record.at_ms + 60_000


@pytest.mark.parametrize("restarts", [False, True])
def test_the_rules_are_those_of_the_service(house: House, door: LoneDoor, restarts: bool) -> None:
    """Anti-passback, occupancy, both ways, what did not open, and what explain says of each."""
    rules = ZoneRules(passback=Passback.HARD, occupancy_max=2)
    house.operations.set_rules(zone_of(house), rules)
    people = [person(house, seed) for seed in (1, 2, 3)]
    cut(door)
    wanted = [
        (1, Direction.IN, True, None),
        (1, Direction.IN, True, "anti_passback"),
        (2, Direction.IN, False, None),
        (2, Direction.IN, True, None),
        (3, Direction.IN, True, "zone_full"),
        (1, Direction.OUT, True, None),
        (1, Direction.OUT, True, "anti_passback"),
        (3, Direction.IN, True, None),
    ]
    for seed, direction, opens, denial in wanted:
        house.clock.now_ms += 1_000
        ended = door.enter(seed, direction, opens=opens)
        assert ended.approved is (denial is None), (seed, direction)
        if restarts:
            door.restart()
    found = mend(door)
    assert denials(found) == [denial for *_, denial in wanted]
    decided = [each for each in found if each.record.decision]
    for (seed, direction, _, denial), leaf in zip(wanted, decided, strict=True):
        assert leaf.account == people[seed - 1]
        with house.database.transaction() as conn:
            facts = access.facts_at(
                conn,
                account=people[seed - 1],
                door=house.door,
                direction=direction,
                at_ms=leaf.record.at_ms,
            )
        assert decide(facts).denial == denial


def test_two_people_pass_together(house: House, door: LoneDoor) -> None:
    house.operations.set_rules(zone_of(house), ZoneRules(two_person_ms=30_000))
    first, second = person(house, 1), person(house, 2)
    cut(door)
    assert door.enter(1).reason == "second_person_missing"
    house.clock.now_ms += 31_000
    assert door.enter(2).reason == "second_person_missing"
    assert door.enter(1).approved
    found = mend(door)
    assert [(each.account, each.companion) for each in found if each.record.decision] == [
        (first, None),
        (second, None),
        (first, second),
    ]
    with house.database.transaction() as conn:
        inside = conn.execute("SELECT account_id FROM presences WHERE inside").fetchall()
    assert {raw for (raw,) in inside} == {first.raw, second.raw}


def test_schedule_and_lockdown_hold_alone(house: House, door: LoneDoor) -> None:
    person(house, 1, "Fri 08:00-18:00")
    cut(door)
    # NOW_MS is a Friday morning, 08:00.
    assert door.enter(1).approved
    door.cable.cut = False
    house.operations.set_mode(zone_of(house), Mode.LOCKDOWN)
    cut(door)
    assert door.enter(1).reason == "door_closed"


@pytest.mark.parametrize("ends", ["grant", "schedule", "visit", "bundle"])
def test_what_ends_during_the_capture_is_over(house: House, door: LoneDoor, ends: str) -> None:
    """The decision's moment counts, not that of the challenge."""
    # NOW_MS is a Friday morning, 08:00.
    account = person(house, 1, "Fri 08:00-08:01" if ends == "schedule" else "always")
    over_ms = house.clock() + 60_000
    if ends == "grant":
        with house.database.transaction() as conn:
            conn.execute("UPDATE grants SET valid_until_ms = %s", (over_ms,))
    elif ends == "visit":
        with house.database.transaction() as conn:
            places.set_visit(conn, account, over_ms, now_ms=house.clock())
    cut(door)
    if ends == "bundle":
        over_ms = door.standalone.bundle.expires_at_ms
    house.clock.now_ms = over_ms - 1
    assert door.enter(1).approved
    with door.alone() as terminal:
        context = entry(terminal.identity, Direction.IN)
        ceremony = made_up_ceremony(terminal, context, 1)
        house.clock.now_ms = over_ms
        ended = terminal.carry_out(ceremony, lambda _: COMPLETED)
    assert not ended.approved, ends


def test_what_was_revoked_is_gone_by_the_next_beat_and_after_a_restart(
    house: House, door: LoneDoor
) -> None:
    gone, changed, suspended, stays = (person(house, seed) for seed in (1, 2, 3, 4))
    door.beat()
    number = door.standalone.bundle.number
    house.operations.revoke_grant(gone, house.door)
    house.grant(changed, "Sun 01:00-02:00")
    house.operations.set_account(suspended, active=False)
    door.cable.spoil = lambda path, raw: b"" if path == BUNDLE else raw
    house.clock.now_ms += 2_000
    door.link.turn()
    assert door.standalone.bundle.number == number
    door.cable.cut = True
    for _ in range(2):
        for seed in (1, 2, 3):
            assert door.enter(seed).reason == "not_permitted"
        assert door.enter(4).approved
        door.restart()
    assert set(denials(mend(door))) == {"grant_missing", None}
    assert stays


def test_who_came_and_who_changed_is_in_the_next_bundle(house: House, door: LoneDoor) -> None:
    door.beat()
    first = door.standalone.bundle.number
    door.beat()
    assert door.standalone.bundle.number == first
    person(house, 1)
    cut(door)
    assert door.standalone.bundle.number == first + 1
    assert door.enter(1).approved


def test_a_change_that_commits_during_the_look_is_noticed(house: House, door: LoneDoor) -> None:
    """The revision is read first, so the bundle is kept under the older one."""
    account = person(house, 1)
    door.beat()
    with house.database.transaction() as conn:
        conn.execute("DELETE FROM grants WHERE account_id = %s", (account.raw,))
        # Not committed: nothing is known of it, and nobody waits for it.
        house.clock.now_ms += 2_000
        standing = door.link._beat()
    assert not standing.renew
    house.clock.now_ms += 2_000
    assert door.link._beat().revoked == (0,)


def test_a_zone_that_is_never_alone_and_a_bundle_that_ends(house: House, door: LoneDoor) -> None:
    person(house, 1)
    house.operations.set_rules(zone_of(house), ZoneRules(offline_ms=HOUR_MS))
    cut(door)
    house.clock.now_ms = door.standalone.bundle.expires_at_ms - 1
    assert door.enter(1).approved
    house.clock.now_ms += 1
    for _ in range(3):
        with pytest.raises(Unreachable, match="no valid bundle"):
            door.enter(1)
    house.operations.set_rules(zone_of(house), ZoneRules(offline_ms=0))
    found = mend(door)
    assert [each.record.fault for each in found if each.record.fault] == [DoorFault.BUNDLE_STALE]
    assert alarms(house.database) == ["bundle_refused"]
    door.beat()
    assert door.standalone.bundle is None


def bundle_file(door: LoneDoor) -> Path:
    return door.home / BUNDLE_FILE


def spoilt_byte(raw: bytes) -> bytes:
    return raw[:300] + bytes([raw[300] ^ 1]) + raw[301:]


@pytest.mark.parametrize("fault", list(DoorFault)[:5])
def test_what_is_wrong_with_a_bundle_is_named_once(
    house: House, door: LoneDoor, tmp_path: Path, fault: DoorFault
) -> None:
    person(house, 1)
    door.beat()
    older = bundle_file(door).read_bytes()
    person(house, 2)
    cut(door)
    other = LoneDoor(house, tmp_path / "other")
    other.beat()
    door.stop()
    if fault is DoorFault.BUNDLE_TAMPERED:
        bundle_file(door).write_bytes(spoilt_byte(bundle_file(door).read_bytes()))
    elif fault is DoorFault.BUNDLE_FOREIGN:
        bundle_file(door).write_bytes(bundle_file(other).read_bytes())
    elif fault is DoorFault.BUNDLE_ROLLED_BACK:
        bundle_file(door).write_bytes(older)
    elif fault is DoorFault.BUNDLE_STALE:
        house.clock.now_ms += 9 * HOUR_MS
    else:
        door.skew_ms = -HOUR_MS
    door.start()
    for _ in range(2):
        with pytest.raises(Unreachable):
            door.enter(1)
    assert door.standalone.fault is fault
    found = mend(door)
    assert [each.record.fault for each in found] == [fault]
    named = "clock_turned_back" if fault is DoorFault.CLOCK_TURNED_BACK else "bundle_refused"
    assert alarms(house.database) == [named]
    # The service has said what time it is, and sent a new bundle.
    door.cable.cut = True
    assert door.enter(1).approved
    other.stop()


@pytest.mark.parametrize("fault", list(DoorFault)[:3])
def test_a_bundle_that_comes_wrong_takes_no_others_place(
    house: House, door: LoneDoor, tmp_path: Path, fault: DoorFault
) -> None:
    person(house, 1)
    door.beat()
    first = bundle_file(door).read_bytes()
    other = LoneDoor(house, tmp_path / "other")
    other.beat()
    person(house, 2)
    wrong = {
        DoorFault.BUNDLE_TAMPERED: spoilt_byte(first),
        DoorFault.BUNDLE_FOREIGN: bundle_file(other).read_bytes(),
        DoorFault.BUNDLE_ROLLED_BACK: first,
    }[fault]
    door.cable.spoil = lambda path, raw: wrong if path == BUNDLE else raw
    door.beat()
    door.beat()
    assert [each.record.fault for each in leaves(house.database)] == [fault]
    assert bundle_file(door).read_bytes() == first
    door.cable.cut = True
    assert door.enter(1).approved
    other.stop()


def test_a_clock_that_is_set_while_the_door_runs_changes_nothing(
    house: House, door: LoneDoor
) -> None:
    person(house, 1, "Fri 08:00-18:00")
    door.skew_ms = 40 * HOUR_MS
    cut(door)
    assert door.enter(1).approved
    door.skew_ms = -40 * HOUR_MS
    assert door.enter(1).approved
    found = mend(door)
    assert all(abs(each.record.at_ms - house.clock()) < HOUR_MS for each in found)
    with house.database.transaction() as conn:
        (skew_ms,) = conn.execute("SELECT skew_ms FROM door_beats").fetchone()
    assert skew_ms == -40 * HOUR_MS


def change_log(door: LoneDoor, statement: str, *values: object) -> None:
    door.stop()
    with closing(sqlite3.connect(door.home / "door.db")) as database:
        database.execute(statement, values)
        database.commit()
    door.start()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DELETE FROM records WHERE sequence = 3", "records_missing"),
        ("DELETE FROM records WHERE sequence = 1", "records_missing"),
        ("UPDATE records SET raw = (SELECT raw FROM records WHERE sequence = 2) "
         "WHERE sequence = 3", "records_changed"),
        ("UPDATE records SET raw = (SELECT raw FROM records r WHERE r.sequence = 2), "
         "head = (SELECT head FROM records r WHERE r.sequence = 2) WHERE sequence = 3",
         "records_changed"),
    ],
)  # fmt: skip
def test_a_missing_repeated_or_edited_record_is_refused_and_named(
    house: House, door: LoneDoor, change: str, named: str
) -> None:
    person(house, 1)
    cut(door)
    for _ in range(3):
        door.enter(1)
    change_log(door, change)
    found = mend(door)
    for _ in range(3):
        house.clock.now_ms += 60_000
        door.beat()
    assert alarms(house.database) == [named]
    assert len(found) <= 6
    assert [each.record.sequence for each in found] == list(range(1, len(found) + 1))


def test_an_edited_record_is_refused(house: House, door: LoneDoor) -> None:
    person(house, 1)
    cut(door)
    door.enter(1)
    first, second = door.standalone.log.since(0)
    edited = replace(first, at_ms=first.at_ms - HOUR_MS)
    change_log(door, "UPDATE records SET raw = ? WHERE sequence = 1", edited.encode())
    assert mend(door) == []
    assert alarms(house.database) == ["records_changed"]
    assert second.sequence == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_line_loses_or_repeats_each_record_is_a_leaf_once(
    house: House, door: LoneDoor, seed: int
) -> None:
    """Requests and answers are lost, and what was delivered is delivered again."""
    person(house, 1)
    cut(door)
    for _ in range(40):
        door.enter(1)
    taken_down = door.standalone.log.since(0)
    random, through = Random(seed), door.cable.through
    lost = Counter[str]()

    def exchange(path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        fate = random.choice(("request", "answer", "twice", "none"))
        lost[fate] += 1
        if fate == "request":
            raise Unreachable("lost")
        reply = through.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if fate == "twice" and path == EVENTS:
            reply = through.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if fate == "answer":
            raise Unreachable("lost")
        return reply

    door.cable.cut, door.cable.exchange = False, exchange  # type: ignore[method-assign]
    while door.standalone.log.waiting() is not None or len(lost) < 4:
        door.beat()
        assert lost.total() < 500
    assert [each.record for each in leaves(house.database)] == taken_down
    assert alarms(house.database) == []


def test_an_old_disk_image_is_named_when_it_comes_back(
    house: House, door: LoneDoor, tmp_path: Path
) -> None:
    person(house, 1)
    cut(door)
    door.enter(1)
    door.stop()
    copytree(door.home, tmp_path / "image")
    door.start()
    door.enter(1)
    kept = mend(door)
    door.stop()
    old = LoneDoor(house, tmp_path / "image")
    old.beat()
    assert alarms(house.database) == ["old_disk_image"]
    old.cable.cut = True
    old.enter(1)
    old.cable.cut = False
    for _ in range(3):
        house.clock.now_ms += 60_000
        old.beat()
    assert alarms(house.database)[:2] == ["old_disk_image", "records_changed"]
    assert leaves(house.database) == kept
    old.stop()


def test_an_entry_that_was_cut_off_is_settled_at_the_next_start(
    house: House, door: LoneDoor
) -> None:
    house.operations.set_rules(zone_of(house), ZoneRules(passback=Passback.HARD))
    person(house, 1)
    cut(door)
    assert door.enter(1, dies=True).approved
    door.restart()
    assert door.enter(1).approved
    door.restart()
    found = mend(door)
    assert [each.record.event.name for each in found] == [
        "DECIDED",
        "NOT_OPENED",
        "DECIDED",
        "OPENED",
    ]
    with house.database.transaction() as conn:
        states = conn.execute("SELECT state FROM entries ORDER BY commanded_at_ms").fetchall()
    assert states == [("failed",), ("confirmed",)]


def test_a_full_log_lets_nobody_in_and_says_so(house: House, door: LoneDoor) -> None:
    person(house, 1)
    cut(door)
    door.standalone.log._records_max = RESERVED + 2
    assert door.enter(1).approved
    with pytest.raises(Unreachable, match="log is full"):
        door.enter(1)
    for _ in range(RESERVED + 5):
        door.standalone.happened(DoorEventKind.CLOSED, offline=True)
    found = mend(door)
    assert len(found) == RESERVED + 2
    assert found[-1].record.fault is DoorFault.RECORDS_FULL
    assert alarms(house.database) == ["records_full"]


def test_an_answer_to_another_beat_changes_nothing(house: House, door: LoneDoor) -> None:
    """Nor does an older one of this very door."""
    account = person(house, 1)
    door.beat()
    answers: list[bytes] = []
    door.cable.spoil = lambda path, raw: answers.append(raw) or raw
    door.beat()
    old = answers[0]
    house.operations.revoke_grant(account, house.door)
    door.cable.spoil = lambda path, raw: old if path == BEAT else raw
    door.beat()
    door.cable.spoil = lambda path, raw: raw
    house.clock.now_ms += 2_000
    assert door.link._beat().revoked == (0,)


def test_a_door_holds_nobody_whom_it_does_not_need(house: House, door: LoneDoor) -> None:
    """No holder's card, no suspended account, no account id, no claim."""
    granted = person(house, 1)
    card_holder = enrol(house, 2, share=bytes(32))
    house.grant(card_holder)
    suspended = person(house, 3)
    house.operations.set_account(suspended, active=False)
    enrol(house, 4)
    door.beat()
    roster = door.standalone._alone.held.roster
    assert len(roster.people) == 1
    raw = roster.encode()
    assert granted.raw not in raw
    assert b"card:" not in raw
    assert house.keys.claim_hash("card:1")[:16] not in raw
    other = LoneDoor(house, door.home.parent / "other")
    other.beat()
    (mine,), (theirs,) = roster.people, other.standalone._alone.held.roster.people
    assert mine.person != theirs.person
    assert mine.claim != theirs.claim
    other.stop()


def test_an_account_from_before_is_known_to_doors_once_it_was_seen(
    house: House, door: LoneDoor
) -> None:
    person(house, 1)
    with house.database.transaction() as conn:
        conn.execute("UPDATE claims SET blinded = NULL")
    door.beat()
    assert door.standalone._alone.held.roster.people == ()
    store = house.add_terminal(TerminalKind.DOOR)
    context = EntryContext(door=house.door, direction=Direction.IN)
    assert store.attempt(context, probe(1)).approved
    house.clock.now_ms += 5 * HOUR_MS
    door.beat()
    assert len(door.standalone._alone.held.roster.people) == 1
