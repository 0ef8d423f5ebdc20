"""Merchants, what they earned, and their payments."""

from __future__ import annotations

from pydantic import BaseModel

from service.http import models
from service.http.api import bearer, database, operation, operations
from service.http.models import MerchantPath, MerchantRequest, PageQuery
from service.http.payments import require_merchant
from service.ledger import store as ledger
from service.operators import records
from service.operators.pages import FIRST
from service.operators.tokens import Scope


@operation("get", "/merchants", Scope.MERCHANTS_READ, models.MerchantPage)
def list_merchants(query: PageQuery) -> BaseModel:
    """Merchants, the newest first; a merchant's token sees its own."""
    with database().transaction() as conn:
        page = records.list_merchants(
            conn, merchant=bearer().merchant, after=query.after or FIRST, limit=query.limit
        )
    return models.MerchantPage.model_validate(page)


@operation("post", "/merchants", Scope.MERCHANTS_WRITE, models.NewMerchant, status=201)
def add_merchant(body: MerchantRequest) -> BaseModel:
    """Add a merchant; its stores' terminals are then added with `POST /terminals`."""
    return models.NewMerchant(merchant=operations().add_merchant(body.name, body.currency))


@operation("get", "/merchants/<merchant>/earnings", Scope.MERCHANTS_READ, models.Earnings)
def show_earnings(path: MerchantPath) -> BaseModel:
    """What a merchant earned: the sum of its postings."""
    with database().transaction() as conn:
        found = require_merchant(conn, path.merchant)
        earned_minor = ledger.earned_minor(conn, path.merchant)
    return models.Earnings(
        merchant=path.merchant, currency=found.currency, earned_minor=earned_minor
    )


@operation("get", "/merchants/<merchant>/payments", Scope.PAYMENTS_READ, models.PaymentPage)
def list_payments(path: MerchantPath, query: PageQuery) -> BaseModel:
    """A merchant's payments, the newest first."""
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
        page = records.list_payments(
            conn, path.merchant, after=query.after or FIRST, limit=query.limit
        )
    return models.PaymentPage.model_validate(page)
