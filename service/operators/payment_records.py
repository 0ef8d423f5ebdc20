"""What merchants and operators read of payments: those that a merchant's system asked for, paid or
not, and those that a terminal took by itself, in one list.

Guarantees: states and sums are the ledger's; a page runs on indexes, and the newest come first,
by when they were paid, or made where nobody paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import Connection

from service.db import Row
from service.operators.pages import Cursor, Page, page
from service.payments.rules import State
from service.payments.store import STATE
from wire import envelope
from wire.ids import AttemptId, MerchantId, PaymentIntentId, TerminalId, TransferId
from wire.messages import Decision, PaymentContext

REFUNDS_SHOWN = 100
Key = PaymentIntentId | AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """``closed_at_ms``: when the money moved, or was given back. ``until_ms``: when an open one
    ends, or what was authorized is given back."""

    intent: PaymentIntentId | None
    attempt: AttemptId | None
    terminal: TerminalId | None
    site: str | None
    amount_minor: int
    currency: str
    order: str
    state: State
    captured_minor: int
    refunded_minor: int
    made_at_ms: int
    paid_at_ms: int | None
    closed_at_ms: int | None
    until_ms: int | None
    at_ms: int

    @property
    def key(self) -> Key:
        """What it is found by: the intent, or the attempt where there is none."""
        found = self.intent or self.attempt
        if found is None:
            raise RuntimeError("a payment that is neither asked for nor paid")
        return found

    @property
    def left_minor(self) -> int:
        """What may still be refunded."""
        return self.captured_minor - self.refunded_minor


_CAPTURED = "CASE WHEN t.state = 'posted' THEN coalesce(t.posted_minor, t.amount_minor) ELSE 0 END"
_PAID: LiteralString = f"""SELECT t.created_at_ms AS at_ms, t.transfer_id AS id, p.intent_id,
    t.transfer_id AS attempt_id, a.terminal_id, p.site, t.amount_minor, l.currency,
    p.order_reference, {STATE} AS state, {_CAPTURED} AS captured_minor,
    (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM transfers r
        WHERE r.refers_to = t.transfer_id AND r.kind = 'refund') AS refunded_minor,
    coalesce(p.created_at_ms, t.created_at_ms) AS made_at_ms, t.created_at_ms AS paid_at_ms,
    t.closed_at_ms, t.expires_at_ms AS until_ms, a.decision
    FROM transfers t JOIN ledger_accounts l ON l.ledger_account_id = t.credit
    JOIN attempts a ON a.attempt_id = t.transfer_id
    LEFT JOIN payment_intents p ON p.attempt_id = t.transfer_id
    WHERE t.credit = (SELECT ledger_account_id FROM ledger_accounts
        WHERE owner = %(merchant)s AND kind = 'merchant') AND t.kind = 'payment' """  # noqa: S608
_UNPAID: LiteralString = f"""SELECT p.created_at_ms, p.intent_id, p.intent_id, NULL, p.terminal_id,
    p.site, p.amount_minor, p.currency, p.order_reference, {STATE}, 0, 0, p.created_at_ms, NULL,
    coalesce(p.voided_at_ms, p.expired_at_ms), p.expires_at_ms, NULL
    FROM payment_intents p LEFT JOIN transfers t ON false
    WHERE p.merchant_id = %(merchant)s AND p.attempt_id IS NULL """  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; None where it does not matter. ``order`` finds those alone that a
    merchant's system asked for: of others it stands only in the signed decision."""

    state: State | None = None
    order: str | None = None
    terminal: TerminalId | None = None
    from_ms: int = 0
    until_ms: int = 2**62


