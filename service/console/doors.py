"""Doors: as they are now, what they did, who may open them, and how all of them stand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import BoundedSemaphore, Event

from flask import Response, abort, current_app, request
from psycopg import Connection

from access.rules import Grant, Mode, decide, explain
from access.schedule import Schedule, ScheduleError, find_time_zone
from service.access import places, store
from service.access.places import Place, Subject
from service.console import week
from service.console.fields import Filters, after, line, moment, parsed
from service.console.frame import go, operations, page, show
from service.db import Database, Row
from service.operators import door_records, records, releases, staff
from service.operators.door_watch import watch
from service.operators.pages import FIRST
from service.operators.people import Role
from texts import later
from wire.ids import AccountId, AlarmId, DoorId, GroupId, SiteId, ZoneId
from wire.messages import Direction

WATCHERS = frozenset({Role.ADMIN, Role.GUARD, Role.AUDITOR})
GUARDS = frozenset({Role.ADMIN, Role.GUARD})
GRANTERS = frozenset({Role.ADMIN})
ROWS = 20
GRANTS_SHOWN = 100
FOREVER_MS = 2**53 - 1
LISTENERS_MAX = 2
"""In one process, whose threads serve everybody: whoever comes later asks every few seconds."""
STREAM_S, LOOK_S = 30.0, 1.0


@page("/doors", WATCHERS)
def doors() -> Response:
    return _doors("doors.html")


@page("/doors/live", WATCHERS, quiet=True)
def doors_live() -> Response:
    """The part of the page that changes by itself; asking for it keeps no session alive."""
    return _doors("doors_live.html")


def _doors(template: str) -> Response:
    with operations().database.transaction() as conn:
        found = watch(conn)
    return show(template, watch=found, modes=list(Mode))


@page("/doors/changes", WATCHERS, quiet=True)
def door_changes() -> Response:
    """Server-sent events: one for each change of what ``/doors/live`` shows.

    A stream ends after half a minute, and the browser asks again: so it outlives no session.
    503 where as many listen as may: the page then asks every few seconds instead.
    """
    listeners: BoundedSemaphore = current_app.extensions["listeners"]
    if not listeners.acquire(blocking=False):
        abort(503)
    response = Response(_changes(operations().database), content_type="text/event-stream")
    response.call_on_close(listeners.release)
    return response


def _changes(database: Database) -> Iterator[str]:
    ends, last = time.monotonic() + STREAM_S, ""
    yield "retry: 1000\n\n"
    while time.monotonic() < ends:
        with database.transaction() as conn:
            digest = watch(conn).digest
        # A comment where nothing changed: it finds out that nobody listens any more.
        yield f"data: {digest}\n\n" if digest != last else ":\n\n"
        last = digest
        Event().wait(LOOK_S)


@page("/places/<place>/mode", GUARDS, methods=("POST",))
def set_mode(place: str) -> Response:
    kind = SiteId if place.startswith(SiteId.PREFIX) else ZoneId
    wanted: SiteId | ZoneId = parsed(kind, place)
    if request.form.get("mode") not in list(Mode):
        abort(400)
    if not operations().set_mode(wanted, Mode(request.form["mode"])):
        abort(404)
    return go("doors")


@page("/alarms/<alarm>/acknowledge", GUARDS, methods=("POST",))
def acknowledge_alarm(alarm: str) -> Response:
    operations().acknowledge_alarm(parsed(AlarmId, alarm))
    return go("doors")


@page("/doors/<door>/release", GUARDS, methods=("POST",))
def release_door(door: str) -> Response:
    wanted, reason = parsed(DoorId, door), line("reason", releases.REASON_MAX)
    if reason is None:
        return _door(wanted, 400, later("Not opened: say why, in 1 to 200 characters."))
    if staff.of(operations()).release_door(wanted, reason) is None:
        return _door(wanted, 409, later("Not opened: somebody has just asked for it."))
    return go("door", door=wanted)


@page("/doors/<door>", WATCHERS)
def door(door: str) -> Response:
    return _door(parsed(DoorId, door))


def _door(wanted: DoorId, status: int = 200, wrong: str | None = None) -> Response:
    acts, filters = operations(), Filters()
    account = filters.read("account", AccountId.parse)
    direction = filters.read("direction", lambda text: Direction[text.upper()]) or Direction.IN
    at_ms = filters.read("at", moment) or acts.clock()
    with acts.database.transaction() as conn:
        found = door_records.find_door(conn, wanted)
        zone = door_records.find_zone(conn, found.zone) if found else None
        if found is None or zone is None:
            abort(404)
        known = account is not None and records.account_state(conn, account) is not None
        if account is not None and not known:
            filters.wrong.append("account")
        facts = (
            store.facts_at(conn, account=account, door=wanted, direction=direction, at_ms=at_ms)
            if account is not None and known
            else None
        )
        entries = door_records.list_entries(conn, wanted, after=FIRST, limit=ROWS)
        events = door_records.list_events(conn, wanted, after=after(), limit=ROWS)
        grants = [
            (place, door_records.list_grants(conn, place, after=FIRST, limit=GRANTS_SHOWN).items)
            for place in (wanted, zone.zone)
        ]
        groups = door_records.list_groups(conn, after=FIRST, limit=100).items
        released = releases.list_newest(conn, wanted, limit=ROWS)
        by_hand = releases.among(conn, [each.attempt for each in events.items if each.attempt])
    return show(
        "door.html",
        status,
        found=found,
        zone=zone,
        entries=entries.items,
        page=events,
        grants=[(place, each) for place, items in grants for each in items],
        groups=groups,
        names={each.group: each.name for each in groups},
        released=released,
        by_hand=by_hand,
        wrong=wrong,
        reason=request.form.get("reason", ""),
        filters=filters,
        verdict=decide(facts) if facts else None,
        findings=explain(facts) if facts else [],
        at_ms=at_ms,
        now_ms=acts.clock(),
        forever_ms=FOREVER_MS,
    )


def _place(text: str) -> Place:
    found: Place = parsed(ZoneId if text.startswith(ZoneId.PREFIX) else DoorId, text)
    return found


def _subject(text: str) -> Subject:
    found: Subject = parsed(GroupId if text.startswith(GroupId.PREFIX) else AccountId, text)
    return found


def _place_name(conn: Connection[Row], place: Place) -> str:
    found = (
        door_records.find_zone(conn, place)
        if isinstance(place, ZoneId)
        else door_records.find_door(conn, place)
    )
    if found is None:
        abort(404)
    return found.name


@page("/places/<place>/grants", GRANTERS, methods=("POST",))
def begin_grant(place: str) -> Response:
    """To the editor of whoever is typed or chosen."""
    text = request.form.get("group") or request.form.get("account", "").strip()
    return go("grant", place=_place(place), subject=_subject(text))


@page("/places/<place>/grants/<subject>", GRANTERS)
def grant(place: str, subject: str) -> Response:
    return _grant(_place(place), _subject(subject))


def _grant(place: Place, subject: Subject, wrong: str | None = None) -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        name = _place_name(conn, place)
        if not _known(conn, subject):
            abort(404)
        time_zone = places.time_zone_of(conn, place)
        stored = places.find_grant(conn, subject, place)
        groups = door_records.list_groups(conn, after=FIRST, limit=100).items
    sent = request.form if wrong else None
    rows = week.rows(stored.schedule) if stored else week.rows(Schedule(()))
    return show(
        "grant.html",
        400 if wrong else 200,
        place=place,
        place_name=name,
        subject=subject,
        names={each.group: each.name for each in groups},
        stored=stored,
        rows=rows,
        always=stored is not None and not stored.schedule.windows,
        time_zone=stored.time_zone.key if stored else time_zone,
        sent=sent,
        wrong=wrong,
        day_names=DAY_NAMES,
        forever_ms=FOREVER_MS,
        local=_local,
    )


DAY_NAMES = {
    "Mon": later("Monday"),
    "Tue": later("Tuesday"),
    "Wed": later("Wednesday"),
    "Thu": later("Thursday"),
    "Fri": later("Friday"),
    "Sat": later("Saturday"),
    "Sun": later("Sunday"),
    "Hol": later("Holidays"),
}


def _local(at_ms: int) -> str:
    """As a browser's field for a moment writes it, in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M}"


