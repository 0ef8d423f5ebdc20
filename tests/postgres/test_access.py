"""Who is where, over real rows: at once, after failures, and asked again later."""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import Connection
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from access.rules import Facts, Grant, Mode, Passback, Presence, ZoneRules, decide
from access.schedule import Schedule, find_time_zone
from service.access import places, retention, store
from service.access.places import Door, Site, Zone
from service.db import Database, Row
from service.migrate import migrate
from wire.denial import Denial
from wire.ids import AccountId, DoorId, EntryId, GroupId, SiteId, ZoneId
from wire.messages import Direction

IN, OUT = Direction.IN, Direction.OUT
PEOPLE = [AccountId(bytes([number]) * 16) for number in range(1, 7)]
SITE, ZONE, OTHER_ZONE = SiteId(b"s" * 16), ZoneId(b"z" * 16), ZoneId(b"y" * 16)
FRONT, BACK, OTHER = DoorId(b"f" * 16), DoorId(b"b" * 16), DoorId(b"o" * 16)
NOW_MS = 1_800_000_000_000
ALWAYS = Grant(
    schedule=Schedule.parse("always"),
    time_zone=find_time_zone("UTC"),
    valid_from_ms=0,
    valid_until_ms=2**50,
)


@pytest.fixture
def house(database: Database) -> Database:
    """A zone with two doors, another with one, and people who may pass all of them."""
    with database.transaction() as conn:
        places.add_site(conn, Site(site=SITE, name="Works", time_zone="UTC"), now_ms=1)
        for zone, doors in ((ZONE, (FRONT, BACK)), (OTHER_ZONE, (OTHER,))):
            places.add_zone(conn, Zone(zone=zone, site=SITE, name="Hall"), now_ms=1)
            for door in doors:
                places.add_door(conn, Door(door=door, name="Door", zone=zone), now_ms=1)
            for person in PEOPLE:
                places.set_grant(conn, person, zone, ALWAYS)
    return database


def rule(database: Database, **rules: Any) -> None:
    with database.transaction() as conn:
        places.set_rules(conn, ZONE, ZoneRules(**rules))


def attempt(
    conn: Connection[Row],
    person: AccountId,
    door: DoorId = FRONT,
    direction: Direction = IN,
    *,
    at_ms: int = NOW_MS,
) -> Denial | EntryId:
    """What the service does at step 9."""
    judged = store.judge(conn, account=person, door=door, direction=direction, at_ms=at_ms)
    if judged.verdict.denial is Denial.SECOND_PERSON_MISSING:
        store.wait_for_second(conn, person, door, at_ms=at_ms)
    if judged.verdict.denial is not None:
        return judged.verdict.denial
    entry = EntryId.new()
    people = [each for each in (person, judged.companion) if each]
    store.command_entry(conn, entry, people=people, door=door, direction=direction, at_ms=at_ms)
    return entry


def once(database: Database, *args: Any, **options: Any) -> Denial | EntryId:
    with database.transaction() as conn:
        return attempt(conn, *args, **options)


def close(database: Database, entry: Denial | EntryId, *, opened: bool, at_ms: int) -> None:
    assert isinstance(entry, EntryId)
    with database.transaction() as conn:
        store.close_entry(conn, entry, opened=opened, at_ms=at_ms)


def inside(database: Database) -> set[AccountId]:
    with database.transaction() as conn:
        rows = conn.execute(
            "SELECT account_id FROM presences WHERE inside AND until_ms = %s AND zone_id = %s",
            (store.FOREVER_MS, ZONE.raw),
        ).fetchall()
    return {AccountId(row[0]) for row in rows}


def at_once(database: Database, work: list[Callable[[Connection[Row]], Any]]) -> list[Any]:
    start = threading.Barrier(len(work))

    def run(each: Callable[[Connection[Row]], Any]) -> Any:
        with database.transaction() as conn:
            start.wait(10)
            return each(conn)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


