from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.schedule import DAY_MINUTES, HOLIDAY, Schedule, ScheduleError, Window, find_time_zone

OFFICE = Schedule.parse("Mon-Fri 08:00-18:00; Sat 09:00-13:00")
NIGHT = Schedule.parse("Fri 22:00-06:00")
BERLIN = find_time_zone("Europe/Berlin")
UTC_ZONE = find_time_zone("UTC")


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
     "Mon ٠٨:00-18:00",
     "Mon-Hol 08:00-18:00", "Hol-Fri 08:00-18:00", "Hol", "; ".join(["Mon 08:00-18:00"] * 33)],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule.parse(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "x\0"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError):
        find_time_zone(name)


windows = st.builds(
    Window,
    first=st.integers(0, 6),
    last=st.integers(0, 6),
    start=st.integers(0, DAY_MINUTES - 1),
    end=st.integers(0, DAY_MINUTES),
).filter(lambda window: window.start != window.end) | st.builds(
    lambda start: Window(first=HOLIDAY, last=HOLIDAY, start=start, end=start + 60),
    st.integers(0, DAY_MINUTES - 60),
)


@given(schedule=st.builds(Schedule, st.lists(windows, max_size=5).map(tuple)))
def test_a_schedule_survives_its_text(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


@given(
    window=windows,
    yesterday=st.integers(0, HOLIDAY),
    today=st.integers(0, HOLIDAY),
    minute=st.integers(0, DAY_MINUTES - 1),
)
def test_a_window_is_open_from_its_start_for_its_length(
    window: Window, yesterday: int, today: int, minute: int
) -> None:
    length = (window.end - window.start) % DAY_MINUTES or DAY_MINUTES
    begun = [
        day
        for back, day in enumerate((today, yesterday))
        if 0 <= minute + back * DAY_MINUTES - window.start < length
    ]
    assert window.contains(yesterday, today, minute) is any(map(window.holds_on, begun))


CHRISTMAS = frozenset({date(2026, 12, 25)})  # a Friday


@pytest.mark.parametrize(
    ("schedule", "at", "is_open"),
    [
        ("Mon-Fri 08:00-18:00", "2026-12-24T12:00", True),
        ("Mon-Fri 08:00-18:00", "2026-12-25T12:00", False),
        ("Mon-Fri 08:00-18:00; Hol 10:00-12:00", "2026-12-25T11:00", True),
        ("Mon-Fri 08:00-18:00; Hol 10:00-12:00", "2026-12-25T12:00", False),
        ("Hol 10:00-12:00", "2026-12-24T11:00", False),
        ("always", "2026-12-25T12:00", True),
        ("Thu 22:00-06:00", "2026-12-25T05:59", True),  # begun on the evening before
        ("Fri 22:00-06:00", "2026-12-25T23:00", False),
        ("Fri 22:00-06:00", "2026-12-26T01:00", False),
        ("Hol 22:00-06:00", "2026-12-26T01:00", True),
        ("Sat 00:00-24:00", "2026-12-26T01:00", True),
    ],
)
def test_a_holiday_is_no_weekday(schedule: str, at: str, is_open: bool) -> None:
    assert Schedule.parse(schedule).contains(ms(at), UTC_ZONE, CHRISTMAS) is is_open


def test_a_holiday_is_one_by_the_local_calendar() -> None:
    auckland = find_time_zone("Pacific/Auckland")
    office = Schedule.parse("Mon-Fri 08:00-18:00")
    assert not office.contains(ms("2026-12-24T20:00"), auckland, CHRISTMAS)  # 09:00 on the 25th
    assert office.contains(ms("2026-12-24T02:00"), auckland, CHRISTMAS)  # 15:00 on the 24th
