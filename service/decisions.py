"""A decision as it is kept: leaf, signed bytes and attempt, in the caller's transaction."""

from __future__ import annotations

from psycopg import Connection

from service import attempts
from service.audit import log
from service.audit.leaf import DecisionLeaf
from service.db import Row
from service.stages import Denied, Permitted, Tried
from wire import envelope
from wire.envelope import Signed, SigningKey
from wire.messages import Decision, Outcome

Decided = Signed[Decision] | bytes
"""A decision that was made now, or the bytes of one that was made before."""


def record(
    conn: Connection[Row],
    signing: SigningKey,
    tried: Tried,
    verdict: Permitted | Denied,
    *,
    now_ms: int,
) -> Signed[Decision]:
    """(10) the leaf and the attempt, (11) signed: the bytes to answer, now and for ever."""
    denial = verdict.denial if isinstance(verdict, Denied) else None
    outcome = Outcome.APPROVED if isinstance(verdict, Permitted) else Outcome.DENIED
    leaf = DecisionLeaf(
        at_ms=now_ms,
        attempt=tried.attempt,
        terminal=tried.terminal,
        context=tried.context,
        evidence_digest=tried.evidence_digest,
        policy_version=tried.policy_version,
        outcome=outcome,
        denial=denial,
        account=verdict.account,
        enrolled_model=verdict.enrolled_model,
        factor=tried.factor,
        companion=verdict.companion if isinstance(verdict, Permitted) else None,
    )
    decision = Decision(
        attempt=tried.attempt,
        evidence_digest=tried.evidence_digest,
        context=tried.context,
        outcome=outcome,
        reason=denial.reason if denial else None,
        result=verdict.result if isinstance(verdict, Permitted) else None,
        decided_at_ms=now_ms,
        expires_at_ms=now_ms + (verdict.lives_ms if isinstance(verdict, Permitted) else 0),
        leaf_hash=log.append(conn, leaf.encode()),  # (10)
        factor=tried.factor,
    )
    signed = envelope.sign(decision, signing)  # (11)
    attempts.store(conn, tried, decision, signed.raw, account=verdict.account, denial=denial)
    return signed