@pytest.mark.parametrize("limit", [1, 3])
def test_of_all_who_come_at_once_only_so_many_enter(house: Database, limit: int) -> None:
    rule(house, occupancy_max=limit)
    found = at_once(
        house,
        [
            lambda conn, person=person, door=door: attempt(conn, person, door)
            for person in PEOPLE
            for door in (FRONT, BACK)
        ],
    )
    assert len(inside(house)) == limit
    denied = [each for each in found if isinstance(each, Denial)]
    assert set(denied) == {Denial.ZONE_FULL}


def test_one_person_at_two_doors_at_once_enters_by_one(house: Database) -> None:
    rule(house, passback=Passback.HARD)
    for number in range(4):
        person = PEOPLE[number]
        found = at_once(
            house,
            [
                lambda conn, door=door, person=person: attempt(conn, person, door)
                for door in (FRONT, BACK)
            ],
        )
        assert sorted(isinstance(each, EntryId) for each in found) == [False, True]
        assert Denial.ANTI_PASSBACK in found


def test_room_is_taken_when_the_door_is_commanded_and_given_back_if_it_stays_shut(
    house: Database,
) -> None:
    rule(house, occupancy_max=1)
    entry = once(house, PEOPLE[0])
    assert once(house, PEOPLE[1], at_ms=NOW_MS + 1) is Denial.ZONE_FULL
    close(house, entry, opened=False, at_ms=NOW_MS + 2)
    assert inside(house) == set()
    assert isinstance(once(house, PEOPLE[1], at_ms=NOW_MS + 3), EntryId)


def test_a_door_that_stayed_shut_puts_people_back_to_where_they_were(house: Database) -> None:
    rule(house, passback=Passback.HARD)
    first = once(house, PEOPLE[0], at_ms=NOW_MS)
    close(house, first, opened=True, at_ms=NOW_MS + 1)
    leaving = once(house, PEOPLE[0], BACK, OUT, at_ms=NOW_MS + 2)
    close(house, leaving, opened=False, at_ms=NOW_MS + 3)
    assert inside(house) == {PEOPLE[0]}
    assert once(house, PEOPLE[0], at_ms=NOW_MS + 4) is Denial.ANTI_PASSBACK
    assert isinstance(once(house, PEOPLE[0], BACK, OUT, at_ms=NOW_MS + 5), EntryId)
    close(house, first, opened=False, at_ms=NOW_MS + 6)  # its first word stands
    assert inside(house) == set()


def test_two_entries_that_fail_leave_nothing_whichever_fails_first(house: Database) -> None:
    for order in ((0, 1), (1, 0)):
        entries = [once(house, PEOPLE[0], at_ms=NOW_MS + at) for at in range(2)]
        for place in order:
            close(house, entries[place], opened=False, at_ms=NOW_MS + 5)
        assert inside(house) == set()


def test_two_people_enter_together_and_no_third_with_them(house: Database) -> None:
    rule(house, two_person_ms=30_000)
    assert once(house, PEOPLE[0]) is Denial.SECOND_PERSON_MISSING
    assert once(house, PEOPLE[0], at_ms=NOW_MS + 1) is Denial.SECOND_PERSON_MISSING
    assert once(house, PEOPLE[1], BACK, at_ms=NOW_MS + 2) is Denial.SECOND_PERSON_MISSING
    entry = once(house, PEOPLE[2], at_ms=NOW_MS + 3)
    assert isinstance(entry, EntryId)
    assert inside(house) == {PEOPLE[0], PEOPLE[2]}
    assert once(house, PEOPLE[3], at_ms=NOW_MS + 4) is Denial.SECOND_PERSON_MISSING
    close(house, entry, opened=False, at_ms=NOW_MS + 5)
    assert inside(house) == set()
    late = once(house, PEOPLE[4], BACK, at_ms=NOW_MS + 30_002)
    assert late is Denial.SECOND_PERSON_MISSING


def test_two_of_two_at_once_open_once(house: Database) -> None:
    rule(house, two_person_ms=30_000)
    work = [lambda conn, person=person: attempt(conn, person) for person in PEOPLE[:2]]
    found = at_once(house, work)
    assert [each for each in found if isinstance(each, Denial)] == [Denial.SECOND_PERSON_MISSING]
    assert inside(house) == set(PEOPLE[:2])


