"""What the console's pages read beyond the records: sums over a span, and one attempt whole.

Guarantees: no claim, embedding or score is among the columns; every query is bounded and runs
on an index; ``merchant`` narrows it to what is that merchant's.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from service.enrolment import accounts
from service.operators import terminal_health
from service.operators.records import AttemptRecord
from wire import envelope
from wire.denial import Denial
from wire.ids import AccountId, AttemptId, MerchantId, TerminalId
from wire.messages import Completion, Context, Decision

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
REASONS_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Attempts that were decided in one part of the time shown."""

    at_ms: int
    approved: int
    denied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The last day: by the hour, why attempts were denied, and how long decisions took from the
    challenge on, in milliseconds (half of them less, and 95 % of them less); None without any."""

    spans: tuple[Span, ...]
    denials: tuple[tuple[Denial, int], ...]
    half_ms: float | None
    most_ms: float | None
    silent: tuple[tuple[TerminalId, str, int], ...]

    @property
    def approved(self) -> int:
        return sum(span.approved for span in self.spans)

    @property
    def denied(self) -> int:
        return sum(span.denied for span in self.spans)


_OF_MERCHANT = """(%(merchant)s::bytea IS NULL OR terminal_id IN
    (SELECT terminal_id FROM terminals WHERE merchant_id = %(merchant)s))"""


def today(conn: Connection[Row], *, merchant: MerchantId | None, now_ms: int) -> Today:
    end = now_ms // HOUR_MS * HOUR_MS + HOUR_MS
    wanted = {"merchant": merchant.raw if merchant else None, "from": end - DAY_MS, "now": now_ms}
    counted = conn.execute(
        f"""SELECT decided_at_ms / {HOUR_MS}, count(*) FILTER (WHERE denial IS NULL),
        count(*) FILTER (WHERE denial IS NOT NULL) FROM attempts
        WHERE decided_at_ms >= %(from)s AND {_OF_MERCHANT} GROUP BY 1""",  # noqa: S608
        wanted,
    ).fetchall()
    by_hour = {hour: (approved, denied) for hour, approved, denied in counted}
    spans = []
    for at_ms in range(end - DAY_MS, end, HOUR_MS):
        approved, denied = by_hour.get(at_ms // HOUR_MS, (0, 0))
        spans.append(Span(at_ms=at_ms, approved=approved, denied=denied))
    denials = conn.execute(
        f"""SELECT denial, count(*) FROM attempts WHERE decided_at_ms >= %(from)s
        AND denial IS NOT NULL AND {_OF_MERCHANT}
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {REASONS_SHOWN}""",  # noqa: S608
        wanted,
    ).fetchall()
    took = conn.execute(
        f"""SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP
            (ORDER BY decided_at_ms - issued_at_ms)
        FROM challenges JOIN attempts a ON a.attempt_id = consumed_by
        WHERE decided_at_ms >= %(from)s
        AND {_OF_MERCHANT.replace("terminal_id IN", "a.terminal_id IN")}""",  # noqa: S608
        wanted,
    ).fetchone()
    half_ms, most_ms = took[0] if took and took[0] else (None, None)
    return Today(
        spans=tuple(spans),
        denials=tuple((Denial(text), number) for text, number in denials),
        half_ms=half_ms,
        most_ms=most_ms,
        silent=tuple(
            terminal_health.list_silent(
                conn, merchant=merchant, from_ms=end - DAY_MS, now_ms=now_ms
            )
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt whole. ``position`` is its leaf's in the log, None until a checkpoint covers
    it; ``issued_at_ms`` is None once the challenge is forgotten, a day after its end."""

    record: AttemptRecord
    context: Context
    terminal_name: str
    completion: Completion | None
    confirmed_at_ms: int | None
    issued_at_ms: int | None
    policy_version: int | None
    level: int | None
    position: int | None
    covered: bool
    leaf: bytes


def find_attempt(
    conn: Connection[Row], attempt: AttemptId, *, merchant: MerchantId | None
) -> Attempt | None:
    row = conn.execute(
        f"""SELECT decided_at_ms, attempt_id, terminal_id, purpose, denial, account_id, leaf_hash,
        decision, name, completion, confirmed_at_ms, issued_at_ms, policy_version, level,
        position, position < (SELECT coalesce(max(size), 0) FROM audit_checkpoints), leaf
        FROM attempts JOIN terminals USING (terminal_id) JOIN audit_entries USING (leaf_hash)
        LEFT JOIN LATERAL (SELECT issued_at_ms, policy_version, level FROM challenges
            WHERE consumed_by = attempt_id LIMIT 1) asked ON true
        WHERE attempt_id = %(attempt)s AND {_OF_MERCHANT}""",  # noqa: S608
        {"attempt": attempt.raw, "merchant": merchant.raw if merchant else None},
    ).fetchone()
    if row is None:
        return None
    return Attempt(
        record=AttemptRecord.of_row(row[:7]),
        context=envelope.parse(bytes(row[7]), Decision).message.context,
        terminal_name=row[8],
        completion=Completion(row[9]) if row[9] else None,
        confirmed_at_ms=row[10],
        issued_at_ms=row[11],
        policy_version=row[12],
        level=row[13],
        position=row[14],
        covered=bool(row[15]),
        leaf=bytes(row[16]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What an account agreed to, and which references it has: (model, version, made). ``paused``:
    suspended by the customer; ``erasure`` is the leaf hash of the entry that proves it."""

    consent_version: str | None
    consented_at_ms: int | None
    holder_mode: bool
    has_pin: bool
    failures: int
    claims: int
    paused: bool
    erasure: str | None
    references: tuple[tuple[str, int, int], ...]


def find_consent(conn: Connection[Row], account: AccountId) -> Consent | None:
    row = conn.execute(
        """SELECT consent_version, consented_at_ms, holder_mode, pin_hash IS NOT NULL, failures,
        (SELECT count(*) FROM claims c WHERE c.account_id = a.account_id), paused, erasure
        FROM accounts a WHERE account_id = %s""",
        (account.raw,),
    ).fetchone()
    if row is None:
        return None
    return Consent(
        consent_version=row[0],
        consented_at_ms=row[1],
        holder_mode=row[2],
        has_pin=row[3],
        failures=row[4],
        claims=row[5],
        paused=row[6],
        erasure=bytes(row[7]).hex() if row[7] else None,
        references=accounts.list_references(conn, account),
    )


def last_contexts(conn: Connection[Row], *, limit: int) -> list[tuple[Context, bool]]:
    """What the newest attempts were for, and whether they were approved."""
    rows = conn.execute(
        """SELECT decision, denial IS NULL FROM attempts
        ORDER BY decided_at_ms DESC, attempt_id DESC LIMIT %s""",
        (limit,),
    ).fetchall()
    return [
        (envelope.parse(bytes(raw), Decision).message.context, approved) for raw, approved in rows
    ]
