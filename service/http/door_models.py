"""The JSON API's requests and answers on sites, zones, doors, and who may pass."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from access.rules import GRANTED, OFFLINE_MS, OFFLINE_MS_MAX, Effect, Passback, ZoneRules
from access.schedule import ScheduleError, find_time_zone
from service.access.places import HOLIDAYS_MAX
from service.alarms import AlarmKind
from service.http.models import (
    TIME_MS_MAX,
    AccountText,
    Answer,
    AttemptText,
    CursorText,
    DoorText,
    Name,
    PageQuery,
    Request,
    TerminalText,
    TimeMs,
    Words,
    example,
    id_text,
)
from wire.denial import Denial
from wire.ids import AccountId, AlarmId, EntryId, GroupId, SiteId, ZoneId

DAY_MS = 24 * 3600 * 1000


def _known_time_zone(name: str) -> str:
    try:
        return find_time_zone(name).key
    except ScheduleError:
        raise ValueError("an unknown time zone") from None


def _real_day(text: str) -> str:
    date.fromisoformat(text)
    return text


SiteText = Annotated[SiteId, id_text(SiteId)]
ZoneText = Annotated[ZoneId, id_text(ZoneId)]
GroupText = Annotated[GroupId, id_text(GroupId)]
EntryText = Annotated[EntryId, id_text(EntryId)]
AlarmText = Annotated[AlarmId, id_text(AlarmId)]
SubjectText = Annotated[AccountId | GroupId, id_text(AccountId, GroupId)]
TimeZone = Annotated[
    str,
    AfterValidator(_known_time_zone),
    Field(max_length=64, json_schema_extra=example("Europe/Berlin")),
]
Day = Annotated[
    str,
    AfterValidator(_real_day),
    Field(pattern=r"^\d{4}-\d{2}-\d{2}$", json_schema_extra=example("2026-12-25")),
]
ModeName = Literal["normal", "lockdown", "evacuation"]
PassbackName = Literal["off", "soft", "hard"]
FailureName = Annotated[
    Literal["fail_safe", "fail_secure"],
    Field(description="Without power the lock lets people through, or keeps them out."),
]
EventName = Literal[
    "opened", "closed", "held_open", "forced", "request_to_exit", "tamper", "tamper_over"
]
DirectionName = Literal["in", "out"]
RuleName = Annotated[
    str, Field(description="A denial, or `granted`.", json_schema_extra=example(GRANTED))
]


class SitePath(Words):
    site: SiteText


class ZonePath(Words):
    zone: ZoneText


class DoorPath(Words):
    door: DoorText


class GroupPath(Words):
    group: GroupText


class MemberPath(Words):
    group: GroupText
    account: AccountText


class VisitorPath(Words):
    account: AccountText


class AlarmPath(Words):
    alarm: AlarmText


class DoorGrantPath(Words):
    door: DoorText
    subject: SubjectText


class ZoneGrantPath(Words):
    zone: ZoneText
    subject: SubjectText


class AlarmQuery(PageQuery):
    waiting: bool = Field(False, description="Without those that were acknowledged.")


class ExplainQuery(Words):
    account: AccountText
    door: DoorText
    direction: DirectionName = "in"
    at_ms: TimeMs | None = Field(
        None,
        description="The moment; now unless said.",
        json_schema_extra=example(1_800_000_000_000),
    )


class SiteRequest(Request):
    name: Name
    time_zone: TimeZone = "UTC"


class ModeRequest(Request):
    mode: ModeName = Field(json_schema_extra=example("normal"))


class HolidaysRequest(Request):
    days: list[Day] = Field(max_length=HOLIDAYS_MAX)


class RulesRequest(Request):
    passback: PassbackName = "off"
    passback_timeout_ms: int | None = Field(
        None,
        ge=1000,
        le=366 * DAY_MS,
        description="After so long it does not count where somebody was seen.",
        json_schema_extra=example(3_600_000),
    )
    occupancy_max: int | None = Field(None, ge=1, le=1_000_000, json_schema_extra=example(50))
    two_person_ms: int | None = Field(
        None,
        ge=1000,
        le=600_000,
        description="Within so long two people must be verified.",
        json_schema_extra=example(30_000),
    )
    offline_ms: int = Field(
        OFFLINE_MS,
        ge=0,
        le=OFFLINE_MS_MAX,
        description="How long a door that cannot reach the service may decide alone; 0: never.",
    )

    @model_validator(mode="after")
    def _room_for_two(self) -> Self:
        if self.two_person_ms is not None and self.occupancy_max == 1:
            raise ValueError("two people do not fit into a zone for one")
        return self

    @property
    def rules(self) -> ZoneRules:
        return ZoneRules(
            passback=Passback(self.passback),
            passback_timeout_ms=self.passback_timeout_ms,
            occupancy_max=self.occupancy_max,
            two_person_ms=self.two_person_ms,
            offline_ms=self.offline_ms,
        )


class ZoneRequest(RulesRequest):
    name: Name
    site: SiteText


class AmnestyRequest(Request):
    account: AccountText | None = Field(None, description="Everybody unless said.")


class DoorRequest(Request):
    name: Name
    zone: ZoneText | None = Field(
        None,
        description="What one enters by it; one of its own unless said.",
        json_schema_extra=example(None),
    )
    failure: FailureName = "fail_secure"


class DoorChange(Request):
    zone: ZoneText
    failure: FailureName


class GroupRequest(Request):
    name: Name


class GrantRequest(Request):
    schedule: str = Field(
        max_length=1000,
        json_schema_extra=example("Mon-Fri 08:00-18:00; Sat 09:00-13:00; Hol 10:00-12:00"),
    )
    time_zone: str | None = Field(
        None,
        max_length=64,
        description="The site's unless said.",
        json_schema_extra=example("Europe/Berlin"),
    )
    valid_from_ms: TimeMs = 0
    valid_until_ms: TimeMs = Field(TIME_MS_MAX, json_schema_extra=example(1_900_000_000_000))
    through_lockdown: bool = False


class VisitRequest(Request):
    until_ms: TimeMs


class Site(Answer):
    site: SiteText
    name: Name
    time_zone: str
    mode: ModeName
    holidays: list[date]
    created_at_ms: TimeMs


class SitePage(Answer):
    items: list[Site]
    next: CursorText | None


class NewSite(Answer):
    site: SiteText


class Zone(Answer):
    """`mode` is the zone's own; what holds is the stronger of it and its site's."""

    zone: ZoneText
    site: SiteText
    name: Name
    mode: ModeName
    passback: PassbackName
    passback_timeout_ms: int | None
    occupancy_max: int | None
    two_person_ms: int | None
    offline_ms: int
    created_at_ms: TimeMs


class ZonePage(Answer):
    items: list[Zone]
    next: CursorText | None


class NewZone(Answer):
    zone: ZoneText


class Amnesty(Answer):
    forgotten: int = Field(description="Of how many accounts it was known where they are.")


class Inside(Answer):
    account: AccountText
    since_ms: TimeMs


class InsidePage(Answer):
    items: list[Inside]
    next: CursorText | None


class Door(Answer):
    door: DoorText
    name: Name
    zone: ZoneText
    failure: FailureName
    created_at_ms: TimeMs


class DoorPage(Answer):
    items: list[Door]
    next: CursorText | None


class NewDoor(Answer):
    door: DoorText


class DoorEntry(Answer):
    """Commanded, then confirmed (the door opened) or failed (it did not)."""

    entry: EntryText
    accounts: list[AccountText]
    direction: DirectionName
    state: Literal["commanded", "confirmed", "failed"]
    commanded_at_ms: TimeMs
    closed_at_ms: TimeMs | None


class DoorEntryPage(Answer):
    items: list[DoorEntry]
    next: CursorText | None


class DoorEvent(Answer):
    """As the door reported it: `at_ms` is by its clock, `offline` where it was on its own."""

    terminal: TerminalText
    sequence: int
    event: EventName
    offline: bool
    attempt: AttemptText | None
    at_ms: TimeMs
    received_at_ms: TimeMs


class DoorEventPage(Answer):
    items: list[DoorEvent]
    next: CursorText | None


class Group(Answer):
    group: GroupText
    name: Name
    members: int
    created_at_ms: TimeMs


class GroupPage(Answer):
    items: list[Group]
    next: CursorText | None


class NewGroup(Answer):
    group: GroupText


class Member(Answer):
    account: AccountText
    joined_at_ms: TimeMs


class MemberPage(Answer):
    items: list[Member]
    next: CursorText | None


class Grant(Answer):
    """Of an account or a group, for a zone or one door."""

    account: AccountText | None
    group: GroupText | None
    zone: ZoneText | None
    door: DoorText | None
    schedule: str
    time_zone: str
    valid_from_ms: TimeMs
    valid_until_ms: TimeMs
    through_lockdown: bool


class GrantPage(Answer):
    items: list[Grant]
    next: CursorText | None


class Visitor(Answer):
    account: AccountText
    until_ms: TimeMs
    set_at_ms: TimeMs


class VisitorPage(Answer):
    items: list[Visitor]
    next: CursorText | None


class Alarm(Answer):
    alarm: AlarmText
    kind: AlarmKind
    at_ms: TimeMs
    terminal: TerminalText
    door: DoorText | None
    attempt: AttemptText | None
    account: AccountText | None
    acknowledged_at_ms: TimeMs | None


class AlarmPage(Answer):
    items: list[Alarm]
    next: CursorText | None


class Finding(Answer):
    rule: RuleName
    effect: Effect
    because: str


class Explanation(Answer):
    """The first finding that opens or refuses decides."""

    rule: RuleName
    denial: Denial | None
    findings: list[Finding]