def test_who_leaves_does_not_take_a_waiting_person_along(house: Database) -> None:
    rule(house, two_person_ms=30_000)
    assert once(house, PEOPLE[0]) is Denial.SECOND_PERSON_MISSING
    assert isinstance(once(house, PEOPLE[1], FRONT, OUT, at_ms=NOW_MS + 1), EntryId)
    assert isinstance(once(house, PEOPLE[2], at_ms=NOW_MS + 2), EntryId)
    assert inside(house) == {PEOPLE[0], PEOPLE[2]}


def test_an_amnesty_forgets_one_or_all(house: Database) -> None:
    rule(house, passback=Passback.HARD, occupancy_max=2)
    for person in PEOPLE[:2]:
        once(house, person)
    assert once(house, PEOPLE[2], at_ms=NOW_MS + 1) is Denial.ZONE_FULL
    with house.transaction() as conn:
        assert store.forget(conn, ZONE, PEOPLE[0], now_ms=NOW_MS + 2) == 1
    assert isinstance(once(house, PEOPLE[0], at_ms=NOW_MS + 3), EntryId)
    with house.transaction() as conn:
        assert store.forget(conn, ZONE, None, now_ms=NOW_MS + 4) == 2
        assert store.forget(conn, ZONE, None, now_ms=NOW_MS + 4) == 0
    assert inside(house) == set()


def test_who_was_where_is_forgotten_and_who_is_inside_is_not(house: Database) -> None:
    """In batches; what a door decides afterwards is what it would have decided before."""
    rule(house, passback=Passback.HARD, occupancy_max=2)
    for direction, at_ms in ((IN, 0), (OUT, 1_000), (IN, 2_000)):
        entered = once(house, PEOPLE[0], FRONT, direction, at_ms=NOW_MS + at_ms)
        close(house, entered, opened=True, at_ms=NOW_MS + at_ms)
    once(house, PEOPLE[1], at_ms=NOW_MS + 3_000)
    rule(house, two_person_ms=30_000, passback=Passback.HARD, occupancy_max=4)
    assert once(house, PEOPLE[2], at_ms=NOW_MS + 4_000) is Denial.SECOND_PERSON_MISSING
    done = []
    for limit in (1, 1, 1):
        with house.transaction() as conn:
            done.append(retention.forget_past(conn, before_ms=NOW_MS + 10_000, limit=limit))
    assert done == [2, 1, 0]
    assert inside(house) == {PEOPLE[0], PEOPLE[1]}
    rule(house, passback=Passback.HARD, occupancy_max=3)
    assert once(house, PEOPLE[0], at_ms=NOW_MS + 20_000) is Denial.ANTI_PASSBACK
    last = once(house, PEOPLE[2], at_ms=NOW_MS + 20_000)
    assert once(house, PEOPLE[3], at_ms=NOW_MS + 20_000) is Denial.ZONE_FULL
    close(house, last, opened=False, at_ms=NOW_MS + 21_000)
    assert inside(house) == {PEOPLE[0], PEOPLE[1]}


@pytest.mark.parametrize("place", [SITE, ZONE])
def test_a_lockdown_waits_for_decisions_and_no_door_opens_after_it(
    house: Database, place: SiteId | ZoneId
) -> None:
    judged, go_on = threading.Event(), threading.Event()

    def enter() -> Denial | EntryId:
        with house.transaction() as conn:
            found = attempt(conn, PEOPLE[0])
            judged.set()
            assert go_on.wait(10)
            return found

    def lock() -> bool:
        with house.transaction() as conn:
            return places.set_mode(conn, place, Mode.LOCKDOWN)

    with ThreadPoolExecutor(2) as pool:
        entered = pool.submit(enter)
        assert judged.wait(10)
        locked = pool.submit(lock)
        waits = wait([locked], timeout=0.5).done
        go_on.set()
        assert not waits
        assert isinstance(entered.result(10), EntryId)
        assert locked.result(10)
    assert once(house, PEOPLE[1]) is Denial.LOCKDOWN


