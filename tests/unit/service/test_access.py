from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.rules import Grant, refuse_entry
from service.access.schedule import DAY_MINUTES, Schedule, ScheduleError, Window, find_zone
from wire.denial import Denial

OFFICE = Schedule.parse("Mon-Fri 08:00-18:00; Sat 09:00-13:00")
NIGHT = Schedule.parse("Fri 22:00-06:00")
BERLIN = find_zone("Europe/Berlin")
UTC_ZONE = find_zone("UTC")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("schedule", "at", "is_open"),
    [
        (OFFICE, "2026-11-23T08:00", True),
        (OFFICE, "2026-11-23T07:59", False),
        (OFFICE, "2026-11-27T17:59", True),
        (OFFICE, "2026-11-27T18:00", False),
        (OFFICE, "2026-11-28T12:59", True),
        (OFFICE, "2026-11-29T12:00", False),
        (NIGHT, "2026-11-27T21:59", False),
        (NIGHT, "2026-11-27T22:00", True),
        (NIGHT, "2026-11-28T05:59", True),
        (NIGHT, "2026-11-28T06:00", False),
        (NIGHT, "2026-11-28T22:00", False),
        (Schedule.parse("Sun 22:00-02:00"), "2026-11-30T01:00", True),
        (Schedule.parse("Sat-Mon 10:00-24:00"), "2026-11-30T23:59", True),
        (Schedule.parse("Sat-Mon 10:00-24:00"), "2026-12-01T00:00", False),
        (Schedule.parse("always"), "2026-11-29T03:00", True),
    ],
)
def test_a_schedule_is_open_in_its_windows(schedule: Schedule, at: str, is_open: bool) -> None:
    assert schedule.contains(ms(at), UTC_ZONE) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-03-29T00:59", False),  # 01:59 in winter
        ("2026-03-29T01:00", True),  # 03:00 in summer: 02:00-03:00 did not happen
        ("2026-10-25T00:30", True),  # 02:30 in summer
        ("2026-10-25T01:30", True),  # 02:30 again, in winter
        ("2026-10-25T02:30", True),  # 03:30
        ("2026-10-25T03:30", False),
    ],
)
def test_wall_clock_time_counts_when_the_clock_changes(at: str, is_open: bool) -> None:
    schedule = Schedule.parse("Sun 02:00-04:00")
    assert schedule.contains(ms(at), BERLIN) is is_open


@pytest.mark.parametrize(
    "text",
    ["", "Mon", "Mon 8:00-18:00", "Mon 08:00-18:60", "Mon 25:00-26:00", "Mon 08:00-08:00",
     "Mon 24:00-08:00", "Mit 08:00-18:00", "mon 08:00-18:00", "Mon 08:00-18:00;", "Always",
     "Mon ٠٨:00-18:00", "; ".join(["Mon 08:00-18:00"] * 33)],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule.parse(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "x\0"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError):
        find_zone(name)


windows = st.builds(
    Window,
    first=st.integers(0, 6),
    last=st.integers(0, 6),
    start=st.integers(0, DAY_MINUTES - 1),
    end=st.integers(0, DAY_MINUTES),
).filter(lambda window: window.start != window.end)


@given(schedule=st.builds(Schedule, st.lists(windows, max_size=5).map(tuple)))
def test_a_schedule_survives_its_text(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


@given(window=windows, day=st.integers(0, 6), minute=st.integers(0, DAY_MINUTES - 1))
def test_a_window_is_open_from_its_start_for_its_length(
    window: Window, day: int, minute: int
) -> None:
    length = (window.end - window.start) % DAY_MINUTES or DAY_MINUTES
    begun = [
        (day - back) % 7
        for back in (0, 1)
        if 0 <= minute + back * DAY_MINUTES - window.start < length
    ]
    assert window.contains(day, minute) is any(map(window.holds_on, begun))


NOON = ms("2026-11-23T12:00")
HOUR = int(timedelta(hours=1).total_seconds() * 1000)


def grant(schedule: str = "always", start: int = NOON - HOUR, end: int = NOON + HOUR) -> Grant:
    return Grant(
        schedule=Schedule.parse(schedule), zone=UTC_ZONE, valid_from_ms=start, valid_until_ms=end
    )


@pytest.mark.parametrize(
    ("door_known", "held", "denial"),
    [
        (False, None, Denial.DOOR_UNKNOWN),
        (True, None, Denial.GRANT_MISSING),
        (True, grant("Sun 01:00-02:00", end=NOON), Denial.GRANT_EXPIRED),
        (True, grant("Sun 01:00-02:00", start=NOON + 1), Denial.GRANT_EXPIRED),
        (True, grant("Sun 01:00-02:00"), Denial.OUTSIDE_SCHEDULE),
        (True, grant(start=NOON), None),
    ],
)
def test_an_entry_is_refused_by_the_first_rule_that_applies(
    door_known: bool, held: Grant | None, denial: Denial | None
) -> None:
    assert refuse_entry(door_known=door_known, grant=held, at_ms=NOON) is denial
