"""Three doors, their locks and panels, a broker and the service: all real, and much goes wrong.

For half of the people two of the doors have no network, their clocks are wrong, and one is killed
with an entry under way. Afterwards the log has every event of every door exactly once, in the
door's order, and each decision is what ``countenance access explain`` says.

Left out: camera, liveness and face engine (:mod:`tests.doors.process`).
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import pytest

from access.rules import RULES, Grant, Passback, ZoneRules, decide
from access.schedule import Schedule, find_time_zone
from countenance.stage import Stage
from service.access import places
from service.access import store as access
from service.access.places import Failure
from service.audit.leaf import DecisionLeaf, DoorRecordLeaf
from service.clock import unix_ms
from service.operators.door_records import list_health
from service.terminals.health import Complaint
from service.verification.policy import default_policy
from tests.doors.cables import Straight, lay
from tests.doors.conftest import ENTRIES
from tests.doors.doorways import BrokersLock, Doorway, OwnReader, TheirPanel, Visit
from tests.drivers.broker import BROKER, make_broker, prepare_broker
from tests.processes.conftest import Network
from tests.processes.test_killed_service import verify
from tests.processes.till import Mall, Till
from wire.codec import decode
from wire.denial import Denial
from wire.ids import AccountId, AttemptId, TerminalId, ZoneId
from wire.messages import Direction, DoorEventKind, EnrolmentContext, TerminalKind

pytestmark = pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")

FOREVER_MS = 2**50
PASSBACK_MS = 6_000
READY_S, DELIVERED_S = 180.0, 180.0
GRANTED, UNGRANTED, EXPIRED, LOCKED = 10, 2, 2, 2
FAILURES = 6
IMPOSTOR = 9_999
SEED = 20_261_130


@dataclass
class Crowd:
    """The people of one door: seeds of faces and claims, by what becomes of them; ``spare`` are
    those of ``locked`` whom nobody tried to pass for yet."""

    first: int
    accounts: dict[int, AccountId] = field(default_factory=dict)
    spare: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spare += self.locked

    @property
    def granted(self) -> range:
        return range(self.first, self.first + GRANTED)

    @property
    def ungranted(self) -> range:
        return range(self.granted.stop, self.granted.stop + UNGRANTED)

    @property
    def expired(self) -> range:
        return range(self.ungranted.stop, self.ungranted.stop + EXPIRED)

    @property
    def locked(self) -> range:
        return range(self.expired.stop, self.expired.stop + LOCKED)

    @property
    def everybody(self) -> range:
        return range(self.first, self.locked.stop)

    @property
    def strangers(self) -> range:
        """Whom nobody has enrolled."""
        return range(self.locked.stop, self.locked.stop + 2)

    def queue(self, drawn: random.Random, number: int) -> Iterator[tuple[int, int]]:
        """Who comes, and whose face it is: about three of five are let in."""
        made = 0
        order = [*self.granted]
        while made < number:
            # What must not be missed, in every half.
            group: list[tuple[int, int]] = []
            tried = [each for each in self.locked if each not in self.spare]
            victim = drawn.choice(tried) if made else self.spare.pop()
            group += [(victim, IMPOSTOR)] * FAILURES + [(victim, victim)]
            tailgater, other = order[0], self.strangers[0]
            group += [(tailgater, tailgater), (other, other), (tailgater, tailgater)]
            group += [(each, each) for each in (self.ungranted[0], self.expired[0])]
            while len(group) < max(number - made, 0) and len(group) < 60:
                order.append(order.pop(0))
                group.append((order[0], order[0]))
                if drawn.random() < 0.15:
                    who = drawn.choice([*self.ungranted, *self.expired, *self.strangers])
                    group.append((who, who))
            made += len(group)
            yield from group


@dataclass
class Street:
    stage: Stage
    station: Till
    doors: list[Doorway] = field(default_factory=list)
    crowds: dict[str, Crowd] = field(default_factory=dict)
    killed: int = 0

    def people(self, door: Doorway, first: int, zone: ZoneId) -> None:
        crowd = self.crowds[door.name] = Crowd(first)
        operations = self.stage.house.operations
        operations.set_rules(
            zone, ZoneRules(passback=Passback.HARD, passback_timeout_ms=PASSBACK_MS)
        )
        for seed in crowd.everybody:
            account = AccountId.new()
            context = EnrolmentContext(
                account=account, consent_version=default_policy().consent_version
            )
            claim = door.hardware.claim(seed)
            assert self.station.prepare(context, seed, claim=claim).decide().approved
            crowd.accounts[seed] = account
            if seed in crowd.ungranted:
                continue
            until_ms = unix_ms() - 1 if seed in crowd.expired else FOREVER_MS
            with self.stage.house.database.transaction() as conn:
                places.set_grant(conn, account, zone, grant_until(until_ms))


def grant_until(until_ms: int) -> Grant:
    return Grant(
        schedule=Schedule.parse("always"),
        time_zone=find_time_zone("UTC"),
        valid_from_ms=0,
        valid_until_ms=until_ms,
    )


@pytest.fixture
def street(stage: Stage, tmp_path: Path) -> Iterator[Street]:
    folder = tmp_path / "broker"
    folder.mkdir()
    prepare_broker(folder)
    broker = make_broker(folder)
    mall = Mall(stage.house)
    found = Street(stage, mall.add_till(TerminalKind.ENROLMENT, Network(stage.url).line()))
    with ExitStack() as stack:
        broker.start()
        stack.callback(broker.stop)
        service = f"tcp:127.0.0.1:{stage.port}"
        cables = stack.enter_context(lay(["reader", "panel"], service, tmp_path))
        made = [
            Doorway("reader", tmp_path / "reader", cables["reader"], OwnReader(), skew_ms=45_000),
            Doorway("panel", tmp_path / "panel", cables["panel"], TheirPanel(), skew_ms=-50_000),
            Doorway("broker", tmp_path / "mqtt", Straight(stage.url), BrokersLock(broker)),
        ]
        for number, door in enumerate(made):
            stack.callback(door.hardware.close)
            stack.callback(door.stop)
            place = stage.house.operations.add_door(door.name, None, Failure.SECURE)
            _, code = stage.house.operations.add_terminal(TerminalKind.DOOR, door.name, door=place)
            door.register(code, stage.url)
            found.people(door, 1_000 * (number + 1), ZoneId(place.raw))
            found.doors.append(door)
        with ThreadPoolExecutor(len(made)) as threads:
            list(threads.map(Doorway.start, made))
        yield found


def wait_until(happened: Callable[[], bool], within_s: float, what: str) -> None:
    ends = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


def complaints(street: Street) -> dict[str, tuple[Complaint, ...]]:
    with street.stage.house.database.transaction() as conn:
        return {each.name: each.complaints(unix_ms()) for each in list_health(conn)}


@pytest.mark.timeout(3_600)
def test_afterwards_the_log_has_everything_once_and_as_explained(
    street: Street, request: pytest.FixtureRequest
) -> None:
    wait_until(lambda: not any(complaints(street).values()), READY_S, "not every door became well")
    entries = int(request.config.getoption("--entries", ENTRIES))
    share = entries // len(street.doors)
    with ThreadPoolExecutor(len(street.doors)) as threads:
        list(threads.map(lambda door: live(street, door, share), street.doors))
    delivered(street)
    told = [each for door in street.doors for each in door.visits]
    assert len(told) >= entries
    for door in street.doors:
        door.stop()
        check_records(street, door)
        check_decisions(street, door)
    check_kinds(street)
    check_command(street)
    verify(street.stage.house)


def live(street: Street, door: Doorway, share: int) -> None:
    """One door's day: connected, for half of the people without network, connected again."""
    crowd, drawn = street.crowds[door.name], random.Random(f"{SEED}{door.name}")
    if isinstance(door.cable, Straight):
        receive(door, crowd, crowd.queue(drawn, share))
        return
    quarter, half = share // 4, share // 2
    receive(door, crowd, islice(cycle(zip(crowd.granted, crowd.granted, strict=True)), quarter))
    door.cable.cut()
    receive(door, crowd, crowd.queue(drawn, half))
    if isinstance(door.hardware, OwnReader):
        die_in_the_middle(street, door, crowd.granted[-1])
    door.cable.mend()
    wait_until(lambda: is_back(street, door), DELIVERED_S, f"{door.name} did not come back")
    receive(door, crowd, crowd.queue(drawn, share - quarter - half))


