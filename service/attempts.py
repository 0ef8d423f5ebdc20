"""Attempts in PostgreSQL: each has one decision for ever, and one completion if it was approved."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from wire.denial import Denial
from wire.ids import AccountId, AttemptId, TerminalId
from wire.messages import Completion, Confirmation, Decision, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAttempt:
    """``decision`` is the signed bytes, as they were answered."""

    evidence_digest: bytes
    decision: bytes


def find(conn: Connection[Row], attempt: AttemptId) -> StoredAttempt | None:
    row = conn.execute(
        "SELECT evidence_digest, decision FROM attempts WHERE attempt_id = %s", (attempt.raw,)
    ).fetchone()
    if row is None:
        return None
    return StoredAttempt(evidence_digest=bytes(row[0]), decision=bytes(row[1]))


def store(
    conn: Connection[Row],
    evidence: Evidence,
    decision: Decision,
    signed: bytes,
    *,
    account: AccountId | None,
    denial: Denial | None,
) -> None:
    conn.execute(
        """INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest,
        account_id, denial, decision, leaf_hash, decided_at_ms, expires_at_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            evidence.attempt.raw,
            evidence.terminal.raw,
            int(evidence.purpose),
            decision.evidence_digest,
            account.raw if account else None,
            denial,
            signed,
            decision.leaf_hash,
            decision.decided_at_ms,
            decision.expires_at_ms,
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
        "UPDATE attempts SET completion = %s, confirmed_at_ms = %s WHERE attempt_id = %s",
        (int(confirmation.completion), now_ms, confirmation.attempt.raw),
    )
