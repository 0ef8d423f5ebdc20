"""Payment intents in PostgreSQL. Every function works in the caller's transaction.

Guarantees: an intent is paid by one attempt, once; its state is read from the transfer that
paid it, so it never differs from the ledger. An intent is locked before the transfer and the
wallet are, so acts never wait for each other in a circle.

The caller must still commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection

from service.db import Row
from service.payments.rules import Intent, NewIntent, State, refuse_take
from wire.denial import Denial
from wire.ids import AttemptId, MerchantId, PaymentIntentId, TerminalId, TransferId
from wire.messages import PaymentContext

EXPIRE_BATCH_MAX = 1000
# One meaning of an intent's state, for reading and for searching.
STATE = """CASE
    WHEN t.state = 'pending' AND t.expires_at_ms > %(now)s THEN 'authorized'
    WHEN t.state = 'pending' THEN 'expired'
    WHEN t.state = 'posted' THEN 'captured'
    WHEN t.state IS NOT NULL THEN t.state
    WHEN p.voided_at_ms IS NOT NULL THEN 'voided'
    WHEN p.expires_at_ms <= %(now)s THEN 'expired'
    ELSE 'open' END"""
INTENT = f"""SELECT p.created_at_ms, p.intent_id, p.merchant_id, p.terminal_id, p.site,
    p.amount_minor, p.currency, p.order_reference, p.hold_ms, {STATE}, p.attempt_id,
    CASE WHEN t.state = 'posted' THEN coalesce(t.posted_minor, t.amount_minor) ELSE 0 END,
    (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM transfers r
        WHERE r.refers_to = p.attempt_id AND r.kind = 'refund'),
    p.expires_at_ms, p.authorized_at_ms, t.expires_at_ms
    FROM payment_intents p LEFT JOIN transfers t ON t.transfer_id = p.attempt_id """  # noqa: S608


def read(row: Row) -> Intent:
    """A row of ``INTENT``."""
    at_ms, raw, merchant, terminal, site, amount_minor, currency, order, hold_ms, *more = row
    state, attempt, captured_minor, refunded_minor, expires_at_ms, paid_at_ms, until_ms = more
    return Intent(
        intent=PaymentIntentId(raw),
        merchant=MerchantId(merchant),
        terminal=TerminalId(terminal) if terminal else None,
        site=site,
        amount_minor=amount_minor,
        currency=currency,
        order=order,
        hold_ms=hold_ms,
        state=State(state),
        attempt=AttemptId(attempt) if attempt else None,
        captured_minor=captured_minor,
        refunded_minor=refunded_minor,
        created_at_ms=at_ms,
        expires_at_ms=expires_at_ms,
        authorized_at_ms=paid_at_ms,
        capture_until_ms=until_ms,
    )


def add(conn: Connection[Row], intent: PaymentIntentId, wanted: NewIntent, *, now_ms: int) -> None:
    conn.execute(
        """INSERT INTO payment_intents (intent_id, merchant_id, terminal_id, site, amount_minor,
        currency, order_reference, hold_ms, created_at_ms, expires_at_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            intent.raw,
            wanted.merchant.raw,
            wanted.terminal.raw if wanted.terminal else None,
            wanted.site,
            wanted.money.amount_minor,
            wanted.money.currency,
            wanted.order,
            wanted.hold_ms,
            now_ms,
            now_ms + wanted.lives_ms,
        ),
    )


def find(conn: Connection[Row], intent: PaymentIntentId, *, now_ms: int) -> Intent | None:
    query = INTENT + "WHERE p.intent_id = %(intent)s"
    row = conn.execute(query, {"now": now_ms, "intent": intent.raw}).fetchone()
    return read(row) if row else None