def search(
    conn: Connection[Row],
    merchant: MerchantId,
    wanted: Search,
    *,
    after: Cursor,
    limit: int,
    now_ms: int,
) -> Page[Payment]:
    narrow: LiteralString = ""
    if wanted.state is not None:
        narrow += f" AND {STATE} = %(state)s"
    if wanted.order is not None:
        narrow += " AND p.order_reference = %(order)s"
    paid: LiteralString = narrow
    unpaid: LiteralString = narrow
    if wanted.terminal is not None:
        paid += " AND a.terminal_id = %(terminal)s"
        unpaid += " AND p.terminal_id = %(terminal)s"
    query: LiteralString = f"""SELECT * FROM (
        ({_PAID} AND (t.created_at_ms, t.transfer_id) < (%(at)s, %(id)s)
            AND t.created_at_ms >= %(from)s AND t.created_at_ms < %(until)s {paid}
            ORDER BY t.created_at_ms DESC, t.transfer_id DESC LIMIT %(limit)s)
        UNION ALL
        ({_UNPAID} AND (p.created_at_ms, p.intent_id) < (%(at)s, %(id)s)
            AND p.created_at_ms >= %(from)s AND p.created_at_ms < %(until)s {unpaid}
            ORDER BY p.created_at_ms DESC, p.intent_id DESC LIMIT %(limit)s)
        ) found ORDER BY at_ms DESC, id DESC LIMIT %(limit)s"""  # noqa: S608
    values: dict[str, Any] = {
        "merchant": merchant.raw,
        "now": now_ms,
        "state": wanted.state,
        "order": wanted.order,
        "terminal": wanted.terminal.raw if wanted.terminal else None,
        "from": wanted.from_ms,
        "until": wanted.until_ms,
    }
    return page(conn, query, values, after=after, limit=limit, read=_payment)


def find(conn: Connection[Row], merchant: MerchantId, key: Key, *, now_ms: int) -> Payment | None:
    """None where the merchant has no such payment."""
    if isinstance(key, AttemptId):
        query: LiteralString = _PAID + "AND t.transfer_id = %(key)s"
    else:
        query = f"{_PAID} AND p.intent_id = %(key)s UNION ALL {_UNPAID} AND p.intent_id = %(key)s"
    values = {"merchant": merchant.raw, "now": now_ms, "key": key.raw}
    row = conn.execute(query, values).fetchone()
    return _payment(row) if row else None


def _payment(row: Row) -> Payment:
    at_ms, _, intent, attempt, terminal, site, amount_minor, currency, order, state, *more = row
    captured_minor, refunded_minor, made_at_ms, paid_at_ms, closed_at_ms, until_ms, decision = more
    return Payment(
        intent=PaymentIntentId(intent) if intent else None,
        attempt=AttemptId(attempt) if attempt else None,
        terminal=TerminalId(terminal) if terminal else None,
        site=site,
        amount_minor=amount_minor,
        currency=currency,
        order=order if order is not None else _order_of(bytes(decision)),
        state=State(state),
        captured_minor=captured_minor,
        refunded_minor=refunded_minor,
        made_at_ms=made_at_ms,
        paid_at_ms=paid_at_ms,
        closed_at_ms=closed_at_ms,
        until_ms=until_ms,
        at_ms=at_ms,
    )


def _order_of(decision: bytes) -> str:
    context = envelope.parse(decision, Decision).message.context
    if not isinstance(context, PaymentContext):
        raise RuntimeError("a payment whose decision is of another purpose")
    return context.order


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    transfer: TransferId
    amount_minor: int
    at_ms: int


def refunds(conn: Connection[Row], attempt: AttemptId) -> Sequence[Refunded]:
    """Of one payment, the oldest first."""
    rows = conn.execute(
        """SELECT transfer_id, amount_minor, created_at_ms FROM transfers
        WHERE refers_to = %s AND kind = 'refund' ORDER BY created_at_ms, transfer_id LIMIT %s""",
        (attempt.raw, REFUNDS_SHOWN),
    ).fetchall()
    return [
        Refunded(transfer=TransferId(raw), amount_minor=amount_minor, at_ms=at_ms)
        for raw, amount_minor, at_ms in rows
    ]
