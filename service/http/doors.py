"""Doors, who may open them, and who did."""

from __future__ import annotations

from pydantic import BaseModel

from access.rules import Grant, decide, explain
from access.schedule import Schedule, ScheduleError, find_time_zone
from service.access import places, store
from service.access.places import Failure, Place, Subject
from service.http import door_models as models
from service.http.api import database, operation, operations
from service.http.door_models import (
    DoorChange,
    DoorGrantPath,
    DoorPath,
    DoorRequest,
    ExplainQuery,
    GrantRequest,
    ZoneGrantPath,
    ZonePath,
)
from service.http.models import PageQuery
from service.http.places import require_account, require_subject
from service.http.problems import Code, ProblemError, not_found
from service.operators import door_records
from service.operators.pages import FIRST
from service.operators.tokens import Scope
from wire.ids import DoorId, ZoneId
from wire.messages import Direction


@operation("get", "/doors", Scope.DOORS_READ, models.DoorPage)
def list_doors(query: PageQuery) -> BaseModel:
    """Doors, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_doors(conn, after=query.after or FIRST, limit=query.limit)
    return models.DoorPage.model_validate(page)


@operation("post", "/doors", Scope.DOORS_WRITE, models.NewDoor, status=201)
def add_door(body: DoorRequest) -> BaseModel:
    """Add a door; its terminal is then added with `POST /terminals`."""
    if body.zone is not None:
        _require_zone(body.zone)
    return models.NewDoor(door=operations().add_door(body.name, body.zone, Failure(body.failure)))


@operation("put", "/doors/<door>", Scope.DOORS_WRITE, models.Door)
def change_door(path: DoorPath, body: DoorChange) -> BaseModel:
    """Let a door lead into another zone, or say what its lock does without power."""
    _require_zone(body.zone)
    if not operations().change_door(path.door, body.zone, Failure(body.failure)):
        raise not_found()
    return _door(path.door)


@operation("get", "/doors/<door>/entries", Scope.DOORS_READ, models.DoorEntryPage)
def list_door_entries(path: DoorPath, query: PageQuery) -> BaseModel:
    """Who a door was commanded to open for, and whether it opened, the newest first."""
    _door(path.door)
    with database().transaction() as conn:
        page = door_records.list_entries(
            conn, path.door, after=query.after or FIRST, limit=query.limit
        )
    return models.DoorEntryPage.model_validate(page)


@operation("get", "/doors/<door>/events", Scope.DOORS_READ, models.DoorEventPage)
def list_door_events(path: DoorPath, query: PageQuery) -> BaseModel:
    """What a door reported: opened, held open, forced and the like, the newest first."""
    _door(path.door)
    with database().transaction() as conn:
        page = door_records.list_events(
            conn, path.door, after=query.after or FIRST, limit=query.limit
        )
    return models.DoorEventPage.model_validate(page)


@operation("get", "/doors/<door>/grants", Scope.DOORS_READ, models.GrantPage)
def list_door_grants(path: DoorPath, query: PageQuery) -> BaseModel:
    """Who may open this one door, and when."""
    _door(path.door)
    return _grants(path.door, query)


@operation("put", "/doors/<door>/grants/<subject>", Scope.DOORS_WRITE, models.Grant)
def set_door_grant(path: DoorGrantPath, body: GrantRequest) -> BaseModel:
    """Let an account or a group through a door, or change when."""
    return _set_grant(path.subject, path.door, body)


@operation("delete", "/doors/<door>/grants/<subject>", Scope.DOORS_WRITE, None)
def revoke_door_grant(path: DoorGrantPath) -> None:
    """Take a grant for a door back; the next attempt is denied."""
    if not operations().revoke_grant(path.subject, path.door):
        raise not_found()


@operation("get", "/zones/<zone>/grants", Scope.DOORS_READ, models.GrantPage)
def list_zone_grants(path: ZonePath, query: PageQuery) -> BaseModel:
    """Who may open all doors of a zone, and when."""
    _require_zone(path.zone)
    return _grants(path.zone, query)


@operation("put", "/zones/<zone>/grants/<subject>", Scope.DOORS_WRITE, models.Grant)
def set_zone_grant(path: ZoneGrantPath, body: GrantRequest) -> BaseModel:
    """Let an account or a group through all doors of a zone, or change when."""
    return _set_grant(path.subject, path.zone, body)


@operation("delete", "/zones/<zone>/grants/<subject>", Scope.DOORS_WRITE, None)
def revoke_zone_grant(path: ZoneGrantPath) -> None:
    """Take a grant for a zone back; the next attempt is denied."""
    if not operations().revoke_grant(path.subject, path.zone):
        raise not_found()


@operation("get", "/access/explain", Scope.DOORS_READ, models.Explanation)
def explain_access(query: ExplainQuery) -> BaseModel:
    """Whether a door opens for an account, by every rule in order.

    Who is inside is as it was at that moment; grants and settings are as they are now.
    """
    at_ms = operations().clock() if query.at_ms is None else query.at_ms
    with database().transaction() as conn:
        require_account(conn, query.account)
        facts = store.facts_at(
            conn,
            account=query.account,
            door=query.door,
            direction=Direction[query.direction.upper()],
            at_ms=at_ms,
        )
    verdict = decide(facts)
    findings = [models.Finding.model_validate(each) for each in explain(facts)]
    return models.Explanation(rule=verdict.rule, denial=verdict.denial, findings=findings)


def _grants(place: Place, query: PageQuery) -> BaseModel:
    with database().transaction() as conn:
        page = door_records.list_grants(conn, place, after=query.after or FIRST, limit=query.limit)
    return models.GrantPage.model_validate(page)


def _set_grant(subject: Subject, place: Place, body: GrantRequest) -> BaseModel:
    with database().transaction() as conn:
        time_zone = places.time_zone_of(conn, place)
        if time_zone is None:
            raise not_found()
        require_subject(conn, subject)
    grant = _grant(body, body.time_zone or time_zone)
    operations().grant(subject, place, grant)
    return models.Grant.model_validate(door_records.grant_record(subject, place, grant))


def _grant(body: GrantRequest, time_zone: str) -> Grant:
    if body.valid_from_ms >= body.valid_until_ms:
        raise ProblemError(Code.INVALID, "a grant begins before it ends")
    try:
        schedule, found = Schedule.parse(body.schedule), find_time_zone(time_zone)
    except ScheduleError:
        raise ProblemError(
            Code.INVALID, "a schedule reads 'Mon-Fri 08:00-18:00', a time zone 'Europe/Berlin'"
        ) from None
    return Grant(
        schedule=schedule,
        time_zone=found,
        valid_from_ms=body.valid_from_ms,
        valid_until_ms=body.valid_until_ms,
        through_lockdown=body.through_lockdown,
    )


def _door(door: DoorId) -> BaseModel:
    with database().transaction() as conn:
        found = door_records.find_door(conn, door)
    if found is None:
        raise not_found()
    return models.Door.model_validate(found)


def _require_zone(zone: ZoneId) -> None:
    with database().transaction() as conn:
        if door_records.find_zone(conn, zone) is None:
            raise not_found()
