"""Whether a door opens: a table of rules, in order of precedence, on plain data.

The service and a door on its own run this same code. Pure: no clock, database or network.

Guarantees: the first rule that decides, decides, and what it refuses bears its name, in the order
of :class:`wire.denial.Denial`. But for an evacuation, which lets everybody out, no restriction
that is added ever opens a door. Times are those of the decision, not of the capture.

The caller must still know the person (claim, face), and must hold what the facts say until the
entry is recorded: else two people could both be the last one whom a zone has room for.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from access.schedule import Schedule
from wire.denial import Denial
from wire.messages import Direction

OFFLINE_MS, OFFLINE_MS_MAX = 8 * 3_600_000, 7 * 24 * 3_600_000
GRANTED = "granted"
"""The last rule's name: what nothing refuses, opens."""


class Mode(StrEnum):
    """How a zone or a whole site stands."""

    NORMAL = "normal"
    LOCKDOWN = "lockdown"
    EVACUATION = "evacuation"

    def and_of(self, other: Mode) -> Mode:
        """Of a zone and its site the stronger holds: people get out, then doors stay shut."""
        return max(self, other, key=list(Mode).index)


class Passback(StrEnum):
    """What becomes of somebody who enters where they are inside, or leaves where they are not."""

    OFF = "off"
    SOFT = "soft"  # opens, and raises an alarm
    HARD = "hard"  # refuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A right to pass; valid from, up to but not including, until."""

    schedule: Schedule
    time_zone: ZoneInfo
    valid_from_ms: int
    valid_until_ms: int
    through_lockdown: bool = False

    def valid_at(self, at_ms: int) -> bool:
        return self.valid_from_ms <= at_ms < self.valid_until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRules:
    """What the zone behind a door asks for; None where it does not.

    ``offline_ms`` is how long a door that cannot ask the service may decide alone, 0 for never;
    no rule looks at it.
    """

    mode: Mode = Mode.NORMAL
    passback: Passback = Passback.OFF
    passback_timeout_ms: int | None = None
    occupancy_max: int | None = None
    two_person_ms: int | None = None
    offline_ms: int = OFFLINE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Where a person was last seen to be, and since when."""

    inside: bool
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the rules look at: one person before one door at one moment.

    ``zone`` is None where there is no such door. ``others_inside`` counts neither the person nor
    the ``companion``: the one who was last at this door and only waits for a second person.
    """

    zone: ZoneRules | None
    direction: Direction
    at_ms: int
    grants: tuple[Grant, ...] = ()
    holidays: Set[date] = frozenset()
    visit_until_ms: int | None = None
    presence: Presence | None = None
    others_inside: int = 0
    companion_at_ms: int | None = None

    @property
    def valid_grants(self) -> list[Grant]:
        return [grant for grant in self.grants if grant.valid_at(self.at_ms)]

    @property
    def effective_grants(self) -> list[Grant]:
        return [
            grant
            for grant in self.valid_grants
            if grant.schedule.contains(self.at_ms, grant.time_zone, self.holidays)
        ]


