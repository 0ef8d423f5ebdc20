"""Doors, and who may open them."""

from __future__ import annotations

from psycopg import Connection
from pydantic import BaseModel

from service.access.rules import Grant
from service.access.schedule import Schedule, ScheduleError, find_zone
from service.db import Row
from service.http import models
from service.http.api import database, operation, operations
from service.http.models import DoorPath, DoorRequest, GrantPath, GrantRequest, PageQuery
from service.http.problems import Code, ProblemError, not_found
from service.operators import records
from service.operators.pages import FIRST
from service.operators.tokens import Scope
from wire.ids import DoorId


@operation("get", "/doors", Scope.DOORS_READ, models.DoorPage)
def list_doors(query: PageQuery) -> BaseModel:
    """Doors, the newest first."""
    with database().transaction() as conn:
        page = records.list_doors(conn, after=query.after or FIRST, limit=query.limit)
    return models.DoorPage.model_validate(page)


@operation("post", "/doors", Scope.DOORS_WRITE, models.NewDoor, status=201)
def add_door(body: DoorRequest) -> BaseModel:
    """Add a door; its terminal is then added with `POST /terminals`."""
    return models.NewDoor(door=operations().add_door(body.name))


@operation("get", "/doors/<door>/grants", Scope.DOORS_READ, models.GrantPage)
def list_grants(path: DoorPath, query: PageQuery) -> BaseModel:
    """Who may open a door, and when."""
    with database().transaction() as conn:
        _require(conn, path.door)
        page = records.list_grants(conn, path.door, after=query.after or FIRST, limit=query.limit)
    return models.GrantPage.model_validate(page)


@operation("put", "/doors/<door>/grants/<account>", Scope.DOORS_WRITE, models.Grant)
def set_grant(path: GrantPath, body: GrantRequest) -> BaseModel:
    """Let an account through a door, or change when."""
    grant = _grant(body)
    with database().transaction() as conn:
        _require(conn, path.door)
        state = records.account_state(conn, path.account)
    if state is None:
        raise not_found()
    if state == "erased":
        raise ProblemError(Code.ACCOUNT_ERASED, "the account was erased")
    operations().grant(path.account, path.door, grant)
    return models.Grant(
        door=path.door,
        account=path.account,
        schedule=str(grant.schedule),
        time_zone=grant.zone.key,
        valid_from_ms=grant.valid_from_ms,
        valid_until_ms=grant.valid_until_ms,
    )


@operation("delete", "/doors/<door>/grants/<account>", Scope.DOORS_WRITE, None)
def revoke_grant(path: GrantPath) -> None:
    """Take a grant back; the next attempt is denied."""
    if not operations().revoke_grant(path.account, path.door):
        raise not_found()


def _grant(body: GrantRequest) -> Grant:
    if body.valid_from_ms >= body.valid_until_ms:
        raise ProblemError(Code.INVALID, "a grant begins before it ends")
    try:
        schedule, zone = Schedule.parse(body.schedule), find_zone(body.time_zone)
    except ScheduleError:
        raise ProblemError(
            Code.INVALID, "a schedule reads 'Mon-Fri 08:00-18:00', a time zone 'Europe/Berlin'"
        ) from None
    return Grant(
        schedule=schedule,
        zone=zone,
        valid_from_ms=body.valid_from_ms,
        valid_until_ms=body.valid_until_ms,
    )


def _require(conn: Connection[Row], door: DoorId) -> None:
    if not records.door_exists(conn, door):
        raise not_found()
