"""What is asked of processors: for a decision, and afterwards until both sides agree.

An attempt on outside money is decided in two transactions, with the processor asked in between.
The first has verified the person and reserved a pending transfer (:mod:`service.authorize`);
:meth:`Settlement.decide` is the rest. :meth:`Settlement.settle` brings the processor's side after
the ledger's, and ends what was cut off.

Guarantees: no transaction is open while a processor is asked. One process at a time speaks about
a transfer, under a lease that outlasts every call; a process whose lease ran out changes nothing.
An approval is committed together with the posted or still pending transfer, and only where the
processor said that it holds the money. Whatever the processor may hold of a transfer that did not
come to be is released, asked again for as long as it takes.

The caller must answer 503 to :class:`service.errors.Unavailable`, whereupon the terminal asks
again with the same bytes, and call :meth:`Settlement.settle` for what is due.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from psycopg import Connection

from service import attempts, decisions, reservations
from service.clock import Clock
from service.db import Database, Row
from service.decisions import Decided
from service.enrolment import accounts
from service.errors import Unavailable
from service.funding.processor import (
    Answer,
    NoAnswer,
    Order,
    Processor,
    ProcessorName,
    Processors,
    Refusal,
    Side,
    Source,
)
from service.funding.rules import Act, next_act
from service.funding.sources import open_source
from service.intents import pay_intent, take_intent
from service.keys import KeyRing
from service.ledger import sources
from service.ledger import store as ledger
from service.ledger.rules import TransferKind
from service.ledger.sources import Entry
from service.stages import Denied, Permitted, Reserved
from service.terminals import store as terminals
from wire.denial import Denial
from wire.envelope import Signed
from wire.ids import AttemptId, TransferId
from wire.messages import Decision, PaymentContext, Purpose

LEASE_MS = 30_000
PAUSE_MS = 5_000
PAUSE_MS_MAX = 3_600_000
UNHEARD = Answer(side=Side.ASKED, refusal=Refusal.UNAVAILABLE)
_PURPOSES = {TransferKind.PAYMENT: Purpose.PAYMENT, TransferKind.WITHDRAWAL: Purpose.WITHDRAWAL}
_DENIALS = {
    Refusal.INSUFFICIENT_FUNDS: Denial.INSUFFICIENT_FUNDS,
    Refusal.UNAVAILABLE: Denial.FUNDING_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A transfer that this process alone may speak about, until its lease runs out."""

    lease: int
    entry: Entry
    order: Order
    source: Source | None = field(repr=False)
    processor: Processor | None
    of: Entry | None


@dataclass(frozen=True, slots=True)
class Settlement:
    database: Database
    keys: KeyRing
    processors: Processors
    clock: Clock

    def decide(self, reserved: Reserved) -> Decided:
        """(10), (11): asks the processor, and signs what follows from its answer.

        Raises :class:`Unavailable` where it is not known yet.
        """
        transfer = TransferId(reserved.tried.attempt.raw)
        with self.database.transaction() as conn:
            talk = self._begin(conn, transfer)
            if talk is None:
                raise Unavailable("the processor is being asked")
            decision = _decision(conn, transfer)
            if decision is not None:
                sources.postpone(conn, transfer, talk.lease, due_at_ms=self.clock())
                return decision
        answer = self._authorize(talk)
        with self.database.transaction() as conn:
            return self._conclude(conn, reserved, talk, answer)

    def settle(self, transfer: TransferId) -> None:
        """Does what is due for one transfer; may be called at any time, by anybody."""
        with self.database.transaction() as conn:
            talk = self._begin(conn, transfer)
            if talk is None:
                return
            reserved = reservations.find(conn, AttemptId(transfer.raw))
            if reserved is not None and _decision(conn, transfer) is None:
                # Whoever was to come back did not: it is denied, and undone at the next call.
                self._conclude(conn, reserved, talk, UNHEARD)
                return
        self._follow(talk)

    def _begin(self, conn: Connection[Row], transfer: TransferId) -> Talk | None:
        """None where another process speaks about it."""
        lease = sources.lease(conn, transfer, now_ms=self.clock(), for_ms=LEASE_MS)
        entry = sources.find_entry(conn, transfer) if lease is not None else None
        if lease is None or entry is None:
            return None
        of = sources.find_entry(conn, entry.refers_to) if entry.refers_to else None
        return Talk(
            lease=lease,
            entry=entry,
            order=_order(entry, of),
            source=self._source(conn, entry),
            processor=self.processors.get(ProcessorName(entry.processor)),
            of=of,
        )

    def _source(self, conn: Connection[Row], entry: Entry) -> Source | None:
        stored = sources.find_source(conn, entry.account)
        wrapped = accounts.lock_key(conn, entry.account)
        data_key = self.keys.unwrap(wrapped, entry.account) if wrapped else None
        if stored is None or data_key is None or stored.processor != entry.processor:
            return None
        return open_source(stored.sealed, ProcessorName(entry.processor), entry.account, data_key)

    def _authorize(self, talk: Talk) -> Answer:
        """An answer in every case but one: of a repeatable order it may be found out later."""
        processor, order, source = talk.processor, talk.order, talk.source
        late = order.asked_at_ms + sources.RESERVED_MS <= self.clock()
        if processor is None or source is None or late:
            return UNHEARD
        try:
            if order.again and not processor.repeatable:
                return UNHEARD
            if order.again:
                found = processor.query(order, source)
                if found.side is not Side.ASKED:
                    return found
            return processor.authorize(order, source)
        except NoAnswer:
            if not processor.repeatable:
                return UNHEARD
            with self.database.transaction() as conn:
                due_at_ms = order.asked_at_ms + sources.RESERVED_MS
                sources.postpone(conn, order.transfer, talk.lease, due_at_ms=due_at_ms)
            raise

    def _conclude(
        self, conn: Connection[Row], reserved: Reserved, talk: Talk, answer: Answer
    ) -> Signed[Decision]:
        now_ms = self.clock()
        over = answer.side in (Side.DECLINED, Side.RELEASED)
        self._record(conn, talk, answer, due_at_ms=None if over else now_ms)
        denial = _close(conn, reserved, answer, now_ms)
        permitted = reserved.permitted
        verdict: Permitted | Denied = permitted
        if denial is not None:
            verdict = Denied(denial, permitted.account, permitted.enrolled_model)
        return decisions.record(conn, self.keys.signing, reserved.tried, verdict, now_ms=now_ms)

    def _follow(self, talk: Talk) -> None:
        entry, act = talk.entry, _act(talk.entry)
        if act is Act.QUERY and talk.processor is not None and not talk.processor.repeatable:
            act = Act.NOTHING
        try:
            answer = _carry_out(act, talk)
        except NoAnswer:
            act, answer = Act.WAIT, None
        now_ms = self.clock()
        with self.database.transaction() as conn:
            if answer is None:
                due_at_ms = None if act is Act.NOTHING else now_ms + _pause_ms(entry.tries)
                sources.postpone(conn, entry.transfer, talk.lease, due_at_ms=due_at_ms)
                return
            after = replace(
                entry, side=answer.side, confirmed_minor=answer.confirmed_minor, told=True
            )
            more = _act(after) is not Act.NOTHING
            self._record(conn, talk, answer, due_at_ms=now_ms + PAUSE_MS if more else None)

    def _record(
        self, conn: Connection[Row], talk: Talk, answer: Answer, *, due_at_ms: int | None
    ) -> None:
        done = sources.record(
            conn,
            talk.order.transfer,
            talk.lease,
            side=answer.side,
            reference=answer.reference,
            confirmed_minor=answer.confirmed_minor,
            refusal=answer.refusal,
            due_at_ms=due_at_ms,
            now_ms=self.clock(),
        )
        if not done:
            raise Unavailable("the processor was asked for longer than the lease")


