"""Webhooks: add, rotate, remove; their deliveries, and replay by hand."""

from __future__ import annotations

from flask import current_app
from psycopg import Connection
from pydantic import BaseModel

from service.db import Row
from service.http import webhook_models as models
from service.http.api import database, operation, operations
from service.http.models import MerchantPath, PageQuery
from service.http.payments import require_merchant, require_own
from service.http.problems import Code, ProblemError, not_found
from service.http.webhook_models import (
    DeliveryPath,
    DeliveryQuery,
    RotateRequest,
    WebhookPath,
    WebhookRequest,
)
from service.operators import webhook_acts
from service.operators.pages import FIRST, page
from service.operators.tokens import Scope
from service.operators.webhook_acts import Refusal, WebhookActs
from service.webhooks import store
from service.webhooks.store import Delivery, Webhook

_DETAIL = {
    Code.URL_NOT_ALLOWED: "https, without user, password, fragment and characters beyond ASCII",
    Code.ADDRESS_NOT_ALLOWED: "not a public address",
    Code.TOO_MANY_WEBHOOKS: f"a merchant has at most {store.WEBHOOKS_MAX}",
}


@operation(
    "post", "/merchants/<merchant>/webhooks", Scope.WEBHOOKS_WRITE, models.NewSecret, status=201
)
def add_webhook(path: MerchantPath, body: WebhookRequest) -> BaseModel:
    """Have events sent to a URL; the answer has the secret that signs them."""
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
    return _tell_secret(
        _acts().add(
            path.merchant,
            body.url,
            list(dict.fromkeys(body.kinds)),
            development=current_app.extensions["development"],
        )
    )


@operation("get", "/merchants/<merchant>/webhooks", Scope.WEBHOOKS_READ, models.WebhookPage)
def list_webhooks(path: MerchantPath, query: PageQuery) -> BaseModel:
    """A merchant's webhooks, the newest first."""
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
        found = page(
            conn,
            store.WEBHOOKS,
            {"merchant": path.merchant.raw},
            after=query.after or FIRST,
            limit=query.limit,
            read=store.read,
        )
    return models.WebhookPage.model_validate(found)


@operation(
    "post",
    "/merchants/<merchant>/webhooks/<webhook>/rotate",
    Scope.WEBHOOKS_WRITE,
    models.NewSecret,
)
def rotate_webhook(path: WebhookPath, body: RotateRequest) -> BaseModel:
    """Make a new secret; the last one signs beside it for a while."""
    require_own(path.merchant)
    return _tell_secret(_acts().rotate(path.merchant, path.webhook, overlap_ms=body.overlap_ms))


@operation("delete", "/merchants/<merchant>/webhooks/<webhook>", Scope.WEBHOOKS_WRITE, None)
def remove_webhook(path: WebhookPath) -> None:
    """Send nothing more to a webhook, what waits included."""
    require_own(path.merchant)
    if _acts().remove(path.merchant, path.webhook) is not None:
        raise not_found()


@operation(
    "get",
    "/merchants/<merchant>/webhooks/<webhook>/deliveries",
    Scope.WEBHOOKS_READ,
    models.DeliveryPage,
)
def list_deliveries(path: WebhookPath, query: DeliveryQuery) -> BaseModel:
    """What a webhook was sent or is to be sent, the newest first."""
    with database().transaction() as conn:
        _require(conn, path)
        found = page(
            conn,
            store.DELIVERIES,
            {"webhook": path.webhook.raw, "state": query.state},
            after=query.after or FIRST,
            limit=query.limit,
            read=store.read_delivery,
        )
    return models.DeliveryPage.model_validate(found)


@operation(
    "get",
    "/merchants/<merchant>/webhooks/<webhook>/deliveries/<delivery>",
    Scope.WEBHOOKS_READ,
    models.DeliveryLog,
)
def show_delivery(path: DeliveryPath) -> BaseModel:
    """One delivery with each of its tries."""
    with database().transaction() as conn:
        found = _require_delivery(conn, path)
        tries = store.list_tries(conn, path.delivery)
    return models.DeliveryLog(
        delivery=models.Delivery.model_validate(found),
        tries=[models.Try.model_validate(each) for each in tries],
    )


@operation(
    "post",
    "/merchants/<merchant>/webhooks/<webhook>/deliveries/<delivery>/replay",
    Scope.WEBHOOKS_WRITE,
    models.Delivery,
    status=201,
)
def replay_delivery(path: DeliveryPath) -> BaseModel:
    """Send a delivery's event once more, as a delivery of its own."""
    with database().transaction() as conn:
        _require_delivery(conn, path)
    again = _acts().replay(path.delivery, merchant=path.merchant)
    if isinstance(again, Refusal):
        raise not_found()
    return models.Delivery.model_validate(again)


@operation("get", "/merchants/<merchant>/events", Scope.WEBHOOKS_READ, models.EventPage)
def list_events(path: MerchantPath, query: PageQuery) -> BaseModel:
    """What happened to a merchant's payments, the newest first, webhook or not."""
    with database().transaction() as conn:
        require_merchant(conn, path.merchant)
        found = page(
            conn,
            store.EVENTS,
            {"merchant": path.merchant.raw},
            after=query.after or FIRST,
            limit=query.limit,
            read=store.read_event,
        )
    return models.EventPage.model_validate(found)


def _acts() -> WebhookActs:
    return webhook_acts.of(operations())


def _require(conn: Connection[Row], path: WebhookPath) -> Webhook:
    require_own(path.merchant)
    found = store.find(conn, path.webhook)
    if found is None or found.merchant != path.merchant:
        raise not_found()
    return found


def _require_delivery(conn: Connection[Row], path: DeliveryPath) -> Delivery:
    _require(conn, path)
    found = store.find_delivery(conn, path.delivery)
    if found is None or found.webhook != path.webhook:
        raise not_found()
    return found


def _tell_secret(found: Webhook | Refusal) -> BaseModel:
    if isinstance(found, Refusal):
        raise _problem(found)
    return models.NewSecret(
        webhook=models.Webhook.model_validate(found), secret=_acts().secret(found)
    )


def _problem(refusal: Refusal) -> ProblemError:
    if refusal is Refusal.WEBHOOK_UNKNOWN:
        return not_found()
    named = Code(refusal.value)
    return ProblemError(named, _DETAIL[named])
