"""The table of rules: each denial, the order of precedence, and what must hold of any facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.rules import (
    GRANTED,
    RULES,
    Effect,
    Facts,
    Grant,
    Mode,
    Passback,
    Presence,
    ZoneRules,
    decide,
    explain,
    when,
)
from access.schedule import Schedule, find_time_zone
from wire.denial import Denial
from wire.messages import Direction

UTC_ZONE = find_time_zone("UTC")
HOUR = 3_600_000
NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)  # a Monday
ALWAYS = Schedule.parse("always")


def grant(schedule: str = "always", start: int = 0, end: int = 2**50, **more: Any) -> Grant:
    return Grant(
        schedule=Schedule.parse(schedule),
        time_zone=UTC_ZONE,
        valid_from_ms=start,
        valid_until_ms=end,
        **more,
    )


def facts(zone: ZoneRules | None = ZoneRules(), **more: Any) -> Facts:  # noqa: B008 - frozen
    given: dict[str, Any] = {"direction": Direction.IN, "at_ms": NOON, "grants": (grant(),)}
    return Facts(zone=zone, **(given | more))


INSIDE, OUTSIDE = (Presence(inside=inside, since_ms=NOON - HOUR) for inside in (True, False))
OUT = Direction.OUT
HARD, SOFT = ZoneRules(passback=Passback.HARD), ZoneRules(passback=Passback.SOFT)
LOCKED, EVACUATED = ZoneRules(mode=Mode.LOCKDOWN), ZoneRules(mode=Mode.EVACUATION)
TWO = ZoneRules(two_person_ms=30_000)


@pytest.mark.parametrize(
    ("given_facts", "denial"),
    [
        pytest.param(facts(), None, id="a grant"),
        pytest.param(facts(None), Denial.DOOR_UNKNOWN, id="no door"),
        pytest.param(facts(EVACUATED), Denial.EVACUATION, id="in, while all go out"),
        pytest.param(facts(EVACUATED, direction=OUT, grants=()), None, id="out without a grant"),
        pytest.param(facts(LOCKED), Denial.LOCKDOWN, id="locked"),
        pytest.param(facts(LOCKED, direction=OUT), Denial.LOCKDOWN, id="locked both ways"),
        pytest.param(facts(LOCKED, grants=(grant(through_lockdown=True),)), None, id="through"),
        pytest.param(
            facts(LOCKED, grants=(grant(), grant(end=NOON, through_lockdown=True))),
            Denial.LOCKDOWN,
            id="a grant through lockdowns that is over",
        ),
        pytest.param(
            facts(LOCKED, grants=(grant("Tue 00:00-24:00", through_lockdown=True),)),
            Denial.LOCKDOWN,
            id="a grant through lockdowns outside its schedule",
        ),
        pytest.param(facts(visit_until_ms=NOON), Denial.VISIT_OVER, id="a visit that just ended"),
        pytest.param(facts(visit_until_ms=NOON + 1), None, id="a visit's last millisecond"),
        pytest.param(facts(grants=()), Denial.GRANT_MISSING, id="no grant"),
        pytest.param(facts(grants=(grant(end=NOON),)), Denial.GRANT_EXPIRED, id="just over"),
        pytest.param(facts(grants=(grant(end=NOON + 1),)), None, id="the last millisecond"),
        pytest.param(facts(grants=(grant(start=NOON + 1),)), Denial.GRANT_EXPIRED, id="not yet"),
        pytest.param(facts(grants=(grant(start=NOON),)), None, id="the first millisecond"),
        pytest.param(
            facts(grants=(grant("Sun 00:00-24:00"),)), Denial.OUTSIDE_SCHEDULE, id="not today"
        ),
        pytest.param(
            facts(grants=(grant("Sun 00:00-24:00"), grant(end=NOON))),
            Denial.OUTSIDE_SCHEDULE,
            id="one is over, one is not for today",
        ),
        pytest.param(
            facts(grants=(grant("Sun 00:00-24:00"), grant(end=NOON), grant())),
            None,
            id="one of several is enough",
        ),
        pytest.param(
            facts(grants=(grant("Mon-Fri 08:00-18:00"),), holidays=frozenset({date(2026, 11, 23)})),
            Denial.OUTSIDE_SCHEDULE,
            id="a holiday is no Monday",
        ),
        pytest.param(facts(HARD, presence=INSIDE), Denial.ANTI_PASSBACK, id="in twice"),
        pytest.param(facts(HARD, presence=OUTSIDE), None, id="in again"),
        pytest.param(facts(HARD), None, id="never seen"),
        pytest.param(
            facts(HARD, presence=OUTSIDE, direction=OUT), Denial.ANTI_PASSBACK, id="out twice"
        ),
        pytest.param(facts(HARD, presence=INSIDE, direction=OUT), None, id="out again"),
        pytest.param(facts(HARD, direction=OUT), None, id="out, never seen in"),
        pytest.param(facts(SOFT, presence=INSIDE), None, id="in twice, softly"),
        pytest.param(facts(presence=INSIDE), None, id="in twice, and nobody cares"),
        pytest.param(
            facts(replace(HARD, passback_timeout_ms=HOUR), presence=INSIDE), None, id="forgotten"
        ),
        pytest.param(
            facts(replace(HARD, passback_timeout_ms=HOUR + 1), presence=INSIDE),
            Denial.ANTI_PASSBACK,
            id="not yet forgotten",
        ),
        pytest.param(
            facts(ZoneRules(occupancy_max=2), others_inside=2), Denial.ZONE_FULL, id="full"
        ),
        pytest.param(facts(ZoneRules(occupancy_max=2), others_inside=1), None, id="the last one"),
        pytest.param(
            facts(ZoneRules(occupancy_max=2), others_inside=2, direction=OUT), None, id="out of it"
        ),
        pytest.param(facts(TWO), Denial.SECOND_PERSON_MISSING, id="alone"),
        pytest.param(facts(TWO, direction=OUT), None, id="alone out"),
        pytest.param(facts(TWO, companion_at_ms=NOON - 29_999), None, id="two"),
        pytest.param(
            facts(TWO, companion_at_ms=NOON - 30_000), Denial.SECOND_PERSON_MISSING, id="too late"
        ),
        pytest.param(
            facts(
                ZoneRules(occupancy_max=2, two_person_ms=30_000),
                others_inside=1,
                companion_at_ms=NOON,
            ),
            Denial.ZONE_FULL,
            id="room for one of the two",
        ),
    ],
)
def test_each_case_is_decided(given_facts: Facts, denial: Denial | None) -> None:
    verdict = decide(given_facts)
    assert verdict.denial is denial
    if given_facts.zone != EVACUATED:
        assert verdict.rule == (denial or GRANTED)


def test_a_soft_violation_opens_with_an_alarm_and_a_refused_one_without() -> None:
    assert decide(facts(SOFT, presence=INSIDE)).alarms == (Denial.ANTI_PASSBACK,)
    assert decide(facts(SOFT, presence=OUTSIDE)).alarms == ()
    full = replace(SOFT, occupancy_max=1)
    refused = decide(facts(full, presence=INSIDE, others_inside=1))
    assert (refused.denial, refused.alarms) == (Denial.ZONE_FULL, ())


def spoil(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda before: replace(before, **changes)


def spoil_zone(**changes: Any) -> Callable[[Facts], Facts]:
    def change(before: Facts) -> Facts:
        assert before.zone is not None
        return replace(before, zone=replace(before.zone, **changes))

    return change


FAULTS: dict[Denial, Callable[[Facts], Facts]] = {
    Denial.DOOR_UNKNOWN: spoil(zone=None),
    Denial.EVACUATION: spoil_zone(mode=Mode.EVACUATION),
    Denial.LOCKDOWN: spoil_zone(mode=Mode.LOCKDOWN),
    Denial.VISIT_OVER: spoil(visit_until_ms=NOON),
    Denial.GRANT_MISSING: spoil(grants=()),
    Denial.GRANT_EXPIRED: spoil(grants=(grant(end=1),)),
    Denial.OUTSIDE_SCHEDULE: spoil(grants=(grant("Sun 00:00-00:01"),)),
    Denial.ANTI_PASSBACK: lambda before: spoil(presence=INSIDE)(
        spoil_zone(passback=Passback.HARD)(before)
    ),
    Denial.ZONE_FULL: lambda before: spoil(others_inside=1)(spoil_zone(occupancy_max=1)(before)),
    Denial.SECOND_PERSON_MISSING: spoil_zone(two_person_ms=1000),
}


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_of_this_fault_and_all_later_ones_it_is_named(first: int) -> None:
    spoiled = facts()
    for fault in reversed(list(FAULTS.values())[first:]):
        spoiled = fault(spoiled)
    assert decide(spoiled).denial is list(FAULTS)[first]


def test_the_rules_are_in_the_order_of_the_denials() -> None:
    order = list(Denial)
    assert list(FAULTS) == [Denial.DOOR_UNKNOWN, *RULES]
    places = [order.index(denial) for denial in FAULTS]
    assert places == sorted(places)


def test_the_page_on_doors_lists_the_rules_in_order() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "access.md").read_text()
    table = page.partition("| rule | refuses, where |")[2].partition("\n\n")[0]
    rows = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert rows == [*FAULTS, GRANTED]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Mode.NORMAL, Mode.NORMAL, Mode.NORMAL),
        (Mode.NORMAL, Mode.LOCKDOWN, Mode.LOCKDOWN),
        (Mode.LOCKDOWN, Mode.EVACUATION, Mode.EVACUATION),
    ],
)
def test_of_two_modes_the_stronger_holds(one: Mode, other: Mode, both: Mode) -> None:
    assert one.and_of(other) is other.and_of(one) is both


def test_what_lies_beyond_the_calendar_has_no_end() -> None:
    assert when(NOON) == "2026-11-23 12:00:00Z"
    assert when(2**50) == when(2**62) == "for ever"


moments = st.integers(NOON - 10 * 24 * HOUR, NOON + 10 * 24 * HOUR)
durations = st.none() | st.integers(1, 48 * HOUR)
schedules = st.sampled_from(
    ["always", "Mon-Fri 08:00-18:00", "Fri 22:00-06:00", "Hol 00:00-24:00", "Sun 00:00-00:01"]
).map(Schedule.parse)
grants = st.builds(
    lambda schedule, name, start, length, through: Grant(
        schedule=schedule,
        time_zone=find_time_zone(name),
        valid_from_ms=start,
        valid_until_ms=start + length,
        through_lockdown=through,
    ),
    schedules,
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]),
    moments,
    st.integers(1, 20 * 24 * HOUR),
    st.booleans(),
)
zones = st.builds(
    ZoneRules,
    mode=st.sampled_from(Mode),
    passback=st.sampled_from(Passback),
    passback_timeout_ms=durations,
    occupancy_max=st.none() | st.integers(1, 4),
    two_person_ms=durations,
)
any_facts = st.builds(
    Facts,
    zone=st.none() | zones,
    direction=st.sampled_from(Direction),
    at_ms=moments,
    grants=st.lists(grants, max_size=3).map(tuple),
    holidays=st.frozensets(st.dates(date(2026, 11, 13), date(2026, 12, 4)), max_size=4),
    visit_until_ms=st.none() | moments,
    presence=st.none() | st.builds(Presence, inside=st.booleans(), since_ms=moments),
    others_inside=st.integers(0, 5),
    companion_at_ms=st.none() | moments,
)


@given(any_facts)
def test_the_first_rule_that_decides_is_the_verdict(given_facts: Facts) -> None:
    findings, verdict = explain(given_facts), decide(given_facts)
    first = next(finding for finding in findings if finding.decides)
    assert verdict.rule == first.rule
    assert (verdict.denial is None) is (first.effect is Effect.OPENS)
    assert all(finding.because for finding in findings)
    names = [finding.rule for finding in findings]
    assert names == [Denial.DOOR_UNKNOWN, *RULES, GRANTED][: len(names)]


def opens(given_facts: Facts) -> bool:
    return decide(given_facts).denial is None


TIGHTER: dict[str, Callable[[Facts, ZoneRules], Facts]] = {
    "lockdown": lambda f, z: replace(f, zone=replace(z, mode=Mode.LOCKDOWN)),
    "hard anti-passback": lambda f, z: replace(f, zone=replace(z, passback=Passback.HARD)),
    "no timeout": lambda f, z: replace(f, zone=replace(z, passback_timeout_ms=None)),
    "a limit": lambda f, z: replace(f, zone=replace(z, occupancy_max=min(z.occupancy_max or 9, 2))),
    "two people": lambda f, z: replace(
        f, zone=replace(z, two_person_ms=min(z.two_person_ms or HOUR, HOUR))
    ),
    "a visit that ends": lambda f, z: replace(
        f, visit_until_ms=min(f.visit_until_ms or f.at_ms + 1, f.at_ms + 1)
    ),
    "one grant less": lambda f, z: replace(f, grants=f.grants[1:]),
    "grants that end earlier": lambda f, z: replace(
        f,
        grants=tuple(
            replace(each, valid_until_ms=each.valid_until_ms - 24 * HOUR) for each in f.grants
        ),
    ),
    "one person more": lambda f, z: replace(f, others_inside=f.others_inside + 1),
    "no companion": lambda f, z: replace(f, companion_at_ms=None),
}


@pytest.mark.parametrize("restriction", TIGHTER)
@given(given_facts=any_facts)
def test_a_restriction_never_opens_a_door(restriction: str, given_facts: Facts) -> None:
    zone = given_facts.zone
    if zone is None or zone.mode is Mode.EVACUATION:
        return
    if not opens(given_facts):
        assert not opens(TIGHTER[restriction](given_facts, zone))


@given(any_facts)
def test_an_evacuation_lets_everybody_out_and_nobody_in(given_facts: Facts) -> None:
    if given_facts.zone is not None:
        evacuated = replace(given_facts, zone=replace(given_facts.zone, mode=Mode.EVACUATION))
        assert opens(evacuated) is (given_facts.direction is OUT)


@given(any_facts)
def test_nobody_enters_without_a_grant_that_is_open_now(given_facts: Facts) -> None:
    if given_facts.direction is Direction.IN and opens(given_facts):
        assert given_facts.effective_grants


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@given(data=st.data())
def test_every_minute_of_a_year_is_open_by_one_of_two_schedules(
    name: str, data: st.DataObject
) -> None:
    """Day and night cover the clock, whatever it does; they meet nowhere."""
    day = grant("Mon-Sun 06:00-22:00")
    night = grant("Mon-Sun 22:00-06:00")
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
        minutes=data.draw(st.integers(0, 365 * 24 * 60))
    )
    at_ms, local = int(at.timestamp() * 1000), find_time_zone(name)
    found = [
        opens(facts(at_ms=at_ms, grants=(replace(each, time_zone=local),))) for each in (day, night)
    ]
    assert sorted(found) == [False, True]
