"""Merchants, their payments, and what their systems are told of them."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, redirect, request, url_for
from psycopg import Connection

from service import checkout
from service.console.fields import ROWS, Filters, after, line, parsed
from service.console.frame import go, merchant_only, operations, page, show
from service.db import Row
from service.ledger import rules as ledger_rules
from service.ledger import store as ledger
from service.operators import payment_records, records, webhook_acts
from service.operators.pages import page as page_of
from service.operators.payment_records import Key, Payment, Search
from service.operators.people import Role
from service.operators.records import MerchantRecord
from service.payments.rules import Part, Refusal, State
from service.webhooks import store as webhooks
from service.webhooks.store import DeliveryId, Webhook, WebhookId
from texts import later
from wire.errors import MalformedError
from wire.ids import AttemptId, MerchantId, PaymentIntentId, TerminalId, TransferId
from wire.money import MINOR_DIGITS, Money

READERS = frozenset({Role.ADMIN, Role.MERCHANT, Role.AUDITOR, Role.SUPPORT})
CASHIERS = frozenset({Role.ADMIN, Role.MERCHANT})
NAME_MAX = 80
STATES = ("waiting", "delivered", "exhausted", "removed")
_WRONG_AMOUNT = later("Nothing was done: an amount is written like 12.50, above zero.")
_REFUSED = {
    Refusal.PAYMENT_OPEN: later("Nothing was done: nobody has paid it yet."),
    Refusal.PAYMENT_AUTHORIZED: later("Nothing was done: it is authorized, and not captured."),
    Refusal.PAYMENT_CAPTURED: later("Nothing was done: it was captured meanwhile."),
    Refusal.PAYMENT_VOIDED: later("Nothing was done: it was voided meanwhile."),
    Refusal.PAYMENT_EXPIRED: later("Nothing was done: its time is over."),
    Refusal.CAPTURE_ABOVE_AUTHORIZED: later("Nothing was done: more than was authorized."),
    Refusal.REFUND_ABOVE_CAPTURED: later(
        "Nothing was done: more than is left of what was captured."
    ),
    Refusal.LIMIT_EXCEEDED: later("Nothing was done: the wallet cannot hold so much."),
    Refusal.TRANSFER_ID_REUSED: later("This form was sent before, with another amount."),
}
_OF_LEDGER = {
    ledger_rules.Refusal.REFUND_NOT_POSTED: Refusal.PAYMENT_AUTHORIZED,
    ledger_rules.Refusal.REFUND_ABOVE_POSTED: Refusal.REFUND_ABOVE_CAPTURED,
    ledger_rules.Refusal.BALANCE_TOO_HIGH: Refusal.LIMIT_EXCEEDED,
    ledger_rules.Refusal.TRANSFER_ID_REUSED: Refusal.TRANSFER_ID_REUSED,
}


@page("/merchants", READERS)
def merchants() -> Response:
    confined = merchant_only()
    return go("merchant", merchant=confined) if confined else _merchants()


def _merchants(*, wrong: bool = False) -> Response:
    with operations().database.transaction() as conn:
        found = records.list_merchants(conn, merchant=None, after=after(), limit=ROWS)
    currencies = sorted(MINOR_DIGITS)
    status = 400 if wrong else 200
    return show(
        "merchants.html", status, page=found, wrong=wrong, currencies=currencies, given=request.form
    )


@page("/merchants", frozenset({Role.ADMIN}), methods=("POST",))
def add_merchant() -> Response:
    name, currency = line("name", NAME_MAX), request.form.get("currency", "")
    if name is None or currency not in MINOR_DIGITS:
        return _merchants(wrong=True)
    return go("merchant", merchant=operations().add_merchant(name, currency))


def own(conn: Connection[Row], merchant: str) -> MerchantRecord:
    """The merchant, or 404 where there is none, or it is another's."""
    wanted, confined = parsed(MerchantId, merchant), merchant_only()
    found = records.find_merchant(conn, wanted) if confined in (None, wanted) else None
    if found is None:
        abort(404)
    return found


@page("/merchants/<merchant>", READERS)
def merchant(merchant: str) -> Response:
    acts, filters = operations(), Filters()
    wanted = Search(
        state=filters.read("state", State),
        order=filters.read("order", str),
        terminal=filters.read("terminal", TerminalId.parse),
        **filters.span(),
    )
    with acts.database.transaction() as conn:
        found = own(conn, merchant)
        earned_minor = ledger.earned_minor(conn, found.merchant)
        payments = payment_records.search(
            conn, found.merchant, wanted, after=after(), limit=ROWS, now_ms=acts.clock()
        )
    return show(
        "merchant.html",
        found=found,
        earned_minor=earned_minor,
        page=payments,
        filters=filters,
        states=list(State),
    )


@page("/merchants/<merchant>/payments/<payment>", READERS)
def payment(merchant: str, payment: str) -> Response:
    return _payment(merchant, payment)


def _payment(merchant: str, payment: str, refusal: str | None = None) -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        shop, found = _find(conn, merchant, payment)
        refunds = payment_records.refunds(conn, found.attempt) if found.attempt else []
    if str(found.key) != payment:
        return redirect(url_for("console.payment", merchant=shop.merchant, payment=found.key), 303)  # type: ignore[return-value]
    left = Money(amount_minor=found.left_minor, currency=found.currency) if found.left_minor else ""
    whole = Money(amount_minor=found.amount_minor, currency=found.currency)
    return show(
        "payment.html",
        409 if refusal else 200,
        shop=shop,
        found=found,
        refunds=refunds,
        refusal=refusal,
        left=str(left).partition(" ")[0],
        whole=str(whole).partition(" ")[0],
        transfer=TransferId.new(),
    )