def receive(door: Doorway, crowd: Crowd, people: Iterable[tuple[int, int]]) -> None:
    last = 0
    for seed, face in people:
        if seed == last and door.hardware.reads_codes:
            door.visit(crowd.strangers[seed == crowd.strangers[0]])
        door.visit(seed, face)
        last = seed


def die_in_the_middle(street: Street, door: Doorway, seed: int) -> None:
    """The lock has let go, nobody has pulled yet, and the power fails; it comes back offline."""
    assert isinstance(door.hardware, OwnReader)
    time.sleep(PASSBACK_MS / 1000)
    peer = door.hardware.peer
    peer.pulled = False
    peer.released.clear()
    door._stand(seed, door.hardware.ask(seed))
    assert peer.released.wait(30.0)
    door.die()
    street.killed += 1
    peer.pulled = True
    door.start()
    assert door.visit(seed).told["completed"], "an entry that was not made holds nobody"


def is_back(street: Street, door: Doorway) -> bool:
    return complaints(street)[door.name] == () and nothing_waits(street, door)


def nothing_waits(street: Street, door: Doorway) -> bool:
    with street.stage.house.database.transaction() as conn:
        row = conn.execute(
            """SELECT waiting, sequence = (SELECT max(sequence) FROM door_records r
            WHERE r.terminal_id = b.terminal_id) FROM door_beats b WHERE terminal_id = %s""",
            (door.identity.terminal.raw,),
        ).fetchone()
    return row is not None and row == (0, True)


def delivered(street: Street) -> None:
    wait_until(
        lambda: all(nothing_waits(street, door) for door in street.doors),
        DELIVERED_S,
        "records still wait",
    )