def _decision(conn: Connection[Row], transfer: TransferId) -> bytes | None:
    found = attempts.find(conn, AttemptId(transfer.raw))()
    return found.decision if found else None


def _order(entry: Entry, of: Entry | None) -> Order:
    return Order(
        transfer=entry.transfer,
        purpose=_PURPOSES[of.kind if of else entry.kind],
        money=entry.money,
        payee=entry.payee,
        asked_at_ms=entry.asked_at_ms,
        trace=entry.trace,
        reference=entry.reference,
        of=_order(of, None) if of else None,
        again=entry.tries > 1,
    )


def _act(entry: Entry) -> Act:
    return next_act(
        state=entry.state,
        refund=entry.kind is TransferKind.REFUND,
        posted_minor=entry.posted_minor,
        side=Side(entry.side),
        confirmed_minor=entry.confirmed_minor,
        told=entry.told,
    )


def _carry_out(act: Act, talk: Talk) -> Answer | None:
    """None where there is nothing to do, or must be waited: a refund, for what it gives back."""
    processor, order, source = talk.processor, talk.order, talk.source
    if processor is None or act in (Act.NOTHING, Act.WAIT):
        return None
    if act is Act.CAPTURE:
        return processor.capture(order, source, talk.entry.posted_minor)
    if act is Act.VOID:
        return processor.void(order, source)
    if act is Act.QUERY:
        return processor.query(order, source)
    if talk.of is not None and Side(talk.of.side) is Side.AUTHORIZED:
        return None
    return processor.refund(order, source)


def _close(conn: Connection[Row], reserved: Reserved, answer: Answer, now_ms: int) -> Denial | None:
    """Brings the pending transfer where the answer says; what it is denied for, if it is."""
    transfer = TransferId(reserved.tried.attempt.raw)
    if answer.side.approved:
        denial = _approve(conn, reserved, now_ms)
        if denial is not None:
            ledger.release(conn, transfer, now_ms=now_ms)
        return denial
    ledger.release(conn, transfer, now_ms=now_ms)
    if answer.refusal is None:
        return Denial.FUNDING_UNAVAILABLE
    return _DENIALS.get(answer.refusal, Denial.FUNDING_DECLINED)


def _approve(conn: Connection[Row], reserved: Reserved, now_ms: int) -> Denial | None:
    """Posts or keeps what is pending, and pays the intent, if both are still to be had."""
    tried, intent = reserved.tried, None
    if isinstance(tried.context, PaymentContext):
        terminal = terminals.find(conn, tried.terminal)
        if terminal is None:
            raise RuntimeError("an attempt of no terminal")
        taken = take_intent(conn, tried.context, terminal, now_ms=now_ms)
        if isinstance(taken, Denial):
            return taken
        intent = taken
    close = ledger.post if reserved.posts else ledger.keep
    if close(conn, TransferId(tried.attempt.raw), now_ms=now_ms) is not None:
        return Denial.FUNDING_UNAVAILABLE
    if intent is not None:
        pay_intent(conn, intent, tried.attempt, now_ms=now_ms)
    return None


def _pause_ms(tries: int) -> int:
    return int(min(PAUSE_MS * 2 ** min(tries, 12), PAUSE_MS_MAX))