def test_groups_grant_a_zone_or_a_door_for_as_long_as_one_is_in_them(house: Database) -> None:
    group, member = GroupId.new(), AccountId.new()
    with house.transaction() as conn:
        places.add_group(conn, group, "Staff", now_ms=1)
        places.set_grant(conn, group, FRONT, ALWAYS)
        places.join_group(conn, group, member, now_ms=1)
        places.join_group(conn, group, member, now_ms=2)
    assert isinstance(once(house, member), EntryId)
    assert once(house, member, BACK) is Denial.GRANT_MISSING
    with house.transaction() as conn:
        places.set_grant(conn, group, ZONE, ALWAYS)
    assert isinstance(once(house, member, BACK), EntryId)
    with house.transaction() as conn:
        assert places.leave_group(conn, group, member)
        assert not places.leave_group(conn, group, member)
    assert once(house, member) is Denial.GRANT_MISSING


def test_a_grant_is_replaced_and_revoked_by_who_and_where(house: Database) -> None:
    person, over = AccountId.new(), replace(ALWAYS, valid_until_ms=1)
    with house.transaction() as conn:
        for place in (FRONT, ZONE):
            places.set_grant(conn, person, place, over)
            places.set_grant(conn, person, place, over)
    assert once(house, person) is Denial.GRANT_EXPIRED
    with house.transaction() as conn:
        places.set_grant(conn, person, ZONE, ALWAYS)
    assert isinstance(once(house, person), EntryId)
    with house.transaction() as conn:
        assert places.revoke_grant(conn, person, ZONE)
        assert not places.revoke_grant(conn, person, ZONE)
    assert once(house, person) is Denial.GRANT_EXPIRED


def test_a_zone_without_doors_opens_nothing(house: Database) -> None:
    empty, person = ZoneId.new(), AccountId.new()
    with house.transaction() as conn:
        places.add_zone(conn, Zone(zone=empty, site=SITE, name="Roof"), now_ms=1)
        places.set_grant(conn, person, empty, ALWAYS)
        assert places.time_zone_of(conn, empty) == "UTC"
        assert store.forget(conn, empty, None, now_ms=1) == 0
        assert places.set_mode(conn, empty, Mode.LOCKDOWN)
    assert once(house, person) is Denial.GRANT_MISSING
    assert once(house, PEOPLE[0], DoorId.new()) is Denial.DOOR_UNKNOWN


def test_holidays_are_the_sites(house: Database) -> None:
    person, day = AccountId.new(), date(2027, 1, 15)
    office = replace(ALWAYS, schedule=Schedule.parse("Mon-Sun 00:00-24:00"))
    with house.transaction() as conn:
        places.set_grant(conn, person, FRONT, office)
        assert places.set_holidays(conn, SITE, [day])
        assert not places.set_holidays(conn, SiteId.new(), [day])
    assert once(house, person) is Denial.OUTSIDE_SCHEDULE  # NOW_MS is on that day
    with house.transaction() as conn:
        places.set_holidays(conn, SITE, [])
    assert isinstance(once(house, person), EntryId)


@dataclass
class Model:
    """What the tables must say, in plain Python."""

    rules: ZoneRules
    presence: dict[AccountId, Presence] = field(default_factory=dict)
    waits: list[tuple[int, DoorId, AccountId]] = field(default_factory=list)

    def facts(self, person: AccountId, door: DoorId, direction: Direction, at_ms: int) -> Facts:
        others = [
            each
            for each in self.waits
            if each[1] == door
            and each[2] != person
            and each[0] > at_ms - (self.rules.two_person_ms or 0)
        ]
        companion = others[-1] if others else None
        apart = {person, companion[2] if companion else person}
        return Facts(
            zone=self.rules,
            direction=direction,
            at_ms=at_ms,
            grants=(ALWAYS,),
            presence=self.presence.get(person),
            others_inside=sum(
                each.inside for who, each in self.presence.items() if who not in apart
            )
            if self.rules.occupancy_max
            else 0,
            companion_at_ms=companion[0] if companion else None,
        )

    def put(
        self, people: list[AccountId], door: DoorId, direction: Direction, at_ms: int
    ) -> dict[AccountId, Presence | None]:
        """Returns where they were before."""
        before = {person: self.presence.get(person) for person in people}
        for person in people:
            self.presence[person] = Presence(inside=direction is IN, since_ms=at_ms)
        self.waits = [each for each in self.waits if not (each[1] == door and each[2] in people)]
        return before


