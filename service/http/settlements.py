"""Settlements: what a merchant's day came to, and the file of its postings."""

from __future__ import annotations

from datetime import date

from flask import Response
from psycopg import Connection
from pydantic import BaseModel

from service.db import Row
from service.http import settlement_models as models
from service.http.api import CSV, database, operation
from service.http.models import MerchantPath
from service.http.payments import require_merchant
from service.http.problems import not_found
from service.http.settlement_models import SettlementPath, SettlementQuery
from service.operators.tokens import Scope
from service.payments import settlement
from service.payments.settlement import Settlement


@operation(
    "get",
    "/merchants/<merchant>/settlements",
    Scope.SETTLEMENTS_READ,
    models.SettlementPage,
)
def list_settlements(path: MerchantPath, query: SettlementQuery) -> BaseModel:
    """What a merchant's days came to, the newest first."""
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
        found = settlement.list_settlements(
            conn, path.merchant, before=query.before or date.max, limit=query.limit + 1
        )
    shown = found[: query.limit]
    return models.SettlementPage(
        items=[models.tell(each) for each in shown],
        next=shown[-1].day if len(found) > query.limit else None,
    )


@operation(
    "get",
    "/merchants/<merchant>/settlements/<day>",
    Scope.SETTLEMENTS_READ,
    models.Settlement,
)
def show_settlement(path: SettlementPath) -> BaseModel:
    """What one day came to; 404 until it is settled, soon after its end."""
    with database().transaction() as conn:
        return models.tell(_require(conn, path))


@operation("get", "/merchants/<merchant>/settlements/<day>/file", Scope.SETTLEMENTS_READ, CSV)
def show_settlement_file(path: SettlementPath) -> Response:
    """A settled day's postings as CSV, each a line, the oldest first."""
    with database().transaction() as conn:
        _require(conn, path)
        text = settlement.write_file(settlement.lines(conn, path.merchant, path.day))
    response = Response(text, content_type="text/csv; charset=utf-8; header=present")
    name = f"{path.merchant}-{path.day}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _require(conn: Connection[Row], path: SettlementPath) -> Settlement:
    require_merchant(conn, path.merchant)
    found = settlement.find(conn, path.merchant, path.day)
    if found is None:
        raise not_found()
    return found