def leaves(street: Street, terminal: TerminalId) -> tuple[list[DoorRecordLeaf], list[DecisionLeaf]]:
    with street.stage.house.database.transaction() as conn:
        rows = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    records, decisions = [], []
    for (raw,) in rows:
        kind = decode(raw)[1]
        if kind == "door":
            records.append(DoorRecordLeaf.decode(raw))
        elif kind == "decision":
            decisions.append(DecisionLeaf.decode(raw))
    return (
        [each for each in records if each.terminal == terminal],
        [each for each in decisions if each.terminal == terminal],
    )


def check_records(street: Street, door: Doorway) -> None:
    """Each record of the door's own log is one leaf, in its order, to the chain's very end."""
    records, decisions = leaves(street, door.identity.terminal)
    sequence, head, _ = door.log_end
    # The orderly stop may have been taken down after the last delivery.
    assert [each.record.sequence for each in records] == list(range(1, len(records) + 1))
    assert len(records) <= sequence <= len(records) + 2
    if len(records) == sequence:
        assert records[-1].head == head
    opened = Counter(
        each.record.attempt for each in records if each.record.event is DoorEventKind.OPENED
    )
    wanted = "confirmed" if door.hardware.has_contact else "accepted"
    seen = [each["attempt"] for each in door.events if each["door"] == wanted and each["attempt"]]
    assert seen
    for attempt in seen:
        assert opened[AttemptId.parse(attempt)] == 1, (door.name, attempt)
    alone = Counter(each.record.attempt for each in records if each.record.decision)
    asked = Counter(each.attempt for each in decisions)
    for visit in door.visits:
        if visit.attempt is None:
            continue
        attempt = AttemptId.parse(visit.attempt)
        assert (alone[attempt], asked[attempt]) == ((1, 0) if visit.alone else (0, 1))
    assert set((alone + asked).values()) == {1}


def check_decisions(street: Street, door: Doorway) -> None:
    """Each is what the rules say for its moment, whoever decided."""
    crowd = street.crowds[door.name]
    records, decisions = leaves(street, door.identity.terminal)
    made: dict[AttemptId, tuple[int, str | None]] = {
        each.attempt: (each.at_ms, each.denial) for each in decisions
    }
    for each in records:
        if each.record.decision is not None and each.record.attempt is not None:
            made[each.record.attempt] = each.record.at_ms, each.record.decision.denial
    for visit in door.visits:
        if visit.attempt is None:
            continue
        at_ms, denial = made[AttemptId.parse(visit.attempt)]
        explained = explain(street, door, crowd, visit, at_ms)
        case = (door.name, visit, denial, explained)
        if denial in (Denial.NO_MATCH, Denial.ACCOUNT_LOCKED):
            assert visit.seed in crowd.locked, case
        elif denial == Denial.ACCOUNT_UNKNOWN:
            # A bundle does not know whom the door would refuse.
            never = (Denial.GRANT_MISSING, Denial.GRANT_EXPIRED)
            assert visit.seed in crowd.strangers or (visit.alone and explained in never), case
        else:
            assert denial is None or Denial(denial) in RULES, case
            assert denial == explained, case


def explain(street: Street, door: Doorway, crowd: Crowd, visit: Visit, at_ms: int) -> Denial | None:
    account, place = crowd.accounts.get(visit.seed), door.identity.door
    if account is None or place is None:
        return Denial.ACCOUNT_UNKNOWN
    with street.stage.house.database.transaction() as conn:
        facts = access.facts_at(
            conn, account=account, door=place, direction=Direction.IN, at_ms=at_ms
        )
    return decide(facts).denial


def check_kinds(street: Street) -> None:
    """Nothing that this is about was missed: every kind of person, connected and cut off."""
    for door in street.doors:
        records, decisions = leaves(street, door.identity.terminal)
        asked = {each.denial for each in decisions}
        assert {None, "anti_passback", "account_locked", "no_match"} <= asked, (door.name, asked)
        assert {"grant_missing", "grant_expired", "account_unknown"} <= asked, (door.name, asked)
        if isinstance(door.cable, Straight):
            continue
        alone = {each.record.decision.denial for each in records if each.record.decision}
        assert alone == {
            None, "anti_passback", "account_locked", "no_match", "account_unknown",
        }, (door.name, alone)  # fmt: skip
        assert all(each.record.offline for each in records if each.record.decision)
    assert street.killed == 1


def check_command(street: Street) -> None:
    """The command says the same as what was asked of its parts."""
    for door in street.doors:
        crowd, (_, decisions) = (
            street.crowds[door.name],
            leaves(street, door.identity.terminal),
        )
        refused = next(each for each in decisions if each.denial == "anti_passback")
        seed = next(seed for seed, account in crowd.accounts.items() if account == refused.account)
        at = datetime.fromtimestamp(refused.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        command = [sys.executable, "-m", "countenance.cli", "access", "explain"]
        command += [str(crowd.accounts[seed]), str(door.identity.door), "--at", at, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["rule"] == "anti_passback", done.stdout
