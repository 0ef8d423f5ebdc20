"""Webhooks, their deliveries and each try, in PostgreSQL, in the caller's transaction.

Guarantees: one process at a time sends to a webhook; a try is counted before it is made, so a
worker that dies in it costs that try, and the delivery is due again by its own plan. A delivery
is tried over three days, then given up.

The caller must still make a receiver that gets an event twice see its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from service.db import Row
from service.webhooks.outbox import EventId, EventKind
from service.webhooks.sender import Outcome, Try
from wire.ids import Id, MerchantId

WEBHOOKS_MAX = 10
DUE_MAX = 100
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
# How long after each try the next one comes; together three days.
DELAYS_MS = (
    MINUTE_MS // 6, MINUTE_MS, 5 * MINUTE_MS, 23 * MINUTE_MS + 50_000, HOUR_MS, 2 * HOUR_MS,
    4 * HOUR_MS, 8 * HOUR_MS, 12 * HOUR_MS, 14 * HOUR_MS, 15 * HOUR_MS, 31 * HOUR_MS // 2,
)  # fmt: skip
KEPT_MS = sum(DELAYS_MS) + HOUR_MS
PAUSE_MS, PAUSE_MS_MAX = MINUTE_MS // 2, 15 * MINUTE_MS
OVERLAP_MAX_MS = 7 * 24 * HOUR_MS


class WebhookId(Id):
    PREFIX = "whk"
    __slots__ = ()


class DeliveryId(Id):
    PREFIX = "dlv"
    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """``previous_until_ms``: until when the secret before this version signs too."""

    webhook: WebhookId
    merchant: MerchantId
    url: str = field(repr=False)
    kinds: tuple[EventKind, ...]
    secret_version: int
    previous_until_ms: int
    created_at_ms: int

    def versions(self, now_ms: int) -> tuple[int, ...]:
        """Of the secrets that sign now, the newest first."""
        if self.secret_version > 1 and now_ms < self.previous_until_ms:
            return self.secret_version, self.secret_version - 1
        return (self.secret_version,)


_WEBHOOK = """SELECT created_at_ms, webhook_id, merchant_id, url, kinds, secret_version,
    previous_until_ms FROM webhooks WHERE removed_at_ms IS NULL """
WEBHOOKS = (
    _WEBHOOK + "AND merchant_id = %(merchant)s AND (created_at_ms, webhook_id) < (%(at)s, %(id)s)"
    " ORDER BY created_at_ms DESC, webhook_id DESC LIMIT %(limit)s"
)


def read(row: Row) -> Webhook:
    """A row of ``WEBHOOKS``."""
    at_ms, raw, merchant, url, kinds, version, previous_until_ms = row
    return Webhook(
        webhook=WebhookId(raw),
        merchant=MerchantId(merchant),
        url=url,
        kinds=tuple(EventKind(kind) for kind in kinds),
        secret_version=version,
        previous_until_ms=previous_until_ms,
        created_at_ms=at_ms,
    )


def find(conn: Connection[Row], webhook: WebhookId) -> Webhook | None:
    row = conn.execute(_WEBHOOK + "AND webhook_id = %s", (webhook.raw,)).fetchone()
    return read(row) if row else None


def add(
    conn: Connection[Row],
    webhook: WebhookId,
    merchant: MerchantId,
    url: str,
    kinds: Sequence[EventKind],
    *,
    now_ms: int,
) -> bool:
    """False where the merchant has ``WEBHOOKS_MAX`` already."""
    conn.execute(
        "SELECT 1 FROM merchants WHERE merchant_id = %s FOR NO KEY UPDATE", (merchant.raw,)
    )
    done = conn.execute(
        """INSERT INTO webhooks (webhook_id, merchant_id, url, kinds, created_at_ms)
        SELECT %s, %s, %s, %s, %s WHERE (SELECT count(*) FROM webhooks
            WHERE merchant_id = %s AND removed_at_ms IS NULL) < %s""",
        (webhook.raw, merchant.raw, url, list(kinds), now_ms, merchant.raw, WEBHOOKS_MAX),
    )
    return done.rowcount == 1


def remove(conn: Connection[Row], webhook: WebhookId, *, now_ms: int) -> None:
    """What waits for it is sent no more."""
    conn.execute(
        "UPDATE webhooks SET removed_at_ms = %s WHERE webhook_id = %s", (now_ms, webhook.raw)
    )
    conn.execute(
        """UPDATE webhook_deliveries SET state = 'removed'
        WHERE webhook_id = %s AND state = 'waiting'""",
        (webhook.raw,),
    )


def rotate(conn: Connection[Row], webhook: WebhookId, *, overlap_ms: int, now_ms: int) -> None:
    """A new secret; the last one signs beside it for ``overlap_ms`` more."""
    conn.execute(
        """UPDATE webhooks SET secret_version = secret_version + 1, previous_until_ms = %s
        WHERE webhook_id = %s""",
        (now_ms + overlap_ms, webhook.raw),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    event: EventId
    kind: EventKind
    body: str = field(repr=False)
    created_at_ms: int


EVENTS = """SELECT created_at_ms, event_id, kind, body FROM events
    WHERE merchant_id = %(merchant)s AND (created_at_ms, event_id) < (%(at)s, %(id)s)
    ORDER BY created_at_ms DESC, event_id DESC LIMIT %(limit)s"""


def read_event(row: Row) -> Event:
    """A row of ``EVENTS``."""
    return Event(event=EventId(row[1]), kind=EventKind(row[2]), body=row[3], created_at_ms=row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``last`` is the newest try\'s outcome, None before the first."""

    delivery: DeliveryId
    webhook: WebhookId
    event: EventId
    kind: EventKind
    state: str
    tries: int
    last: Outcome | None
    created_at_ms: int
    next_at_ms: int