def _find(conn: Connection[Row], merchant: str, payment: str) -> tuple[MerchantRecord, Payment]:
    acts, shop = operations(), own(conn, merchant)
    kind = AttemptId if payment.startswith(AttemptId.PREFIX) else PaymentIntentId
    key: Key = parsed(kind, payment)
    found = payment_records.find(conn, shop.merchant, key, now_ms=acts.clock())
    if found is None:
        abort(404)
    return shop, found


def _required(merchant: str, payment: str) -> Payment:
    with operations().database.transaction() as conn:
        return _find(conn, merchant, payment)[1]


def _amount(found: Payment) -> Money:
    return Money.parse(f"{request.form.get('amount', '').strip()} {found.currency}")


def _told(merchant: str, payment: str, refusal: Any) -> Response:
    if isinstance(refusal, ledger_rules.Refusal):
        refusal = _OF_LEDGER[refusal]
    if isinstance(refusal, Refusal):
        return _payment(merchant, payment, _REFUSED[refusal])
    return go("payment", merchant=merchant, payment=payment)


@page("/merchants/<merchant>/payments/<payment>/capture", CASHIERS, methods=("POST",))
def capture_payment(merchant: str, payment: str) -> Response:
    found = _required(merchant, payment)
    if found.intent is None:
        abort(404)
    try:
        amount = _amount(found)
    except MalformedError:
        return _payment(merchant, payment, _WRONG_AMOUNT)
    part = Part(amount_minor=amount.amount_minor, currency=amount.currency)
    acts = checkout.of(operations())
    return _told(merchant, payment, acts.capture(parsed(MerchantId, merchant), found.intent, part))


@page("/merchants/<merchant>/payments/<payment>/void", CASHIERS, methods=("POST",))
def void_payment(merchant: str, payment: str) -> Response:
    found = _required(merchant, payment)
    if found.intent is None:
        abort(404)
    acts = checkout.of(operations())
    return _told(merchant, payment, acts.void(parsed(MerchantId, merchant), found.intent))


@page("/merchants/<merchant>/payments/<payment>/refund", CASHIERS, methods=("POST",))
def refund_payment(merchant: str, payment: str) -> Response:
    """The form bears the refund's id: sent twice, it gives back once."""
    found, transfer = _required(merchant, payment), parsed(TransferId, request.form.get("transfer"))
    try:
        amount = _amount(found)
    except MalformedError:
        return _payment(merchant, payment, _WRONG_AMOUNT)
    if found.intent is not None:
        part = Part(amount_minor=amount.amount_minor, currency=amount.currency)
        acts = checkout.of(operations())
        done: object = acts.refund(
            parsed(MerchantId, merchant), found.intent, part, transfer=transfer
        )
    elif found.attempt is not None:
        done = operations().refund(TransferId(found.attempt.raw), amount, transfer=transfer)
    return _told(merchant, payment, done)


@page("/merchants/<merchant>/webhooks", READERS)
def list_webhooks(merchant: str) -> Response:
    with operations().database.transaction() as conn:
        shop = own(conn, merchant)
        found = page_of(
            conn,
            webhooks.WEBHOOKS,
            {"merchant": shop.merchant.raw},
            after=after(),
            limit=ROWS,
            read=webhooks.read,
        )
    return show("webhooks.html", shop=shop, page=found)


@page("/merchants/<merchant>/webhooks/<webhook>", READERS)
def webhook(merchant: str, webhook: str) -> Response:
    filters = Filters()
    state = filters.read("state", {each: each for each in STATES}.__getitem__)
    with operations().database.transaction() as conn:
        shop, found = _webhook(conn, merchant, webhook)
        deliveries = page_of(
            conn,
            webhooks.DELIVERIES,
            {"webhook": found.webhook.raw, "state": state},
            after=after(),
            limit=ROWS,
            read=webhooks.read_delivery,
        )
    return show(
        "webhook.html", shop=shop, found=found, page=deliveries, filters=filters, states=STATES
    )


@page("/merchants/<merchant>/webhooks/<webhook>/<delivery>", READERS)
def delivery(merchant: str, webhook: str, delivery: str) -> Response:
    with operations().database.transaction() as conn:
        shop, found = _webhook(conn, merchant, webhook)
        sent = webhooks.find_delivery(conn, parsed(DeliveryId, delivery))
        if sent is None or sent.webhook != found.webhook:
            abort(404)
        tries = webhooks.list_tries(conn, sent.delivery)
    return show("delivery.html", shop=shop, found=found, sent=sent, tries=tries)


@page("/merchants/<merchant>/webhooks/<webhook>/<delivery>/replay", CASHIERS, methods=("POST",))
def replay_delivery(merchant: str, webhook: str, delivery: str) -> Response:
    with operations().database.transaction() as conn:
        shop, found = _webhook(conn, merchant, webhook)
        sent = webhooks.find_delivery(conn, parsed(DeliveryId, delivery))
    if sent is None or sent.webhook != found.webhook:
        abort(404)
    again = webhook_acts.of(operations()).replay(sent.delivery, merchant=shop.merchant)
    if isinstance(again, webhook_acts.Refusal):
        abort(404)
    return go("delivery", merchant=merchant, webhook=webhook, delivery=again.delivery)


def _webhook(conn: Connection[Row], merchant: str, webhook: str) -> tuple[MerchantRecord, Webhook]:
    shop = own(conn, merchant)
    found = webhooks.find(conn, parsed(WebhookId, webhook))
    if found is None or found.merchant != shop.merchant:
        abort(404)
    return shop, found
