"""Events, and which webhook each is for. Every function works in the caller's transaction.

Guarantee: an event's body is kept as the bytes that are sent, so every try sends and signs the
same; and who is to get it is settled when it happens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from psycopg import Connection

from service.db import Row
from wire.ids import Id, MerchantId, PaymentIntentId


class EventKind(StrEnum):
    AUTHORIZED = "payment.authorized"
    CAPTURED = "payment.captured"
    VOIDED = "payment.voided"
    EXPIRED = "payment.expired"
    REFUNDED = "payment.refunded"


class EventId(Id):
    PREFIX = "evt"
    __slots__ = ()


def put(
    conn: Connection[Row],
    kind: EventKind,
    merchant: MerchantId,
    intent: PaymentIntentId,
    document: Mapping[str, Any],
    *,
    now_ms: int,
) -> EventId:
    """The event, and a delivery to each of the merchant's webhooks that asked for its kind."""
    event = EventId.new()
    body = json.dumps(
        {
            "event": str(event),
            "kind": kind.value,
            "created_at_ms": now_ms,
            "payment_intent": dict(document),
        }
    )
    conn.execute(
        """INSERT INTO events (event_id, merchant_id, intent_id, kind, body, created_at_ms)
        VALUES (%s, %s, %s, %s, %s, %s)""",
        (event.raw, merchant.raw, intent.raw, kind, body, now_ms),
    )
    conn.execute(
        """INSERT INTO webhook_deliveries (delivery_id, webhook_id, event_id, state,
            created_at_ms, next_at_ms)
        SELECT uuid_send(gen_random_uuid()), webhook_id, %s, 'waiting', %s, %s FROM webhooks
        WHERE merchant_id = %s AND removed_at_ms IS NULL AND %s = ANY(kinds)""",
        (event.raw, now_ms, now_ms, merchant.raw, kind),
    )
    return event