@pytest.mark.parametrize("seed", range(6))
def test_every_decision_is_explained_alike_then_and_later(house: Database, seed: int) -> None:
    """Random days: the tables agree with a model, and later say what they said at the time."""
    draw = random.Random(seed)
    model = Model(
        ZoneRules(
            passback=draw.choice(list(Passback)),
            passback_timeout_ms=draw.choice([None, 40]),
            occupancy_max=draw.choice([None, 2, 3]),
            two_person_ms=draw.choice([None, 25]),
        )
    )
    rule(
        house,
        passback=model.rules.passback,
        passback_timeout_ms=model.rules.passback_timeout_ms,
        occupancy_max=model.rules.occupancy_max,
        two_person_ms=model.rules.two_person_ms,
    )
    asked: list[tuple[dict[str, Any], Facts]] = []
    with house.transaction() as conn:
        for step in range(120):
            at_ms = NOW_MS + 3 * step
            if draw.random() < 0.03:
                store.forget(conn, ZONE, None, now_ms=at_ms)
                model.presence.clear()
                continue
            person, door = draw.choice(PEOPLE[:4]), draw.choice([FRONT, BACK])
            direction = draw.choice([IN, OUT])
            facts = model.facts(person, door, direction, at_ms)
            asked.append(
                ({"account": person, "door": door, "direction": direction, "at_ms": at_ms}, facts)
            )
            companion = next(
                (who for at, _, who in reversed(model.waits) if at == facts.companion_at_ms), None
            )
            found = attempt(conn, person, door, direction, at_ms=at_ms)
            denial = decide(facts).denial
            assert (found if isinstance(found, Denial) else None) is denial
            if denial is Denial.SECOND_PERSON_MISSING:
                model.waits.append((at_ms, door, person))
            if isinstance(found, EntryId):
                together = [companion] if companion and direction is IN else []
                before = model.put([person, *together], door, direction, at_ms)
                opened = draw.random() < 0.7
                store.close_entry(conn, found, opened=opened, at_ms=at_ms + 1)
                if not opened:
                    for who, presence in before.items():
                        if presence is None:
                            del model.presence[who]
                        else:
                            model.presence[who] = presence
        outcomes = {decide(facts).rule for _, facts in asked}
        for wanted, facts in asked:
            assert store.facts_at(conn, **wanted) == facts
    assert len(outcomes) > 1


def test_doors_and_grants_of_before_are_kept(empty_url: str) -> None:
    revision = importlib.import_module("migrations.versions.0018_access").down_revision
    engine = create_engine(
        make_url(empty_url).set(drivername="postgresql+psycopg"), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", "migrations:")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()
    person = AccountId(b"p" * 16)
    with psycopg.connect(empty_url) as conn:
        conn.execute("INSERT INTO doors VALUES (%s, 'Old', 5)", (FRONT.raw,))
        conn.execute(
            "INSERT INTO grants VALUES (%s, %s, 'Mon-Sun 00:00-24:00', 'Europe/Berlin', 0, %s)",
            (person.raw, FRONT.raw, 2**50),
        )
        conn.execute(
            "INSERT INTO entries VALUES (%s, %s, %s, 1, 'commanded', 5, NULL)",
            (b"e" * 16, person.raw, FRONT.raw),
        )
    migrate(empty_url)
    database = Database.open(empty_url, size=2)
    try:
        assert isinstance(once(database, person), EntryId)
        assert once(database, PEOPLE[0]) is Denial.GRANT_MISSING
        with database.transaction() as conn:
            sites = conn.execute("SELECT name, time_zone, mode FROM sites").fetchall()
            assert sites == [("Main site", "UTC", "normal")]
            assert places.set_mode(conn, ZoneId(FRONT.raw), Mode.LOCKDOWN)
        close(database, EntryId(b"e" * 16), opened=True, at_ms=6)
        assert once(database, person) is Denial.LOCKDOWN
    finally:
        database.close()
