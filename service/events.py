"""Tells merchants' systems what became of their payments: an event, for their webhooks.

Guarantee: the event is written in the transaction that moves the money, so none is lost, and
none tells of what did not happen.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.ledger import store as ledger
from service.payments import store as payments
from service.payments.rules import Intent
from service.webhooks import outbox
from service.webhooks.outbox import EventKind
from wire.ids import PaymentIntentId, TransferId


def announce(
    conn: Connection[Row], intent: PaymentIntentId, kind: EventKind, *, now_ms: int
) -> Intent:
    """Writes the event with the intent as it is now, and returns that."""
    found = payments.find(conn, intent, now_ms=now_ms)
    if found is None:
        raise RuntimeError("an event of no intent")
    _put(conn, found, kind, now_ms)
    return found


def announce_transfer(
    conn: Connection[Row], transfer: TransferId, kind: EventKind, *, now_ms: int
) -> None:
    """The same for whatever intent this transfer paid, if any."""
    found = payments.find_paid_by(conn, transfer, now_ms=now_ms)
    if found is not None:
        _put(conn, found, kind, now_ms)


def expire(conn: Connection[Row], *, now_ms: int) -> None:
    """Gives holds back, and ends intents, whose time is over; each with its event, once."""
    for transfer in ledger.expire_holds(conn, now_ms=now_ms):
        announce_transfer(conn, transfer, EventKind.EXPIRED, now_ms=now_ms)
    for intent in payments.expire_open(conn, now_ms=now_ms):
        _put(conn, intent, EventKind.EXPIRED, now_ms)


def _put(conn: Connection[Row], intent: Intent, kind: EventKind, now_ms: int) -> None:
    outbox.put(conn, kind, intent.merchant, intent.intent, intent.document(), now_ms=now_ms)
