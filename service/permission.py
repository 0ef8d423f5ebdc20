"""What a verified person may do: pay, draw cash, enter; each domain refuses by its own rules.

Guarantee: what outside money pays is :class:`Reserved`, never permitted here: its processor has
not been asked.
"""

from __future__ import annotations

from psycopg import Connection

from service.access import store as access
from service.alarms import Alarm, AlarmKind, raise_alarm
from service.db import Row
from service.funding.processor import PURPOSES, ProcessorName
from service.intents import pay_intent, take_intent
from service.ledger import store as ledger
from service.ledger.rules import AccountKind
from service.ledger.sources import RESERVED_MS
from service.payments.rules import Intent
from service.stages import CardVerified, Denied, Permitted, Reserved, Verified
from wire.denial import Denial
from wire.ids import AccountId, EntryId, TransferId
from wire.messages import AnyEvidence, EntryContext, PaymentContext, WithdrawalContext


def permit(
    conn: Connection[Row], verified: Verified | CardVerified, now_ms: int
) -> Permitted | Reserved | Denied:
    """Moves or reserves the money, or commands the door, where limits and schedule allow it."""
    account, payer = verified.account, _payer(verified)
    challenged = verified.challenged
    evidence, policy = challenged.evidence, challenged.policy
    transfer, lives_ms = TransferId(evidence.attempt.raw), policy.challenge_ttl_ms
    context, posts = evidence.context, False
    if verified.duress:
        _call_for_help(conn, AlarmKind.DURESS, account, evidence, now_ms)
    if isinstance(context, PaymentContext):
        terminal = challenged.authenticated.terminal
        taken = take_intent(conn, context, terminal, now_ms=now_ms)
        if isinstance(taken, Denial):
            return Denied(taken, account)
        posts = taken is None or taken.hold_ms is None
        denial = _pay(conn, verified, context, taken, payer, now_ms)
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
            payer=payer,
        )
    elif isinstance(context, EntryContext):
        return _enter(conn, account, evidence, context, now_ms, lives_ms)
    else:
        raise RuntimeError("an enrolment is not permitted here")
    if denial is not None:
        return Denied(denial, account)
    permitted = Permitted(account, evidence.attempt.raw, lives_ms)
    if payer is AccountKind.SOURCE:
        return Reserved(challenged.tried, permitted, posts=posts)
    return permitted


def _payer(verified: Verified | CardVerified) -> AccountKind:
    """The account's wallet, or its source where that one's processor does such things."""
    processor = verified.claimed.account.processor
    purpose = verified.challenged.evidence.purpose
    if processor is not None and purpose in PURPOSES[ProcessorName(processor)]:
        return AccountKind.SOURCE
    return AccountKind.WALLET


def _pay(
    conn: Connection[Row],
    verified: Verified | CardVerified,
    context: PaymentContext,
    intent: Intent | None,
    payer: AccountKind,
    now_ms: int,
) -> Denial | None:
    """Moves the money, or holds it: where the intent is to be captured by hand, and where a
    processor must be asked. An intent is paid by a wallet now, by a source when that was heard.
    """
    challenged = verified.challenged
    evidence = challenged.evidence
    lives_ms = intent.hold_ms if intent is not None else None
    if payer is AccountKind.SOURCE:
        lives_ms = lives_ms or RESERVED_MS
    denial = ledger.pay(
        conn,
        transfer=TransferId(evidence.attempt.raw),
        account=verified.account,
        merchant=context.payee,
        money=context.money,
        now_ms=now_ms,
        lives_ms=lives_ms,
        terminal=evidence.terminal,
        limits=challenged.policy.limits_for(context),
        payer=payer,
    )
    if denial is None and intent is not None and payer is AccountKind.WALLET:
        pay_intent(conn, intent, evidence.attempt, now_ms=now_ms)
    return denial


def _enter(
    conn: Connection[Row],
    account: AccountId,
    evidence: AnyEvidence,
    context: EntryContext,
    now_ms: int,
    lives_ms: int,
) -> Permitted | Denied:
    door, direction = context.door, context.direction
    judged = access.judge(conn, account=account, door=door, direction=direction, at_ms=now_ms)
    denial = judged.verdict.denial
    if denial is Denial.SECOND_PERSON_MISSING:
        access.wait_for_second(conn, account, door, at_ms=now_ms)
    if denial is not None:
        return Denied(denial, account)
    people = [each for each in (account, judged.companion) if each is not None]
    access.command_entry(
        conn,
        EntryId(evidence.attempt.raw),
        people=people,
        door=door,
        direction=direction,
        at_ms=now_ms,
    )
    for rule in judged.verdict.alarms:
        _call_for_help(conn, AlarmKind(rule), account, evidence, now_ms)
    return Permitted(account, evidence.attempt.raw, lives_ms, companion=judged.companion)


def _call_for_help(
    conn: Connection[Row], kind: AlarmKind, account: AccountId, evidence: AnyEvidence, now_ms: int
) -> None:
    """Silently: whatever becomes of the attempt, and nothing of it shows in the answer."""
    context = evidence.context
    alarm = Alarm(
        kind=kind,
        at_ms=now_ms,
        terminal=evidence.terminal,
        door=context.door if isinstance(context, EntryContext) else None,
        attempt=evidence.attempt,
        account=account,
    )
    raise_alarm(conn, alarm)
