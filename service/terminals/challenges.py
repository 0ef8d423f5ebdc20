"""Challenges in PostgreSQL: each is consumed by one attempt at the most."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from psycopg import Connection, Cursor

from service.db import Row
from wire import codec
from wire.denial import Denial
from wire.ids import ChallengeId
from wire.messages import (
    CONTEXT,
    AnyEvidence,
    Challenge,
    Evidence,
    Factor,
    Level,
    LivenessPlan,
)

EXPIRE_BATCH_MAX = 10_000
KEPT_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedChallenge:
    """What the service remembers of a challenge."""

    plan: LivenessPlan
    level: Level
    factor: Factor
    policy_version: int
    issued_at_ms: int


def store_challenge(
    conn: Connection[Row], challenge: Challenge, *, policy_version: int, now_ms: int
) -> None:
    conn.execute(
        """INSERT INTO challenges (challenge_id, nonce, terminal_id, context, plan, level,
        pin_required, policy_version, issued_at_ms, expires_at_ms, face)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            challenge.challenge.raw,
            challenge.nonce,
            challenge.terminal.raw,
            codec.encode(CONTEXT.write(challenge.context)),
            challenge.plan.encode(),
            int(challenge.level),
            challenge.pin_required,
            policy_version,
            now_ms,
            challenge.expires_at_ms,
            challenge.factor.has_face,
        ),
    )


def lock(conn: Connection[Row], challenge: ChallengeId) -> Cursor[Row]:
    """Asks for a challenge, and keeps others from it until the transaction ends."""
    return conn.execute(
        """SELECT nonce, terminal_id, context, plan, level, pin_required, policy_version,
        issued_at_ms, expires_at_ms, face, consumed_by FROM challenges WHERE challenge_id = %s
        FOR UPDATE""",
        (challenge.raw,),
    )


def consume(
    conn: Connection[Row], locked: Cursor[Row], evidence: AnyEvidence, *, now_ms: int
) -> IssuedChallenge | Denial:
    """Takes the evidence's challenge, which :func:`lock` asked for, or says why not.

    A challenge is used up by an attempt that is then denied, too.
    """
    row = locked.fetchone()
    if row is None:
        return Denial.CHALLENGE_UNKNOWN
    nonce, terminal, context, plan, level, pin, policy, issued_at_ms, expires_at_ms, face, used = (
        row
    )
    if terminal != evidence.terminal.raw or not compare_digest(nonce, evidence.nonce):
        return Denial.CHALLENGE_FOREIGN
    if used is not None:
        return Denial.CHALLENGE_REUSED
    conn.execute(
        "UPDATE challenges SET consumed_by = %s WHERE challenge_id = %s",
        (evidence.attempt.raw, evidence.challenge.raw),
    )
    if now_ms >= expires_at_ms:
        return Denial.CHALLENGE_EXPIRED
    if context != codec.encode(CONTEXT.write(evidence.context)):
        return Denial.CONTEXT_CHANGED
    if face != isinstance(evidence, Evidence):
        return Denial.FACTOR_CHANGED
    return IssuedChallenge(
        plan=LivenessPlan.decode(plan),
        level=Level(level),
        factor=Factor.CARD_PIN if not face else Factor.FACE_PIN if pin else Factor.FACE,
        policy_version=policy,
        issued_at_ms=issued_at_ms,
    )


def expire(conn: Connection[Row], *, now_ms: int) -> int:
    """Deletes challenges a day after their end, at most a batch; returns how many."""
    done = conn.execute(
        """DELETE FROM challenges WHERE challenge_id IN (SELECT challenge_id FROM challenges
        WHERE expires_at_ms < %s LIMIT %s FOR UPDATE SKIP LOCKED)""",
        (now_ms - KEPT_MS, EXPIRE_BATCH_MAX),
    )
    return done.rowcount
