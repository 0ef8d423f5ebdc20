"""Requests and answers about webhooks and what they are sent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service.http.models import (
    Answer,
    CursorText,
    MerchantPath,
    PageQuery,
    Request,
    TimeMs,
    example,
    id_text,
)
from service.webhooks.outbox import EventId, EventKind
from service.webhooks.sender import URL_CHARS_MAX, Outcome
from service.webhooks.store import OVERLAP_MAX_MS, DeliveryId, WebhookId

DAY_MS = 24 * 3_600_000
WebhookText = Annotated[WebhookId, id_text(WebhookId)]
DeliveryText = Annotated[DeliveryId, id_text(DeliveryId)]
EventText = Annotated[EventId, id_text(EventId)]
DeliveryState = Literal["waiting", "delivered", "exhausted", "removed"]
Kinds = Annotated[
    list[Annotated[EventKind, Field(strict=False)]],
    Field(min_length=1, max_length=len(EventKind), json_schema_extra=example(list(EventKind))),
]
Url = Annotated[
    str,
    Field(
        min_length=10,
        max_length=URL_CHARS_MAX,
        pattern=r"^https?://[A-Za-z0-9][!-~]*$",
        description="https, to a public address, without user, password and fragment.",
        json_schema_extra=example("https://shop.example/countenance"),
    ),
]


class WebhookPath(MerchantPath):
    webhook: WebhookText


class DeliveryPath(WebhookPath):
    delivery: DeliveryText


class DeliveryQuery(PageQuery):
    state: DeliveryState | None = Field(None, json_schema_extra=example("waiting"))


class WebhookRequest(Request):
    url: Url
    kinds: Kinds = Field(list(EventKind))


class RotateRequest(Request):
    overlap_ms: int = Field(
        DAY_MS,
        ge=0,
        le=OVERLAP_MAX_MS,
        description="How long the last secret signs beside the new one.",
        json_schema_extra=example(DAY_MS),
    )


class Webhook(Answer):
    webhook: WebhookText
    url: Url
    kinds: Kinds
    previous_until_ms: TimeMs
    created_at_ms: TimeMs


class NewSecret(Answer):
    """The secret is shown only now."""

    webhook: Webhook
    secret: str = Field(description="Signs the events: HMAC-SHA-256, see docs/api.md.")


class WebhookPage(Answer):
    items: list[Webhook]
    next: CursorText | None


class Delivery(Answer):
    delivery: DeliveryText
    webhook: WebhookText
    event: EventText
    kind: EventKind
    state: DeliveryState
    tries: int
    last: Outcome | None
    created_at_ms: TimeMs
    next_at_ms: TimeMs


class DeliveryPage(Answer):
    items: list[Delivery]
    next: CursorText | None


class Try(Answer):
    number: int
    at_ms: TimeMs
    outcome: Outcome
    status: int | None
    duration_ms: int


class DeliveryLog(Answer):
    delivery: Delivery
    tries: list[Try]


class Event(Answer):
    """`body` is the text that the webhooks get."""

    event: EventText
    kind: EventKind
    body: str
    created_at_ms: TimeMs


class EventPage(Answer):
    items: list[Event]
    next: CursorText | None
