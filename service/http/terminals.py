"""Terminals: add, list, revoke. A merchant's token sees and adds that merchant's stores."""

from __future__ import annotations

from psycopg import Connection
from pydantic import BaseModel

from service.db import Row
from service.http import models
from service.http.api import bearer, database, operation, operations
from service.http.models import PageQuery, TerminalPath, TerminalRequest
from service.http.problems import Code, ProblemError, not_found
from service.operators import door_records, records
from service.operators.pages import FIRST
from service.operators.tokens import Scope
from wire.messages import TerminalKind


@operation("get", "/terminals", Scope.TERMINALS_READ, models.TerminalPage)
def list_terminals(query: PageQuery) -> BaseModel:
    """Terminals, the newest first."""
    with database().transaction() as conn:
        page = records.list_terminals(
            conn, merchant=bearer().merchant, after=query.after or FIRST, limit=query.limit
        )
    return models.TerminalPage.model_validate(page)


@operation("post", "/terminals", Scope.TERMINALS_WRITE, models.NewTerminal, status=201)
def add_terminal(body: TerminalRequest) -> BaseModel:
    """Add a terminal; the answer has its one-time registration code."""
    kind = TerminalKind[body.kind.upper()]
    if (kind is TerminalKind.STORE) != (body.merchant is not None):
        raise ProblemError(Code.INVALID, "a store, and only a store, has a merchant")
    if (kind is TerminalKind.DOOR) != (body.door is not None):
        raise ProblemError(Code.INVALID, "a door, and only a door, has a door")
    with database().transaction() as conn:
        _require_place(conn, body)
    terminal, code = operations().add_terminal(
        kind,
        body.name,
        merchant=body.merchant,
        door=body.door,
        site=body.site,
        currency=body.currency,
    )
    return models.NewTerminal(terminal=terminal, code=code)


@operation("post", "/terminals/<terminal>/revoke", Scope.TERMINALS_WRITE, models.Terminal)
def revoke_terminal(path: TerminalPath) -> BaseModel:
    """Accept nothing more from a terminal that was lost or sold."""
    merchant = bearer().merchant
    with database().transaction() as conn:
        found = records.find_terminal(conn, path.terminal, merchant=merchant)
    if found is None:
        raise not_found()
    if not operations().revoke_terminal(path.terminal):
        raise ProblemError(Code.TERMINAL_REVOKED, "the terminal was revoked before")
    with database().transaction() as conn:
        found = records.find_terminal(conn, path.terminal, merchant=merchant)
    return models.Terminal.model_validate(found)


def _require_place(conn: Connection[Row], body: TerminalRequest) -> None:
    """The merchant or door must be there, and the token's to use."""
    own = bearer().merchant
    if own is not None and body.merchant != own:
        raise not_found()
    if body.merchant is not None and records.find_merchant(conn, body.merchant) is None:
        raise not_found()
    if body.door is not None and door_records.find_door(conn, body.door) is None:
        raise not_found()