_DELIVERY = """SELECT d.created_at_ms, d.delivery_id, d.webhook_id, d.event_id, e.kind, d.state,
    d.tries, (SELECT outcome FROM webhook_tries t WHERE t.delivery_id = d.delivery_id
        ORDER BY try DESC LIMIT 1), d.next_at_ms
    FROM webhook_deliveries d JOIN events e ON e.event_id = d.event_id """
DELIVERIES = (
    _DELIVERY + "WHERE d.webhook_id = %(webhook)s"
    " AND (%(state)s::text IS NULL OR state = %(state)s)"
    " AND (d.created_at_ms, d.delivery_id) < (%(at)s, %(id)s)"
    " ORDER BY d.created_at_ms DESC, d.delivery_id DESC LIMIT %(limit)s"
)


def read_delivery(row: Row) -> Delivery:
    """A row of ``DELIVERIES``."""
    at_ms, raw, webhook, event, kind, state, tries, last, next_at_ms = row
    return Delivery(
        delivery=DeliveryId(raw),
        webhook=WebhookId(webhook),
        event=EventId(event),
        kind=EventKind(kind),
        state=state,
        tries=tries,
        last=Outcome(last) if last else None,
        created_at_ms=at_ms,
        next_at_ms=next_at_ms,
    )


def find_delivery(conn: Connection[Row], delivery: DeliveryId) -> Delivery | None:
    row = conn.execute(_DELIVERY + "WHERE d.delivery_id = %s", (delivery.raw,)).fetchone()
    return read_delivery(row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One try, as the delivery log keeps it."""

    number: int
    at_ms: int
    outcome: Outcome
    status: int | None
    duration_ms: int


def list_tries(conn: Connection[Row], delivery: DeliveryId) -> list[Logged]:
    rows = conn.execute(
        """SELECT try, at_ms, outcome, status, duration_ms FROM webhook_tries
        WHERE delivery_id = %s ORDER BY try""",
        (delivery.raw,),
    ).fetchall()
    return [
        Logged(number=number, at_ms=at_ms, outcome=Outcome(outcome), status=status, duration_ms=ms)
        for number, at_ms, outcome, status, ms in rows
    ]


def replay(conn: Connection[Row], delivery: Delivery, *, now_ms: int) -> DeliveryId:
    """The same event to the same webhook once more, as a delivery of its own."""
    again = DeliveryId.new()
    conn.execute(
        """INSERT INTO webhook_deliveries (delivery_id, webhook_id, event_id, state,
        created_at_ms, next_at_ms) VALUES (%s, %s, %s, 'waiting', %s, %s)""",
        (again.raw, delivery.webhook.raw, delivery.event.raw, now_ms, now_ms),
    )
    return again


def due(conn: Connection[Row], *, now_ms: int) -> list[WebhookId]:
    """Webhooks that something is due for and that nobody sends to, those that waited longest."""
    rows = conn.execute(
        """SELECT webhook_id FROM webhooks w WHERE removed_at_ms IS NULL AND busy_until_ms <= %s
        AND EXISTS (SELECT FROM webhook_deliveries d WHERE d.webhook_id = w.webhook_id
            AND state = 'waiting' AND next_at_ms <= %s)
        ORDER BY busy_until_ms LIMIT %s""",
        (now_ms, now_ms, DUE_MAX),
    ).fetchall()
    return [WebhookId(raw) for (raw,) in rows]


def give_up(conn: Connection[Row], webhook: WebhookId, *, now_ms: int) -> None:
    """Ends what failed for three days, also where a pause kept it from all of its tries."""
    conn.execute(
        """UPDATE webhook_deliveries SET state = 'exhausted' WHERE webhook_id = %s
        AND state = 'waiting' AND tries > 0 AND created_at_ms < %s""",
        (webhook.raw, now_ms - KEPT_MS),
    )


def pause_ms(conn: Connection[Row], webhook: WebhookId) -> int:
    """How long to leave a receiver alone that failed: the longer, the longer it fails."""
    row = conn.execute(
        """SELECT coalesce(max(tries), 0) FROM webhook_deliveries
        WHERE webhook_id = %s AND state = 'waiting'""",
        (webhook.raw,),
    ).fetchone()
    tries = int(row[0]) if row else 0
    return int(min(PAUSE_MS * 2 ** max(0, tries - 1), PAUSE_MS_MAX))


def reserve(conn: Connection[Row], webhook: WebhookId, *, for_ms: int, now_ms: int) -> bool:
    """Keeps others from sending to it for a while; False where somebody does."""
    done = conn.execute(
        """UPDATE webhooks SET busy_until_ms = %s
        WHERE webhook_id = %s AND busy_until_ms <= %s AND removed_at_ms IS NULL""",
        (now_ms + for_ms, webhook.raw, now_ms),
    )
    return done.rowcount == 1


def release(
    conn: Connection[Row], webhook: WebhookId, *, reserved_until_ms: int, until_ms: int
) -> None:
    """Ends a reservation, if it is still the caller\'s, at ``until_ms``."""
    conn.execute(
        "UPDATE webhooks SET busy_until_ms = %s WHERE webhook_id = %s AND busy_until_ms = %s",
        (until_ms, webhook.raw, reserved_until_ms),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery whose next try is counted and may begin."""

    delivery: DeliveryId
    number: int
    body: bytes = field(repr=False)


def claim(conn: Connection[Row], webhook: WebhookId, *, now_ms: int) -> Claimed | None:
    row = conn.execute(
        """UPDATE webhook_deliveries d SET tries = tries + 1,
            next_at_ms = %(now)s + (%(delays)s::bigint[])[least(tries + 1, %(most)s)]
        FROM events e WHERE e.event_id = d.event_id AND delivery_id = (
            SELECT delivery_id FROM webhook_deliveries WHERE webhook_id = %(webhook)s
            AND state = 'waiting' AND next_at_ms <= %(now)s
            ORDER BY next_at_ms LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING delivery_id, tries, body""",
        {
            "now": now_ms,
            "delays": list(DELAYS_MS),
            "most": len(DELAYS_MS),
            "webhook": webhook.raw,
        },
    ).fetchone()
    if row is None:
        return None
    return Claimed(delivery=DeliveryId(row[0]), number=row[1], body=row[2].encode())


def record(conn: Connection[Row], claimed: Claimed, made: Try, *, now_ms: int) -> None:
    """The try\'s outcome; after the last one that failed, the delivery is given up."""
    conn.execute(
        """INSERT INTO webhook_tries (delivery_id, try, at_ms, outcome, status, duration_ms)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (
            claimed.delivery.raw, claimed.number, now_ms, made.outcome, made.status,
            made.duration_ms,
        ),
    )  # fmt: skip
    state = "waiting"
    if made.outcome is Outcome.DELIVERED:
        state = "delivered"
    elif claimed.number > len(DELAYS_MS):
        state = "exhausted"
    conn.execute(
        """UPDATE webhook_deliveries SET state = %s
        WHERE delivery_id = %s AND state = 'waiting' AND (tries = %s OR %s = 'delivered')""",
        (state, claimed.delivery.raw, claimed.number, state),
    )
