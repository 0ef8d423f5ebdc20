"""Verified attempts whose money is at a processor, in PostgreSQL: all that their decision needs.

Guarantee: a reservation never changes and has its transfer, made in the same transaction; nothing
of face, claim or PIN is in it.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.stages import Permitted, Reserved, Tried
from wire import codec
from wire.ids import AccountId, AttemptId, TerminalId
from wire.messages import CONTEXT, Factor


def store(conn: Connection[Row], reserved: Reserved, *, now_ms: int) -> None:
    tried, permitted = reserved.tried, reserved.permitted
    conn.execute(
        """INSERT INTO reservations (attempt_id, terminal_id, account_id, evidence_digest, context,
        policy_version, factor, lives_ms, enrolled_model, posts, reserved_at_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            tried.attempt.raw,
            tried.terminal.raw,
            permitted.account.raw,
            tried.evidence_digest,
            codec.encode(CONTEXT.write(tried.context)),
            tried.policy_version,
            int(tried.factor),
            permitted.lives_ms,
            permitted.enrolled_model,
            reserved.posts,
            now_ms,
        ),
    )


def find(conn: Connection[Row], attempt: AttemptId) -> Reserved | None:
    row = conn.execute(
        """SELECT terminal_id, account_id, evidence_digest, context, policy_version, factor,
        lives_ms, enrolled_model, posts FROM reservations WHERE attempt_id = %s""",
        (attempt.raw,),
    ).fetchone()
    if row is None:
        return None
    terminal, account, digest, context, policy, factor, lives_ms, enrolled_model, posts = row
    return Reserved(
        Tried(
            attempt=attempt,
            terminal=TerminalId(terminal),
            context=CONTEXT.read(codec.decode(context)),
            evidence_digest=digest,
            policy_version=policy,
            factor=Factor(factor),
        ),
        Permitted(AccountId(account), attempt.raw, lives_ms, enrolled_model),
        posts,
    )
