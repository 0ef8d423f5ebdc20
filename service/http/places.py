"""Sites, zones, groups and visitors."""

from __future__ import annotations

from datetime import date

from psycopg import Connection
from pydantic import BaseModel

from access.rules import Mode
from service.access import places
from service.db import Row
from service.http import door_models as models
from service.http.api import database, operation, operations
from service.http.door_models import (
    AmnestyRequest,
    GroupPath,
    GroupRequest,
    HolidaysRequest,
    MemberPath,
    ModeRequest,
    RulesRequest,
    SitePath,
    SiteRequest,
    VisitorPath,
    VisitRequest,
    ZonePath,
    ZoneRequest,
)
from service.http.models import PageQuery
from service.http.problems import Code, ProblemError, not_found
from service.operators import door_records, records
from service.operators.pages import FIRST
from service.operators.tokens import Scope
from wire.ids import AccountId, GroupId, SiteId, ZoneId


@operation("get", "/sites", Scope.DOORS_READ, models.SitePage)
def list_sites(query: PageQuery) -> BaseModel:
    """Sites with their holidays, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_sites(conn, after=query.after or FIRST, limit=query.limit)
    return models.SitePage.model_validate(page)


@operation("post", "/sites", Scope.DOORS_WRITE, models.NewSite, status=201)
def add_site(body: SiteRequest) -> BaseModel:
    """Add a site: a place with a time zone and holidays."""
    return models.NewSite(site=operations().add_site(body.name, body.time_zone))


@operation("put", "/sites/<site>/holidays", Scope.DOORS_WRITE, models.Site)
def set_holidays(path: SitePath, body: HolidaysRequest) -> BaseModel:
    """Set a site's holidays, in place of those that it had."""
    if not operations().set_holidays(path.site, list(map(date.fromisoformat, body.days))):
        raise not_found()
    return _site(path.site)


@operation("put", "/sites/<site>/mode", Scope.DOORS_WRITE, models.Site)
def set_site_mode(path: SitePath, body: ModeRequest) -> BaseModel:
    """Lock a site down, evacuate it, or let it be as always.

    When the answer comes, no door of it is commanded any more but by the new mode.
    """
    if not operations().set_mode(path.site, Mode(body.mode)):
        raise not_found()
    return _site(path.site)


@operation("get", "/zones", Scope.DOORS_READ, models.ZonePage)
def list_zones(query: PageQuery) -> BaseModel:
    """Zones and their rules, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_zones(conn, after=query.after or FIRST, limit=query.limit)
    return models.ZonePage.model_validate(page)


@operation("post", "/zones", Scope.DOORS_WRITE, models.NewZone, status=201)
def add_zone(body: ZoneRequest) -> BaseModel:
    """Add a zone: what one enters by one door or several."""
    with database().transaction() as conn:
        if door_records.find_site(conn, body.site) is None:
            raise not_found()
    return models.NewZone(zone=operations().add_zone(body.name, body.site, body.rules))


@operation("put", "/zones/<zone>/rules", Scope.DOORS_WRITE, models.Zone)
def set_zone_rules(path: ZonePath, body: RulesRequest) -> BaseModel:
    """Set a zone's anti-passback, occupancy limit and two-person rule."""
    if not operations().set_rules(path.zone, body.rules):
        raise not_found()
    return _zone(path.zone)


@operation("put", "/zones/<zone>/mode", Scope.DOORS_WRITE, models.Zone)
def set_zone_mode(path: ZonePath, body: ModeRequest) -> BaseModel:
    """Lock a zone down, evacuate it, or let it be as always.

    When the answer comes, no door of it is commanded any more but by the new mode.
    """
    if not operations().set_mode(path.zone, Mode(body.mode)):
        raise not_found()
    return _zone(path.zone)


@operation("post", "/zones/<zone>/amnesty", Scope.DOORS_WRITE, models.Amnesty)
def grant_amnesty(path: ZonePath, body: AmnestyRequest) -> BaseModel:
    """Forget who is inside and outside: anti-passback and occupancy begin anew."""
    _zone(path.zone)
    return models.Amnesty(forgotten=operations().grant_amnesty(path.zone, body.account))


