"""Weekly schedules with holidays, in local time of a named time zone.

Guarantees: a schedule that parses has one text (:func:`str` of it parses to an equal one). A
window may cross midnight and then belongs to the day on which it begins. Local time is the
wall clock's: in the hour that a clock change repeats, both passes count; in the one that it
skips, none. A holiday is no weekday: on it only the windows of ``Hol`` begin.

Text: ``Mon-Fri 08:00-18:00; Sat 09:00-13:00; Hol 10:00-12:00``, or ``always``, holidays included.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Hol")
HOLIDAY = DAYS.index("Hol")
WINDOWS_MAX = 32
DAY_MINUTES = 24 * 60
_PART = re.compile(
    r"(?P<first>[A-Z][a-z]{2})(?:-(?P<last>[A-Z][a-z]{2}))? "
    r"(?P<h1>\d\d):(?P<m1>\d\d)-(?P<h2>\d\d):(?P<m2>\d\d)",
    re.ASCII,
)


class ScheduleError(ValueError):
    """A text that is no schedule, or a time zone that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Window:
    """From ``start`` up to, not including, ``end`` minutes after midnight of each day.

    ``first`` and ``last`` are weekdays, 0 is Monday, whose range may run over the week's end;
    or both are ``HOLIDAY``. An ``end`` not after ``start`` lies on the next day.
    """

    first: int
    last: int
    start: int
    end: int

    def holds_on(self, day: int) -> bool:
        """``day``: 0 to 6 for Monday to Sunday, ``HOLIDAY`` for any day that is one."""
        if HOLIDAY in (day, self.first):
            return day == self.first
        return (day - self.first) % 7 <= (self.last - self.first) % 7

    def contains(self, yesterday: int, today: int, minute: int) -> bool:
        if self.start < self.end:
            return self.holds_on(today) and self.start <= minute < self.end
        begun_today = self.holds_on(today) and minute >= self.start
        begun_yesterday = self.holds_on(yesterday) and minute < self.end
        return begun_today or begun_yesterday

    def __str__(self) -> str:
        days = DAYS[self.first] + (f"-{DAYS[self.last]}" if self.last != self.first else "")
        return f"{days} {_clock(self.start)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Open in any of its windows; with no windows, always."""

    windows: tuple[Window, ...]

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises :class:`ScheduleError`, saying which part is wrong."""
        if text == "always":
            return cls(())
        parts = text.split(";")
        if len(parts) > WINDOWS_MAX:
            raise ScheduleError(f"a schedule has at most {WINDOWS_MAX} windows")
        return cls(tuple(_window(part.strip()) for part in parts))

    def contains(self, at_ms: int, time_zone: ZoneInfo, holidays: Set[date] = frozenset()) -> bool:
        """``at_ms``: Unix time in milliseconds; ``holidays``: local dates."""
        local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(time_zone)
        yesterday, today = (
            HOLIDAY if day in holidays else day.weekday()
            for day in (local.date() - timedelta(days=1), local.date())
        )
        minute = local.hour * 60 + local.minute
        return not self.windows or any(
            window.contains(yesterday, today, minute) for window in self.windows
        )

    def __str__(self) -> str:
        return "; ".join(map(str, self.windows)) or "always"


def find_time_zone(name: str) -> ZoneInfo:
    """Raises :class:`ScheduleError`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleError(f"no such time zone: {name[:40]!r}") from error


def _window(part: str) -> Window:
    match = _PART.fullmatch(part)
    if match is None:
        raise ScheduleError(f"not like 'Mon-Fri 08:00-18:00': {part[:40]!r}")
    first, last = match["first"], match["last"] or match["first"]
    start = int(match["h1"]) * 60 + int(match["m1"])
    end = int(match["h2"]) * 60 + int(match["m2"])
    if first not in DAYS or last not in DAYS:
        raise ScheduleError(f"days are {', '.join(DAYS)}: {part[:40]!r}")
    if first != last and "Hol" in (first, last):
        raise ScheduleError(f"holidays are in no range of days: {part[:40]!r}")
    minutes_wrong = int(match["m1"]) > 59 or int(match["m2"]) > 59
    if minutes_wrong or start >= DAY_MINUTES or end > DAY_MINUTES or start == end:
        raise ScheduleError(f"times run from 00:00 to 24:00: {part[:40]!r}")
    return Window(first=DAYS.index(first), last=DAYS.index(last), start=start, end=end)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