def _known(conn: Connection[Row], subject: Subject) -> bool:
    if isinstance(subject, GroupId):
        return places.group_exists(conn, subject)
    return records.account_state(conn, subject) not in (None, "erased")


@page("/places/<place>/grants/<subject>", GRANTERS, methods=("POST",))
def set_grant(place: str, subject: str) -> Response:
    form, where, who = request.form, _place(place), _subject(subject)
    with operations().database.transaction() as conn:
        _place_name(conn, where)
        if not _known(conn, who):
            abort(404)
    try:
        wanted = Grant(
            schedule=week.read(form),
            time_zone=find_time_zone(form.get("time_zone", "")),
            valid_from_ms=moment(form["from"]) if form.get("from") else 0,
            valid_until_ms=moment(form["until"]) if form.get("until") else FOREVER_MS,
            through_lockdown=form.get("through_lockdown") == "1",
        )
    except (ScheduleError, ValueError, OverflowError):
        return _grant(where, who, later("Not kept: a time is not one, or it opens at no time."))
    if wanted.valid_from_ms >= wanted.valid_until_ms or wanted.valid_from_ms < 0:
        return _grant(where, who, later("Not kept: it ends before it begins."))
    operations().grant(who, where, wanted)
    return _back_to(where)


@page("/places/<place>/grants/<subject>/revoke", GRANTERS, methods=("POST",))
def revoke_grant(place: str, subject: str) -> Response:
    where = _place(place)
    if not operations().revoke_grant(_subject(subject), where):
        abort(404)
    return _back_to(where)


def _back_to(place: Place) -> Response:
    return go("door", door=place) if isinstance(place, DoorId) else go("doors")
