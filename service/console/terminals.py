"""Terminals: how they are, registered by a one-time code, and revoked."""

from __future__ import annotations

from flask import Response, abort, request

from service.console import charts
from service.console.fields import ROWS, Filters, after, parsed
from service.console.frame import ANYBODY, go, merchant_only, operations, page, show
from service.operators import door_records, records, terminal_health
from service.operators.pages import FIRST
from service.operators.people import Role
from service.operators.records import Wanted
from service.operators.terminal_health import Health, Sought
from wire.errors import MalformedError
from wire.ids import DoorId, MerchantId, TerminalId
from wire.messages import TerminalKind

LOOKS_AFTER_TERMINALS = frozenset({Role.ADMIN, Role.ENROLLER, Role.MERCHANT})


@page("/terminals", ANYBODY)
def terminals() -> Response:
    acts, filters, confined = operations(), Filters(), merchant_only()
    sought = Sought(
        merchant=confined,
        kind=filters.read("kind", lambda text: TerminalKind[text.upper()]),
        site=filters.read("site", str),
        health=filters.read("health", Health),
    )
    with acts.database.transaction() as conn:
        now_ms = acts.clock()
        found = terminal_health.list_health(conn, sought, after=after(), limit=ROWS, now_ms=now_ms)
        counted = terminal_health.count_health(conn, merchant=confined, now_ms=now_ms)
        sites = terminal_health.list_sites(conn, merchant=confined)
    return show(
        "terminals.html",
        page=found,
        filters=filters,
        counted=counted,
        kinds=[kind.name.lower() for kind in TerminalKind],
        healths=list(Health),
        sites=sites,
        now_ms=now_ms,
    )


@page("/terminals/<terminal>", ANYBODY)
def terminal(terminal: str) -> Response:
    acts, wanted = operations(), parsed(TerminalId, terminal)
    with acts.database.transaction() as conn:
        found = records.find_terminal(conn, wanted, merchant=merchant_only())
        health = terminal_health.find_health(
            conn, wanted, merchant=merchant_only(), now_ms=acts.clock()
        )
        newest = records.list_attempts(
            conn, Wanted(terminal=wanted, merchant=merchant_only()), after=FIRST, limit=10
        )
    if found is None or health is None:
        abort(404)
    return show("terminal.html", found=found, health=health, newest=newest, now_ms=acts.clock())


@page("/terminals/new", LOOKS_AFTER_TERMINALS)
def new_terminal() -> Response:
    return _terminal_form()


def _terminal_form(wrong: str | None = None) -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        merchants = records.list_merchants(conn, merchant=merchant_only(), after=FIRST, limit=100)
        doors = door_records.list_doors(conn, after=FIRST, limit=100)
    kinds = [TerminalKind.STORE] if merchant_only() else list(TerminalKind)
    return show(
        "terminal_new.html",
        400 if wrong else 200,
        merchants=merchants.items,
        doors=doors.items,
        kinds=[kind.name.lower() for kind in kinds],
        wrong=wrong,
        given=request.form,
    )


@page("/terminals/new", LOOKS_AFTER_TERMINALS, methods=("POST",))
def add_terminal() -> Response:
    form = request.form
    try:
        kind = TerminalKind[form.get("kind", "").upper()]
        merchant = MerchantId.parse(form["merchant"]) if kind is TerminalKind.STORE else None
        door = DoorId.parse(form["door"]) if kind is TerminalKind.DOOR else None
    except (KeyError, MalformedError):
        return _terminal_form("kind")
    confined = merchant_only()
    if confined and (kind is not TerminalKind.STORE or merchant != confined):
        abort(404)
    name, site = form.get("name", "").strip(), form.get("site", "").strip()
    if not 1 <= len(name) <= 80 or len(site) > 80 or not (name + site).isprintable():
        return _terminal_form("name")
    acts = operations()
    with acts.database.transaction() as conn:
        if merchant and records.find_merchant(conn, merchant) is None:
            abort(404)
        if door and door_records.find_door(conn, door) is None:
            abort(404)
    added, code = acts.add_terminal(kind, name, merchant=merchant, door=door, site=site)
    return show("terminal_code.html", terminal=added, code=code, qr=charts.qr(code))


@page("/terminals/<terminal>/code", LOOKS_AFTER_TERMINALS, methods=("POST",))
def renew_code(terminal: str) -> Response:
    """In place of a code that was lost or lapsed; the earlier one ends."""
    acts, wanted = operations(), _own(terminal)
    code = acts.renew_code(wanted)
    if code is None:
        abort(404)
    return show("terminal_code.html", terminal=wanted, code=code, qr=charts.qr(code))


@page("/terminals/<terminal>/revoke", LOOKS_AFTER_TERMINALS, methods=("POST",))
def revoke_terminal(terminal: str) -> Response:
    wanted = _own(terminal)
    operations().revoke_terminal(wanted)
    return go("terminal", terminal=wanted)


def _own(terminal: str) -> TerminalId:
    """A terminal that this operator may act on, or 404."""
    wanted: TerminalId = parsed(TerminalId, terminal)
    with operations().database.transaction() as conn:
        found = records.find_terminal(conn, wanted, merchant=merchant_only())
    if found is None:
        abort(404)
    return wanted
