"""The week editor: rows of a schedule, and a schedule of rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from access.schedule import DAY_MINUTES, DAYS, Schedule, ScheduleError, Window, find_time_zone
from service.console import week

UTC = find_time_zone("UTC")
QUARTER_MS = 15 * 60_000
WEEK_MS = 7 * 24 * 3_600_000
MONDAY_MS = 1_800_230_400_000


def form_of(schedule: Schedule) -> dict[str, str]:
    if not schedule.windows:
        return {"always": "1"}
    form = {}
    for day, spans in week.rows(schedule).items():
        for slot, (begin, end) in enumerate(spans):
            form |= {f"{day}-{slot}-from": begin, f"{day}-{slot}-until": end}
    return form


@pytest.mark.parametrize(
    "text",
    [
        "always",
        "Mon-Fri 08:00-18:00",
        "Mon-Fri 08:00-18:00; Sat 09:00-13:00; Hol 10:00-12:00",
        "Mon 08:00-12:00; Mon 13:00-18:00",
        "Fri 22:00-06:00",
        "Sun 00:00-24:00",
        "Mon 08:00-09:00; Wed 08:00-09:00",
    ],
)
def test_what_is_shown_is_kept_as_it_was(text: str) -> None:
    assert str(week.read(form_of(Schedule.parse(text)))) == text


minutes = st.integers(0, DAY_MINUTES // 15 - 1).map(lambda quarter: quarter * 15)
windows = st.builds(
    lambda days, start, end: Window(first=days[0], last=days[1], start=start, end=end),
    st.tuples(st.integers(0, 6), st.integers(0, 6)) | st.just((7, 7)),
    minutes,
    minutes.map(lambda minute: minute + 15),
).filter(lambda window: window.start != window.end)


@given(st.lists(windows, min_size=1, max_size=4).map(lambda found: Schedule(tuple(found))))
def test_what_is_kept_is_open_at_the_same_minutes(schedule: Schedule) -> None:
    again = week.read(form_of(schedule))
    for at_ms in range(MONDAY_MS, MONDAY_MS + WEEK_MS, QUARTER_MS):
        assert again.contains(at_ms, UTC) == schedule.contains(at_ms, UTC)


NAMES = [f"{day}-{slot}-{end}" for day in DAYS for slot in range(3) for end in ("from", "until")]
TIMES = st.sampled_from(["", "08:00", "24:00", "00:00", "25:00"]) | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from(NAMES), TIMES, max_size=8))
def test_no_form_is_more_than_refused(form: dict[str, str]) -> None:
    try:
        week.read(form)
    except ScheduleError:
        return


def test_what_opens_at_no_time_is_no_schedule() -> None:
    with pytest.raises(ScheduleError):
        week.read({"Mon-0-from": "", "Mon-0-until": ""})
