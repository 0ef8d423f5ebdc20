"""Policies that wait for a second operator: whoever proposes one does not approve it.

Guarantee: a proposal that was made against an older policy than the one in force is refused,
so that no approval undoes a change that nobody looked at. The database refuses an approval by
the proposer, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.operators.people import OperatorId
from service.verification.policy import Policy
from wire.ids import Id


class ProposalId(Id):
    PREFIX = "pol"
    __slots__ = ()


class Refusal(StrEnum):
    """In order of precedence."""

    UNKNOWN = "unknown"
    DECIDED = "decided"
    SAME_OPERATOR = "same_operator"
    OUTDATED = "outdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """``version`` is set once it was approved; ``decided_by`` alone: turned down."""

    proposal: ProposalId
    policy: Policy
    base_version: int
    reason: str
    proposed_by: OperatorId
    proposed_at_ms: int
    decided_by: OperatorId | None = None
    decided_at_ms: int | None = None
    version: int | None = None


_PROPOSAL = """SELECT proposal_id, document, base_version, reason, proposed_by, proposed_at_ms,
    decided_by, decided_at_ms, version FROM policy_proposals """


def _proposal(row: Row) -> Proposal:
    raw, document, base, reason, proposed_by, proposed_at_ms, decided_by, decided_at_ms, version = (
        row
    )
    return Proposal(
        proposal=ProposalId(raw),
        policy=Policy.from_document(document),
        base_version=base,
        reason=reason,
        proposed_by=OperatorId(proposed_by),
        proposed_at_ms=proposed_at_ms,
        decided_by=OperatorId(decided_by) if decided_by else None,
        decided_at_ms=decided_at_ms,
        version=version,
    )


def add(conn: Connection[Row], proposal: Proposal) -> None:
    conn.execute(
        """INSERT INTO policy_proposals (proposal_id, document, base_version, reason, proposed_by,
        proposed_at_ms) VALUES (%s, %s, %s, %s, %s, %s)""",
        (
            proposal.proposal.raw,
            proposal.policy.to_document(),
            proposal.base_version,
            proposal.reason,
            proposal.proposed_by.raw,
            proposal.proposed_at_ms,
        ),
    )


def find(conn: Connection[Row], proposal: ProposalId) -> Proposal | None:
    row = conn.execute(_PROPOSAL + "WHERE proposal_id = %s", (proposal.raw,)).fetchone()
    return _proposal(row) if row else None


def lock(conn: Connection[Row], proposal: ProposalId) -> Proposal | None:
    """Until the transaction ends nobody else decides it."""
    row = conn.execute(_PROPOSAL + "WHERE proposal_id = %s FOR UPDATE", (proposal.raw,)).fetchone()
    return _proposal(row) if row else None


def newest(conn: Connection[Row], *, limit: int) -> list[Proposal]:
    rows = conn.execute(
        _PROPOSAL + "ORDER BY proposed_at_ms DESC, proposal_id LIMIT %s", (limit,)
    ).fetchall()
    return [_proposal(row) for row in rows]


def refuse(
    conn: Connection[Row], found: Proposal | None, *, by: OperatorId, approve: bool
) -> Refusal | None:
    """Why it is not decided so; turning down one's own is allowed."""
    if found is None:
        return Refusal.UNKNOWN
    if found.decided_by is not None:
        return Refusal.DECIDED
    if not approve:
        return None
    if found.proposed_by == by:
        return Refusal.SAME_OPERATOR
    conn.execute("LOCK TABLE policies IN SHARE ROW EXCLUSIVE MODE")
    row = conn.execute("SELECT coalesce(max(version), 0) FROM policies").fetchone()
    if row is None or row[0] != found.base_version:
        return Refusal.OUTDATED
    return None


def close(
    conn: Connection[Row],
    proposal: ProposalId,
    *,
    by: OperatorId,
    version: int | None,
    now_ms: int,
) -> None:
    conn.execute(
        """UPDATE policy_proposals SET decided_by = %s, decided_at_ms = %s, version = %s
        WHERE proposal_id = %s""",
        (by.raw, now_ms, version, proposal.raw),
    )
