"""The week editor: a schedule as rows of days, and a form of them as a schedule.

Guarantee: what the rows of a schedule are read as again is open at the same minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from access.schedule import DAY_MINUTES, DAYS, HOLIDAY, Schedule, ScheduleError

SLOTS = 3
Span = tuple[str, str]
"""From and until as browsers write times; until 00:00 is the day's end."""


def rows(schedule: Schedule) -> dict[str, list[Span]]:
    """The windows that begin on each day, in order, and room for one more."""
    found: dict[str, list[Span]] = {}
    for number, day in enumerate(DAYS):
        spans = sorted(
            (_clock(window.start), _clock(window.end))
            for window in schedule.windows
            if window.holds_on(number)
        )
        found[day] = spans + [("", "")] * max(1, SLOTS - len(spans))
    return found


def read(form: Mapping[str, str]) -> Schedule:
    """Raises :class:`ScheduleError`. Days that follow each other alike become a range."""
    if form.get("always") == "1":
        return Schedule(())
    on: dict[Span, list[int]] = {}
    for number, day in enumerate(DAYS):
        for slot in range(len(form)):
            begin, end = form.get(f"{day}-{slot}-from", ""), form.get(f"{day}-{slot}-until", "")
            if begin or end:
                on.setdefault((begin, end), []).append(number)
            elif f"{day}-{slot}-from" not in form:
                break
    parts = [
        f"{days} {begin}-{'24:00' if end == '00:00' else end}"
        for (begin, end), numbers in on.items()
        for days in _ranges(numbers)
    ]
    if not parts:
        raise ScheduleError("it opens at no time: take the grant back instead")
    return Schedule.parse("; ".join(parts))


def _ranges(numbers: list[int]) -> list[str]:
    weekdays = sorted({number for number in numbers if number != HOLIDAY})
    runs = groupby(enumerate(weekdays), key=lambda pair: pair[1] - pair[0])
    texts = []
    for _, run in runs:
        days = [number for _, number in run]
        last = f"-{DAYS[days[-1]]}" if len(days) > 1 else ""
        texts.append(DAYS[days[0]] + last)
    return texts + (["Hol"] if HOLIDAY in numbers else [])


def _clock(minute: int) -> str:
    minute %= DAY_MINUTES
    return f"{minute // 60:02}:{minute % 60:02}"
