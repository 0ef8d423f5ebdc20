"""How doors are by what their terminals last said, and what of it a person must see to: pure.

Guarantees: what a terminal said counts for ``SILENT_MS`` alone; of one that is silent nothing else
is believed. Every complaint has a name, and the names are all that a metric or a command shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from wire.ids import DoorId, TerminalId

SILENT_MS = 15_000
SKEW_MS_MAX = 120_000
"""From here on a door that starts without network takes its clock for a wrong one."""
WAITING_MAX = 1_000
OLD_NUMERATOR, OLD_DENOMINATOR = 3, 4


class Complaint(StrEnum):
    NEVER_HEARD = "never_heard"
    SILENT = "silent"
    CAMERA = "camera"
    LOCK = "lock"
    LOCK_DIFFERS = "lock_differs"
    CLOCK = "clock"
    BUNDLE_MISSING = "bundle_missing"
    BUNDLE_OLD = "bundle_old"
    RECORDS_WAIT = "records_wait"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A terminal's newest beat, ``at_ms`` by the service's clock; ``bundle_issued_at_ms`` of the
    bundle that it has, None where it has none that counts; ``fail_safe`` as it was wired."""

    at_ms: int
    skew_ms: int
    bundle_issued_at_ms: int | None
    waiting: int
    camera: bool
    lock: bool
    fail_safe: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorHealth:
    """A registered terminal of a door; ``alarms`` are those that nobody has acknowledged."""

    terminal: TerminalId
    door: DoorId
    name: str
    fail_safe: bool
    offline_ms: int
    heard: Heard | None
    alarms: int

    def complaints(self, now_ms: int) -> tuple[Complaint, ...]:
        """Why somebody must look at this door; empty for one that is well."""
        found = [Complaint.ALARM] if self.alarms else []
        return (*self._of_beat(now_ms), *found)

    def bundle_age_ms(self, now_ms: int) -> int | None:
        if self.heard is None or self.heard.bundle_issued_at_ms is None:
            return None
        return now_ms - self.heard.bundle_issued_at_ms

    def _of_beat(self, now_ms: int) -> Iterable[Complaint]:
        heard = self.heard
        if heard is None:
            return (Complaint.NEVER_HEARD,)
        if now_ms - heard.at_ms > SILENT_MS:
            return (Complaint.SILENT,)
        age_ms = self.bundle_age_ms(now_ms)
        asked = {
            Complaint.CAMERA: not heard.camera,
            Complaint.LOCK: not heard.lock,
            Complaint.LOCK_DIFFERS: heard.fail_safe not in (None, self.fail_safe),
            Complaint.CLOCK: abs(heard.skew_ms) > SKEW_MS_MAX,
            Complaint.BUNDLE_MISSING: age_ms is None and self.offline_ms > 0,
            Complaint.BUNDLE_OLD: age_ms is not None
            and age_ms * OLD_DENOMINATOR > self.offline_ms * OLD_NUMERATOR,
            Complaint.RECORDS_WAIT: heard.waiting > WAITING_MAX,
        }
        return [complaint for complaint, found in asked.items() if found]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All doors in a few numbers: how many complain of what, and the worst of each kind. Of a
    silent door its silence alone counts."""

    doors: int
    complaints: dict[Complaint, int]
    beat_age_ms: int
    skew_ms: int
    bundle_age_ms: int
    waiting: int

    @classmethod
    def of(cls, doors: Iterable[DoorHealth], now_ms: int) -> Summary:
        complaints = dict.fromkeys(Complaint, 0)
        number = beat_age_ms = skew_ms = bundle_age_ms = waiting = 0
        for each in doors:
            number += 1
            own = each.complaints(now_ms)
            for complaint in own:
                complaints[complaint] += 1
            if each.heard is None:
                continue
            beat_age_ms = max(beat_age_ms, now_ms - each.heard.at_ms)
            if Complaint.SILENT not in own:
                skew_ms = max(skew_ms, abs(each.heard.skew_ms))
                bundle_age_ms = max(bundle_age_ms, each.bundle_age_ms(now_ms) or 0)
                waiting = max(waiting, each.heard.waiting)
        return cls(
            doors=number,
            complaints=complaints,
            beat_age_ms=beat_age_ms,
            skew_ms=skew_ms,
            bundle_age_ms=bundle_age_ms,
            waiting=waiting,
        )
