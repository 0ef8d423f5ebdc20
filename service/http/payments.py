"""Payment intents: make, look up, capture, void, refund."""

from __future__ import annotations

from psycopg import Connection
from pydantic import BaseModel

from service import checkout
from service.checkout import Checkout
from service.db import Row
from service.http import payment_models as models
from service.http.api import bearer, database, operation, operations, transfer_of_key
from service.http.models import MerchantPath, PageQuery
from service.http.payment_models import (
    PartRequest,
    PaymentIntentPath,
    PaymentIntentQuery,
    PaymentIntentRequest,
)
from service.http.problems import Code, ProblemError, not_found
from service.operators import records
from service.operators.pages import FIRST, page
from service.operators.tokens import Scope
from service.payments import store as payments
from service.payments.rules import Intent, NewIntent, Part, Refusal, State
from wire.ids import MerchantId
from wire.money import Money

_DETAIL = {
    Code.PAYMENT_OPEN: "nobody has paid this intent yet",
    Code.PAYMENT_AUTHORIZED: "the payment is authorized, and not captured",
    Code.PAYMENT_CAPTURED: "the payment was captured",
    Code.PAYMENT_VOIDED: "the payment was voided",
    Code.PAYMENT_EXPIRED: "the payment's time is over",
    Code.CURRENCY_MISMATCH: "the merchant, or the payment, has another currency",
    Code.LIMIT_EXCEEDED: "above what one payment may be, or what a wallet holds",
    Code.CAPTURE_ABOVE_AUTHORIZED: "more than was authorized",
    Code.REFUND_ABOVE_CAPTURED: "more than is left of what was captured",
    Code.TRANSFER_ID_REUSED: "this idempotency key made another transfer, long ago",
}


@operation(
    "post",
    "/merchants/<merchant>/payment-intents",
    Scope.PAYMENTS_WRITE,
    models.PaymentIntent,
    status=201,
)
def create_payment_intent(path: MerchantPath, body: PaymentIntentRequest) -> BaseModel:
    """Ask for a payment, which a terminal of the merchant then takes."""
    require_own(path.merchant)
    wanted = NewIntent(
        merchant=path.merchant,
        money=Money(amount_minor=body.amount_minor, currency=body.currency),
        order=body.order,
        terminal=body.terminal,
        site=body.site,
        hold_ms=body.capture_within_ms if body.capture == "manual" else None,
        lives_ms=body.expires_in_ms,
    )
    return _tell(_checkout().create(wanted))


@operation(
    "get",
    "/merchants/<merchant>/payment-intents",
    Scope.PAYMENTS_READ,
    models.PaymentIntentPage,
)
def list_payment_intents(path: MerchantPath, query: PaymentIntentQuery) -> BaseModel:
    """A merchant's payment intents, the newest first; by state, order, terminal and time."""
    require_own(path.merchant)
    search = payments.Search(
        state=State(query.state) if query.state else None,
        order=query.order,
        terminal=query.terminal,
        from_ms=query.from_ms,
        until_ms=query.until_ms,
    )
    wanted = payments.words(search, path.merchant, now_ms=operations().clock())
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
        found = page(
            conn,
            payments.query_of(search),
            wanted,
            after=query.after or FIRST,
            limit=query.limit,
            read=lambda row: payments.read(row).document(),
        )
    return models.PaymentIntentPage.model_validate(found)


@operation(
    "get",
    "/merchants/<merchant>/payment-intents/<payment_intent>",
    Scope.PAYMENTS_READ,
    models.PaymentIntent,
)
def show_payment_intent(path: PaymentIntentPath) -> BaseModel:
    """One payment intent."""
    with database().transaction() as conn:
        found = _require(conn, path)
    return _tell(found)


@operation(
    "post",
    "/merchants/<merchant>/payment-intents/<payment_intent>/capture",
    Scope.PAYMENTS_WRITE,
    models.PaymentIntent,
)
def capture_payment(path: PaymentIntentPath, body: PartRequest) -> BaseModel:
    """Take an authorized payment, or a part of it; the rest is given back."""
    require_own(path.merchant)
    return _tell(_checkout().capture(path.merchant, path.payment_intent, _part(body)))


@operation(
    "post",
    "/merchants/<merchant>/payment-intents/<payment_intent>/void",
    Scope.PAYMENTS_WRITE,
    models.PaymentIntent,
)
def void_payment(path: PaymentIntentPath) -> BaseModel:
    """End an intent that nobody paid, or give back what was only authorized."""
    require_own(path.merchant)
    return _tell(_checkout().void(path.merchant, path.payment_intent))


@operation(
    "post",
    "/merchants/<merchant>/payment-intents/<payment_intent>/refunds",
    Scope.REFUNDS_WRITE,
    models.Refund,
    status=201,
)
def refund_payment(path: PaymentIntentPath, body: PartRequest) -> BaseModel:
    """Give a captured payment back, or a part of it."""
    require_own(path.merchant)
    done = _checkout().refund(
        path.merchant, path.payment_intent, _part(body), transfer=transfer_of_key()
    )
    if isinstance(done, Refusal):
        raise _problem(done)
    return models.Refund.model_validate(done)


@operation(
    "get",
    "/merchants/<merchant>/payment-intents/<payment_intent>/refunds",
    Scope.PAYMENTS_READ,
    models.RefundPage,
)
def list_refunds(path: PaymentIntentPath, query: PageQuery) -> BaseModel:
    """A payment's refunds, the newest first."""
    with database().transaction() as conn:
        found = _require(conn, path)
        refunds = page(
            conn,
            payments.REFUNDS,
            {"intent": found.intent.raw},
            after=query.after or FIRST,
            limit=query.limit,
            read=payments.read_refund,
        )
    return models.RefundPage.model_validate(refunds)


def require_own(merchant: MerchantId) -> None:
    """Another merchant is no more there than one that does not exist."""
    if bearer().merchant not in (None, merchant):
        raise not_found()


def require_merchant(conn: Connection[Row], merchant: MerchantId) -> records.MerchantRecord:
    require_own(merchant)
    found = records.find_merchant(conn, merchant)
    if found is None:
        raise not_found()
    return found


def _checkout() -> Checkout:
    return checkout.of(operations())


def _part(body: PartRequest) -> Part:
    return Part(amount_minor=body.amount_minor, currency=body.currency)


def _require(conn: Connection[Row], path: PaymentIntentPath) -> Intent:
    require_own(path.merchant)
    found = payments.find(conn, path.payment_intent, now_ms=operations().clock())
    if found is None or found.merchant != path.merchant:
        raise not_found()
    return found


def _tell(found: Intent | Refusal) -> BaseModel:
    if isinstance(found, Refusal):
        raise _problem(found)
    return models.PaymentIntent.model_validate(found.document())


def _problem(refusal: Refusal) -> ProblemError:
    if refusal in (Refusal.INTENT_UNKNOWN, Refusal.PLACE_UNKNOWN):
        return not_found()
    code = Code(refusal.value)
    return ProblemError(code, _DETAIL[code])