def find_paid_by(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> Intent | None:
    """The intent whose payment this transfer is."""
    query = INTENT + "WHERE p.attempt_id = %(transfer)s"
    row = conn.execute(query, {"now": now_ms, "transfer": transfer.raw}).fetchone()
    return read(row) if row else None


def lock(conn: Connection[Row], intent: PaymentIntentId, *, now_ms: int) -> Intent | None:
    """The intent as it stays, but for its hold's end, until the transaction ends."""
    conn.execute(
        "SELECT 1 FROM payment_intents WHERE intent_id = %s FOR NO KEY UPDATE", (intent.raw,)
    )
    return find(conn, intent, now_ms=now_ms)


def next_for(conn: Connection[Row], terminal: TerminalId, *, now_ms: int) -> Intent | None:
    """The oldest open intent that names this very terminal."""
    query = INTENT + (
        "WHERE p.terminal_id = %(terminal)s AND p.attempt_id IS NULL AND p.voided_at_ms IS NULL"
        " AND p.expired_at_ms IS NULL AND p.expires_at_ms > %(now)s"
        " ORDER BY p.created_at_ms, p.intent_id LIMIT 1"
    )
    row = conn.execute(query, {"now": now_ms, "terminal": terminal.raw}).fetchone()
    return read(row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a payment is taken: a terminal and its site."""

    terminal: TerminalId
    site: str


def look(
    conn: Connection[Row], context: PaymentContext, place: Place, *, now_ms: int
) -> Intent | Denial:
    """The intent of a payment, if it can be taken here now; RuntimeError where it has none."""
    return _takeable(find(conn, _intent_of(context), now_ms=now_ms), context, place)


def take(
    conn: Connection[Row], context: PaymentContext, place: Place, *, now_ms: int
) -> Intent | Denial:
    """As :func:`look`, and nobody else takes it until the transaction ends."""
    return _takeable(lock(conn, _intent_of(context), now_ms=now_ms), context, place)


def _intent_of(context: PaymentContext) -> PaymentIntentId:
    if context.intent is None:
        raise RuntimeError("a payment without an intent")
    return context.intent


def _takeable(found: Intent | None, context: PaymentContext, place: Place) -> Intent | Denial:
    denial = refuse_take(found, context, place.terminal, place.site)
    if denial is not None or found is None:
        return denial or Denial.INTENT_UNKNOWN
    return found


def mark_paid(
    conn: Connection[Row], intent: PaymentIntentId, attempt: AttemptId, *, now_ms: int
) -> None:
    conn.execute(
        """UPDATE payment_intents SET attempt_id = %s, authorized_at_ms = %s
        WHERE intent_id = %s""",
        (attempt.raw, now_ms, intent.raw),
    )


def mark_voided(conn: Connection[Row], intent: PaymentIntentId, *, now_ms: int) -> None:
    """Nobody paid it, and nobody will."""
    conn.execute(
        "UPDATE payment_intents SET voided_at_ms = %s WHERE intent_id = %s", (now_ms, intent.raw)
    )


def expire_open(conn: Connection[Row], *, now_ms: int) -> list[Intent]:
    """Notes which intents nobody paid in time, at most a batch; each is returned once, ever.

    Those that another transaction is closing are left to it.
    """
    rows = conn.execute(
        """UPDATE payment_intents SET expired_at_ms = %(now)s WHERE intent_id IN (
            SELECT intent_id FROM payment_intents WHERE attempt_id IS NULL
            AND voided_at_ms IS NULL AND expired_at_ms IS NULL AND expires_at_ms <= %(now)s
            ORDER BY expires_at_ms LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING intent_id""",
        {"now": now_ms, "limit": EXPIRE_BATCH_MAX},
    ).fetchall()
    query = INTENT + "WHERE p.intent_id = ANY(%(intents)s)"
    found = conn.execute(query, {"now": now_ms, "intents": [row[0] for row in rows]})
    return [read(row) for row in found.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; None where it does not matter. Times are of the intents' making."""

    state: State | None = None
    order: str | None = None
    terminal: TerminalId | None = None
    from_ms: int = 0
    until_ms: int = 2**62


def query_of(search: Search) -> LiteralString:
    """The newest first; a page goes on after the (time, id) of its last row.

    Only what is looked for stands in the query, so that each search finds its index.
    """
    query: LiteralString = INTENT + (
        "WHERE p.merchant_id = %(merchant)s AND (p.created_at_ms, p.intent_id) < (%(at)s, %(id)s)"
        " AND p.created_at_ms >= %(from)s AND p.created_at_ms < %(until)s"
    )
    if search.order is not None:
        query += " AND p.order_reference = %(order)s"
    if search.terminal is not None:
        query += " AND p.terminal_id = %(terminal)s"
    if search.state is not None:
        query += f" AND {STATE} = %(state)s"
    return query + " ORDER BY p.created_at_ms DESC, p.intent_id DESC LIMIT %(limit)s"


def words(search: Search, merchant: MerchantId, *, now_ms: int) -> dict[str, object]:
    """The parameters of :func:`query_of` but for those of the page."""
    return {
        "now": now_ms,
        "merchant": merchant.raw,
        "state": search.state,
        "order": search.order,
        "terminal": search.terminal.raw if search.terminal else None,
        "from": search.from_ms,
        "until": search.until_ms,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    transfer: TransferId
    amount_minor: int
    currency: str
    created_at_ms: int


REFUNDS = """SELECT r.created_at_ms, r.transfer_id, r.amount_minor, p.currency
    FROM payment_intents p JOIN transfers r ON r.refers_to = p.attempt_id AND r.kind = 'refund'
    WHERE p.intent_id = %(intent)s AND (r.created_at_ms, r.transfer_id) < (%(at)s, %(id)s)
    ORDER BY r.created_at_ms DESC, r.transfer_id DESC LIMIT %(limit)s"""


def read_refund(row: Row) -> Refund:
    """A row of ``REFUNDS``."""
    at_ms, raw, amount_minor, currency = row
    return Refund(
        transfer=TransferId(raw), amount_minor=amount_minor, currency=currency, created_at_ms=at_ms
    )