@operation("get", "/zones/<zone>/inside", Scope.DOORS_READ, models.InsidePage)
def list_inside(path: ZonePath, query: PageQuery) -> BaseModel:
    """Who was let into a zone and not out since, the last one first."""
    _zone(path.zone)
    with database().transaction() as conn:
        page = door_records.list_inside(
            conn, path.zone, after=query.after or FIRST, limit=query.limit
        )
    return models.InsidePage.model_validate(page)


@operation("get", "/groups", Scope.DOORS_READ, models.GroupPage)
def list_groups(query: PageQuery) -> BaseModel:
    """Groups of accounts, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_groups(conn, after=query.after or FIRST, limit=query.limit)
    return models.GroupPage.model_validate(page)


@operation("post", "/groups", Scope.DOORS_WRITE, models.NewGroup, status=201)
def add_group(body: GroupRequest) -> BaseModel:
    """Add a group, to be granted zones and doors as one."""
    return models.NewGroup(group=operations().add_group(body.name))


@operation("get", "/groups/<group>/members", Scope.DOORS_READ, models.MemberPage)
def list_members(path: GroupPath, query: PageQuery) -> BaseModel:
    """A group's accounts, the last to join first."""
    with database().transaction() as conn:
        _require_group(conn, path.group)
        page = door_records.list_members(
            conn, path.group, after=query.after or FIRST, limit=query.limit
        )
    return models.MemberPage.model_validate(page)


@operation("put", "/groups/<group>/members/<account>", Scope.DOORS_WRITE, None)
def join_group(path: MemberPath) -> None:
    """Put an account into a group."""
    with database().transaction() as conn:
        _require_group(conn, path.group)
        require_account(conn, path.account)
    operations().join_group(path.group, path.account)


@operation("delete", "/groups/<group>/members/<account>", Scope.DOORS_WRITE, None)
def leave_group(path: MemberPath) -> None:
    """Take an account out of a group; the next attempt is denied."""
    if not operations().leave_group(path.group, path.account):
        raise not_found()


@operation("get", "/visitors", Scope.DOORS_READ, models.VisitorPage)
def list_visitors(query: PageQuery) -> BaseModel:
    """Accounts that no door opens for after a time, the newest first."""
    with database().transaction() as conn:
        page = door_records.list_visitors(conn, after=query.after or FIRST, limit=query.limit)
    return models.VisitorPage.model_validate(page)


@operation("put", "/visitors/<account>", Scope.DOORS_WRITE, None)
def set_visit(path: VisitorPath, body: VisitRequest) -> None:
    """Make an account a visitor's until a time, whatever it is granted."""
    with database().transaction() as conn:
        require_account(conn, path.account)
    operations().set_visit(path.account, body.until_ms)


@operation("delete", "/visitors/<account>", Scope.DOORS_WRITE, None)
def end_visit(path: VisitorPath) -> None:
    """Make an account no visitor's any more: its grants alone count."""
    if not operations().set_visit(path.account, None):
        raise not_found()


def require_account(conn: Connection[Row], account: AccountId) -> None:
    """Raises the problem of an account that is unknown or was erased."""
    state = records.account_state(conn, account)
    if state is None:
        raise not_found()
    if state == "erased":
        raise ProblemError(Code.ACCOUNT_ERASED, "the account was erased")


def require_subject(conn: Connection[Row], subject: AccountId | GroupId) -> None:
    """The same of an account or a group."""
    if isinstance(subject, AccountId):
        require_account(conn, subject)
    else:
        _require_group(conn, subject)


def _require_group(conn: Connection[Row], group: GroupId) -> None:
    if not places.group_exists(conn, group):
        raise not_found()


def _site(site: SiteId) -> BaseModel:
    with database().transaction() as conn:
        found = door_records.find_site(conn, site)
    if found is None:
        raise not_found()
    return models.Site.model_validate(found)


def _zone(zone: ZoneId) -> BaseModel:
    with database().transaction() as conn:
        found = door_records.find_zone(conn, zone)
    if found is None:
        raise not_found()
    return models.Zone.model_validate(found)
