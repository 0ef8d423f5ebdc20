"""A merchant's day: every posting of its account as a line of a file, and their totals.

Guarantees: lines and totals are read from the postings, so they are the money; a day's file is
the same bytes whenever it is made, and a settled day keeps its SHA-256; settling a day twice, or
from two places at once, settles it once. Days are those of UTC, by when the money moved.

The caller must settle a day only when it has been over for ``GRACE_MS``: what began before
midnight has then committed.
"""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from psycopg import Connection

from service.db import Row
from wire import envelope
from wire.ids import MerchantId, PaymentIntentId, TransferId
from wire.messages import Decision, PaymentContext

DAY_MS = 24 * 3_600_000
GRACE_MS = 10 * 60_000
CATCH_UP_DAYS = 40
DUE_MAX = 200
LINES_MAX = 1_000_000
EPOCH = date(1970, 1, 1)
# What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@")


def day_of(at_ms: int) -> date:
    return EPOCH + timedelta(days=at_ms // DAY_MS)


def number_of(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def is_over(day: date, *, now_ms: int) -> bool:
    return now_ms >= (number_of(day) + 1) * DAY_MS + GRACE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One posting: ``amount_minor`` is what the merchant got, below 0 what it gave."""

    at: str
    kind: str
    transfer: str
    payment_intent: str
    order: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Amounts as the merchant sees them: refunds and fees are below 0."""

    payments: int
    payments_minor: int
    refunds: int
    refunds_minor: int
    others: int
    others_minor: int

    @property
    def net_minor(self) -> int:
        return self.payments_minor + self.refunds_minor + self.others_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    merchant: MerchantId
    day: date
    currency: str
    totals: Totals
    digest: bytes
    settled_at_ms: int


# A hold is posted within 7 days of its making; a day more for a clock that was set.
_LINES = """WITH own AS (SELECT ledger_account_id FROM ledger_accounts
        WHERE owner = %(merchant)s AND kind = 'merchant'),
    moved AS (
        SELECT t.* FROM transfers t WHERE credit = (SELECT ledger_account_id FROM own)
            AND created_at_ms >= %(since)s AND created_at_ms < %(until)s + 86400000
        UNION ALL
        SELECT t.* FROM transfers t WHERE debit = (SELECT ledger_account_id FROM own)
            AND created_at_ms >= %(since)s AND created_at_ms < %(until)s + 86400000)
    SELECT m.closed_at_ms, m.kind, m.transfer_id, i.intent_id, i.order_reference, a.decision,
        p.amount_minor, l.currency
    FROM moved m JOIN postings p ON p.transfer_id = m.transfer_id
        AND p.ledger_account_id = (SELECT ledger_account_id FROM own)
    JOIN ledger_accounts l ON l.ledger_account_id = p.ledger_account_id
    LEFT JOIN payment_intents i ON i.attempt_id = coalesce(m.refers_to, m.transfer_id)
    LEFT JOIN attempts a ON i.intent_id IS NULL
        AND a.attempt_id = coalesce(m.refers_to, m.transfer_id)
    WHERE m.state = 'posted' AND m.closed_at_ms >= %(from)s AND m.closed_at_ms < %(until)s
    ORDER BY m.closed_at_ms, m.transfer_id LIMIT %(limit)s"""


def lines(conn: Connection[Row], merchant: MerchantId, day: date) -> list[Line]:
    """The day's postings, the oldest first. RuntimeError above ``LINES_MAX``."""
    begins_ms = number_of(day) * DAY_MS
    wanted = {
        "merchant": merchant.raw,
        "since": begins_ms - 8 * DAY_MS,
        "from": begins_ms,
        "until": begins_ms + DAY_MS,
        "limit": LINES_MAX + 1,
    }
    found = [_line(row) for row in conn.execute(_LINES, wanted)]
    if len(found) > LINES_MAX:
        raise RuntimeError(f"a day of more than {LINES_MAX} postings")
    return found


def _line(row: Row) -> Line:
    at_ms, kind, transfer, intent, order, decision, amount_minor, currency = row
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return Line(
        at=at.replace("+00:00", "Z"),
        kind=kind,
        transfer=str(TransferId(transfer)),
        payment_intent=str(PaymentIntentId(intent)) if intent else "",
        order=order or (_order(decision) if decision else ""),
        amount_minor=amount_minor,
        currency=currency,
    )


def _order(decision: bytes) -> str:
    """Of a payment whose amount was typed at the terminal."""
    context = envelope.parse(decision, Decision).message.context
    return context.order if isinstance(context, PaymentContext) else ""


def write_file(found: list[Line]) -> str:
    """CSV (RFC 4180). An order that a spreadsheet would run as a formula has a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([each.name for each in fields(Line)])
    for line in found:
        writer.writerow(
            f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
            for value in astuple(line)
        )
    return out.getvalue()


def total(found: list[Line]) -> Totals:
    def of(kind: str | None) -> list[int]:
        named = ("payment", "refund")
        return [
            line.amount_minor
            for line in found
            if line.kind == kind or (kind is None and line.kind not in named)
        ]

    payments, refunds, others = of("payment"), of("refund"), of(None)
    return Totals(
        payments=len(payments),
        payments_minor=sum(payments),
        refunds=len(refunds),
        refunds_minor=sum(refunds),
        others=len(others),
        others_minor=sum(others),
    )


def settle(
    conn: Connection[Row], merchant: MerchantId, day: date, *, now_ms: int
) -> Settlement | None:
    """Settles the day, or gives the settlement that it has; None for a day that is not over."""
    if not is_over(day, now_ms=now_ms):
        return None
    earlier = find(conn, merchant, day)
    if earlier is not None:
        return earlier
    moved = lines(conn, merchant, day)
    sums = total(moved)
    conn.execute(
        """INSERT INTO settlements (merchant_id, day, currency, payments, payments_minor, refunds,
            refunds_minor, others, others_minor, net_minor, digest, settled_at_ms)
        SELECT merchant_id, %s, currency, %s, %s, %s, %s, %s, %s, %s, %s, %s FROM merchants
        WHERE merchant_id = %s ON CONFLICT DO NOTHING""",
        (
            number_of(day),
            *(sums.payments, sums.payments_minor, sums.refunds, sums.refunds_minor),
            *(sums.others, sums.others_minor, sums.net_minor),
            sha256(write_file(moved).encode()).digest(),
            now_ms,
            merchant.raw,
        ),
    )
    return find(conn, merchant, day)


_SETTLEMENT = """SELECT merchant_id, day, currency, payments, payments_minor, refunds,
    refunds_minor, others, others_minor, digest, settled_at_ms FROM settlements
    WHERE merchant_id = %(merchant)s """


def _read(row: Row) -> Settlement:
    merchant, day, currency, *sums, digest, settled_at_ms = row
    names = [each.name for each in fields(Totals)]
    return Settlement(
        merchant=MerchantId(merchant),
        day=EPOCH + timedelta(days=day),
        currency=currency,
        totals=Totals(**dict(zip(names, sums, strict=True))),
        digest=digest,
        settled_at_ms=settled_at_ms,
    )


def find(conn: Connection[Row], merchant: MerchantId, day: date) -> Settlement | None:
    query = _SETTLEMENT + "AND day = %(day)s"
    row = conn.execute(query, {"merchant": merchant.raw, "day": number_of(day)}).fetchone()
    return _read(row) if row else None


def list_settlements(
    conn: Connection[Row], merchant: MerchantId, *, before: date, limit: int
) -> list[Settlement]:
    """Those of days before ``before``, the newest first."""
    query = _SETTLEMENT + "AND day < %(before)s ORDER BY day DESC LIMIT %(limit)s"
    wanted = {"merchant": merchant.raw, "before": number_of(before), "limit": limit}
    return [_read(row) for row in conn.execute(query, wanted)]


def due(conn: Connection[Row], *, now_ms: int) -> list[tuple[MerchantId, date]]:
    """Days that are over and not settled, of the last ``CATCH_UP_DAYS``, the oldest first."""
    last = number_of(day_of(now_ms - GRACE_MS)) - 1
    rows = conn.execute(
        """SELECT merchant_id, day FROM merchants
        CROSS JOIN generate_series(%s::integer, %s::integer) AS days (day)
        WHERE created_at_ms < (day + 1)::bigint * 86400000 AND NOT EXISTS (
            SELECT FROM settlements s
            WHERE s.merchant_id = merchants.merchant_id AND s.day = days.day)
        ORDER BY day, merchant_id LIMIT %s""",
        (last - CATCH_UP_DAYS + 1, last, DUE_MAX),
    ).fetchall()
    return [(MerchantId(raw), EPOCH + timedelta(days=day)) for raw, day in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A merchant whose settlements are not its postings; both in minor units."""

    merchant: MerchantId
    settled_minor: int
    posted_minor: int


def prove(conn: Connection[Row]) -> list[Difference]:
    """Compares what was settled, over all days, with the postings of those days.

    A day that was never settled, because the worker stood still for longer than
    ``CATCH_UP_DAYS``, shows as a difference too.
    """
    rows = conn.execute(
        """SELECT merchant_id, net, posted FROM (
            SELECT merchant_id, sum(net_minor)::bigint AS net, max(day) AS last
            FROM settlements GROUP BY merchant_id) settled
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(p.amount_minor), 0)::bigint AS posted FROM ledger_accounts l
            JOIN postings p USING (ledger_account_id) JOIN transfers t USING (transfer_id)
            WHERE l.owner = merchant_id AND l.kind = 'merchant'
            AND t.closed_at_ms < (last + 1)::bigint * 86400000) moved
        WHERE net <> posted ORDER BY merchant_id"""
    ).fetchall()
    return [
        Difference(merchant=MerchantId(raw), settled_minor=net, posted_minor=posted)
        for raw, net, posted in rows
    ]
