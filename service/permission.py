"""What a verified person may do: pay, draw cash, enter; each domain refuses by its own rules."""

from __future__ import annotations

from psycopg import Connection

from service.access import store as access
from service.db import Row
from service.ledger import store as ledger
from service.stages import Denied, Permitted, Verified
from wire.denial import Denial
from wire.ids import AccountId, EntryId, TransferId
from wire.messages import EntryContext, Evidence, PaymentContext, WithdrawalContext


def permit(conn: Connection[Row], verified: Verified, now_ms: int) -> Permitted | Denied:
    """Moves or reserves the money, or commands the door, where limits and schedule allow it."""
    account = verified.claimed.account.account
    challenged = verified.claimed.live.opened.challenged
    evidence, policy = challenged.evidence, challenged.policy
    transfer, lives_ms = TransferId(evidence.attempt.raw), policy.challenge_ttl_ms
    context = evidence.context
    if isinstance(context, PaymentContext):
        denial = ledger.pay(
            conn,
            transfer=transfer,
            account=account,
            merchant=context.payee,
            money=context.money,
            now_ms=now_ms,
            terminal=evidence.terminal,
            limits=policy.limits_for(context),
        )
    elif isinstance(context, WithdrawalContext):
        lives_ms = policy.hold_ttl_ms // 2
        denial = ledger.hold(
            conn,
            transfer=transfer,
            account=account,
            terminal=evidence.terminal,
            money=context.money,
            now_ms=now_ms,
            expires_at_ms=now_ms + policy.hold_ttl_ms,
            limits=policy.limits_for(context),
        )
    elif isinstance(context, EntryContext):
        denial = _enter(conn, account, evidence, context, now_ms)
    else:
        raise RuntimeError("an enrolment is not permitted here")
    if denial is not None:
        return Denied(denial, account)
    return Permitted(account, evidence.attempt.raw, lives_ms)


def _enter(
    conn: Connection[Row],
    account: AccountId,
    evidence: Evidence,
    context: EntryContext,
    now_ms: int,
) -> Denial | None:
    denial = access.refuse(conn, account=account, door=context.door, at_ms=now_ms)
    if denial is None:
        access.command_entry(
            conn,
            EntryId(evidence.attempt.raw),
            account=account,
            door=context.door,
            direction=context.direction,
            at_ms=now_ms,
        )
    return denial