class Effect(StrEnum):
    OPENS = "opens"
    REFUSES = "refuses"
    PASSES = "passes"
    ALARMS = "alarms"  # passes, and raises an alarm if the door opens


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says. ``rule`` is the denial's name, or ``GRANTED``."""

    rule: str
    effect: Effect
    because: str

    @property
    def decides(self) -> bool:
        return self.effect in (Effect.OPENS, Effect.REFUSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``rule`` decided; ``alarms`` names the rules that open only with an alarm."""

    rule: str
    denial: Denial | None
    alarms: tuple[str, ...] = field(default=())


Say = tuple[Effect, str]
Rule = Callable[[Facts, ZoneRules], Say]


def explain(facts: Facts) -> list[Finding]:
    """What every rule says, in order; the first one that ``decides`` is the verdict."""
    if facts.zone is None:
        return [Finding(Denial.DOOR_UNKNOWN, Effect.REFUSES, "there is no such door")]
    return [
        Finding(Denial.DOOR_UNKNOWN, Effect.PASSES, "the door is known"),
        *(Finding(denial, *rule(facts, facts.zone)) for denial, rule in RULES.items()),
        Finding(GRANTED, Effect.OPENS, "no rule refuses"),
    ]


def decide(facts: Facts) -> Verdict:
    """Whether the door opens."""
    alarms: list[str] = []
    for finding in explain(facts):
        if finding.effect is Effect.REFUSES:
            return Verdict(rule=finding.rule, denial=Denial(finding.rule))
        if finding.effect is Effect.OPENS:
            return Verdict(rule=finding.rule, denial=None, alarms=tuple(alarms))
        if finding.effect is Effect.ALARMS:
            alarms.append(finding.rule)
    raise RuntimeError("a table of rules whose last one does not decide")


def _evacuation(facts: Facts, zone: ZoneRules) -> Say:
    if zone.mode is not Mode.EVACUATION:
        return Effect.PASSES, "no evacuation"
    if facts.direction is Direction.OUT:
        return Effect.OPENS, "an evacuation lets everybody out"
    return Effect.REFUSES, "an evacuation lets nobody in"


def _lockdown(facts: Facts, zone: ZoneRules) -> Say:
    if zone.mode is not Mode.LOCKDOWN:
        return Effect.PASSES, "no lockdown"
    if any(grant.through_lockdown for grant in facts.effective_grants):
        return Effect.PASSES, "a grant holds through the lockdown"
    return Effect.REFUSES, "a lockdown, and no grant that holds through it now"


def _visit_over(facts: Facts, _: ZoneRules) -> Say:
    if facts.visit_until_ms is None:
        return Effect.PASSES, "not a visitor"
    over = facts.at_ms >= facts.visit_until_ms
    word = "ended" if over else "ends"
    return _refuse_if(over), f"the visit {word} {when(facts.visit_until_ms)}"


def _grant_missing(facts: Facts, _: ZoneRules) -> Say:
    number = len(facts.grants)
    return _refuse_if(not number), f"{number} for this door or its zone, groups included"


def _grant_expired(facts: Facts, _: ZoneRules) -> Say:
    valid = facts.valid_grants
    if valid:
        longest = max(grant.valid_until_ms for grant in valid)
        return Effect.PASSES, f"{len(valid)} valid now, the longest until {when(longest)}"
    return Effect.REFUSES, f"none of {len(facts.grants)} is valid at {when(facts.at_ms)}"


def _outside_schedule(facts: Facts, _: ZoneRules) -> Say:
    open_now = facts.effective_grants
    shown = open_now or facts.valid_grants
    texts = " | ".join(f"{grant.schedule} ({grant.time_zone.key})" for grant in shown[:4])
    word = "open by" if open_now else "not open by"
    return _refuse_if(not open_now), f"{word} {texts or 'any'}"


def _anti_passback(facts: Facts, zone: ZoneRules) -> Say:
    if zone.passback is Passback.OFF:
        return Effect.PASSES, "no anti-passback here"
    presence = facts.presence
    if presence is None:
        return Effect.PASSES, "not known whether inside or outside"
    place = "inside" if presence.inside else "outside"
    seen = f"{place} since {when(presence.since_ms)}"
    timeout_ms = zone.passback_timeout_ms
    if timeout_ms is not None and facts.at_ms - presence.since_ms >= timeout_ms:
        return Effect.PASSES, f"{seen}, too long ago to count"
    if presence.inside is not (facts.direction is Direction.IN):
        return Effect.PASSES, seen
    return (Effect.REFUSES if zone.passback is Passback.HARD else Effect.ALARMS), seen


def _zone_full(facts: Facts, zone: ZoneRules) -> Say:
    if zone.occupancy_max is None or facts.direction is Direction.OUT:
        return Effect.PASSES, "no limit on people this way"
    # Where two people pass together, there must be room for both.
    arriving = 1 if zone.two_person_ms is None else 2
    full = facts.others_inside + arriving > zone.occupancy_max
    return _refuse_if(full), f"{facts.others_inside} inside of {zone.occupancy_max} at most"


def _second_person_missing(facts: Facts, zone: ZoneRules) -> Say:
    if zone.two_person_ms is None or facts.direction is Direction.OUT:
        return Effect.PASSES, "one person may pass alone"
    if facts.companion_at_ms is None:
        return Effect.REFUSES, "nobody else was verified here"
    late = facts.at_ms - facts.companion_at_ms >= zone.two_person_ms
    return _refuse_if(late), f"somebody else was verified at {when(facts.companion_at_ms)}"


def _refuse_if(refuses: bool) -> Effect:
    return Effect.REFUSES if refuses else Effect.PASSES


RULES: dict[Denial, Rule] = {
    Denial.EVACUATION: _evacuation,
    Denial.LOCKDOWN: _lockdown,
    Denial.VISIT_OVER: _visit_over,
    Denial.GRANT_MISSING: _grant_missing,
    Denial.GRANT_EXPIRED: _grant_expired,
    Denial.OUTSIDE_SCHEDULE: _outside_schedule,
    Denial.ANTI_PASSBACK: _anti_passback,
    Denial.ZONE_FULL: _zone_full,
    Denial.SECOND_PERSON_MISSING: _second_person_missing,
}
"""In order of precedence, after the door itself: a refusal's name, and the rule."""


def when(at_ms: int) -> str:
    """For people: UTC, to the second; what lies beyond the calendar has no end."""
    try:
        return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "for ever"
