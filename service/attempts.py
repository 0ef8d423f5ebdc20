"""Attempts in PostgreSQL: each has one decision for ever, and one completion if it was approved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from service.stages import Tried
from wire.denial import Denial
from wire.ids import AccountId, AttemptId, TerminalId
from wire.messages import Completion, Confirmation, Decision, purpose_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttempt:
    """``decision`` is the signed bytes, as they were answered; None while the money is reserved
    and its processor has not been heard.
    """

    evidence_digest: bytes
    decision: bytes | None


def find(conn: Connection[Row], attempt: AttemptId) -> Callable[[], StoredAttempt | None]:
    asked = conn.execute(
        """SELECT evidence_digest, decision FROM attempts WHERE attempt_id = %s
        UNION ALL SELECT evidence_digest, NULL FROM reservations WHERE attempt_id = %s
        ORDER BY 2 NULLS LAST LIMIT 1""",
        (attempt.raw, attempt.raw),
    )

    def answer() -> StoredAttempt | None:
        row = asked.fetchone()
        return StoredAttempt(evidence_digest=row[0], decision=row[1]) if row else None

    return answer


def store(
    conn: Connection[Row],
    tried: Tried,
    decision: Decision,
    signed: bytes,
    *,
    account: AccountId | None,
    denial: Denial | None,
) -> None:
    conn.execute(
        """INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest,
        account_id, denial, decision, leaf_hash, decided_at_ms, expires_at_ms,
        factor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            tried.attempt.raw,
            tried.terminal.raw,
            int(purpose_of(tried.context)),
            decision.evidence_digest,
            account.raw if account else None,
            denial,
            signed,
            decision.leaf_hash,
            decision.decided_at_ms,
            decision.expires_at_ms,
            tried.factor,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """``completion`` is None until the terminal has said what it did."""

    completion: Completion | None


def lock_approved(
    conn: Connection[Row], attempt: AttemptId, terminal: TerminalId
) -> Approval | None:
    """An approved attempt of this terminal, until the transaction ends."""
    row = conn.execute(
        """SELECT completion FROM attempts WHERE attempt_id = %s
        AND terminal_id = %s AND denial IS NULL FOR UPDATE""",
        (attempt.raw, terminal.raw),
    ).fetchone()
    if row is None:
        return None
    return Approval(completion=Completion(row[0]) if row[0] else None)


def complete(conn: Connection[Row], confirmation: Confirmation, *, now_ms: int) -> None:
    conn.execute(
        """UPDATE attempts SET completion = %s, confirmed_at_ms = %s,
        completed_minor = CASE WHEN purpose = 2 THEN %s::bigint END WHERE attempt_id = %s""",
        (
            int(confirmation.completion),
            now_ms,
            confirmation.amount_minor,
            confirmation.attempt.raw,
        ),
    )
