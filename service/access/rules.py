"""Whether a door opens: rules in order of precedence, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from service.access.schedule import Schedule
from wire.denial import Denial


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One account's right to one door; valid from, up to but not including, until."""

    schedule: Schedule
    zone: ZoneInfo
    valid_from_ms: int
    valid_until_ms: int


def refuse_entry(*, door_known: bool, grant: Grant | None, at_ms: int) -> Denial | None:
    """``at_ms``: Unix time in milliseconds."""
    if not door_known:
        return Denial.DOOR_UNKNOWN
    if grant is None:
        return Denial.GRANT_MISSING
    if not grant.valid_from_ms <= at_ms < grant.valid_until_ms:
        return Denial.GRANT_EXPIRED
    if not grant.schedule.contains(at_ms, grant.zone):
        return Denial.OUTSIDE_SCHEDULE
    return None
