"""What merchants' systems do with payments; each act in one transaction with its audit leaf.

Guarantees: an intent is locked before its money is, so acts on one come one after the other;
money, leaf and event commit together; every refusal is a named value, and moved nothing.

The caller must still check that whoever asks may act for the merchant.
"""

from __future__ import annotations

from psycopg import Connection

from service import policies
from service.db import Row
from service.events import announce
from service.ledger import rules as ledger_rules
from service.ledger import store as ledger
from service.ledger.rules import CloseRefusal
from service.operators import records
from service.operators.recorder import Recorder
from service.payments import store as payments
from service.payments.rules import (
    Intent,
    NewIntent,
    Part,
    Refusal,
    State,
    refuse_capture,
    refuse_refund,
    refuse_void,
)
from service.payments.store import Refund
from service.webhooks.outbox import EventKind
from wire.ids import MerchantId, PaymentIntentId, TransferId
from wire.messages import PaymentContext
from wire.money import Money

# What may have become of a hold while its intent was locked.
_CLOSED = {
    CloseRefusal.POSTED: Refusal.PAYMENT_CAPTURED,
    CloseRefusal.VOIDED: Refusal.PAYMENT_VOIDED,
    CloseRefusal.EXPIRED: Refusal.PAYMENT_EXPIRED,
}
# What the ledger may still say of a refund, whose intent allows it.
_NOT_REFUNDED = {
    ledger_rules.Refusal.REFUND_ABOVE_POSTED: Refusal.REFUND_ABOVE_CAPTURED,
    ledger_rules.Refusal.BALANCE_TOO_HIGH: Refusal.LIMIT_EXCEEDED,
    ledger_rules.Refusal.TRANSFER_ID_REUSED: Refusal.TRANSFER_ID_REUSED,
}


class Checkout(Recorder):
    __slots__ = ()

    def create(self, wanted: NewIntent) -> Intent | Refusal:
        intent = PaymentIntentId.new()

        def work(conn: Connection[Row]) -> Intent | Refusal:
            now_ms = self.clock()
            refusal = self._refuse_create(conn, wanted, now_ms)
            if refusal is not None:
                return refusal
            payments.add(conn, intent, wanted, now_ms=now_ms)
            self._record(conn, "payment.create", intent)
            return self._find(conn, intent)

        return self.database.run(work)

    def _refuse_create(
        self, conn: Connection[Row], wanted: NewIntent, now_ms: int
    ) -> Refusal | None:
        merchant = records.find_merchant(conn, wanted.merchant)
        if merchant is None:
            return Refusal.PLACE_UNKNOWN
        if wanted.terminal is not None:
            found = records.find_terminal(conn, wanted.terminal, merchant=wanted.merchant)
            if found is None or found.state == "revoked":
                return Refusal.PLACE_UNKNOWN
        if merchant.currency != wanted.money.currency:
            return Refusal.CURRENCY_MISMATCH
        _, policy = policies.latest(conn, self.keys.signing, now_ms=now_ms)
        context = PaymentContext(
            amount_minor=wanted.money.amount_minor,
            currency=wanted.money.currency,
            payee=wanted.merchant,
            order=wanted.order,
        )
        return Refusal.LIMIT_EXCEEDED if policy.tier_for(context) is None else None

    def capture(
        self, merchant: MerchantId, intent: PaymentIntentId, wanted: Part
    ) -> Intent | Refusal:
        """Takes what was authorized, or a part, and gives back the rest."""

        def work(conn: Connection[Row]) -> Intent | Refusal:
            now_ms = self.clock()
            found = self._lock(conn, merchant, intent)
            refusal = refuse_capture(found, wanted)
            if refusal is not None or found is None:
                return refusal or Refusal.INTENT_UNKNOWN
            closed = ledger.post(
                conn, found.transfer, now_ms=now_ms, amount_minor=wanted.amount_minor
            )
            if closed is not None:
                return _CLOSED[closed]
            amount_minor = wanted.amount_minor or found.amount_minor
            self._record(conn, "payment.capture", intent, amount_minor=amount_minor)
            return announce(conn, intent, EventKind.CAPTURED, now_ms=now_ms)

        return self.database.run(work)

    def void(self, merchant: MerchantId, intent: PaymentIntentId) -> Intent | Refusal:
        """Ends an intent that nobody paid, or gives back what was only authorized."""

        def work(conn: Connection[Row]) -> Intent | Refusal:
            now_ms = self.clock()
            found = self._lock(conn, merchant, intent)
            refusal = refuse_void(found)
            if refusal is not None or found is None:
                return refusal or Refusal.INTENT_UNKNOWN
            if found.state is State.OPEN:
                payments.mark_voided(conn, intent, now_ms=now_ms)
            else:
                closed = ledger.void(conn, found.transfer, now_ms=now_ms)
                if closed is not None:
                    return _CLOSED[closed]
            self._record(conn, "payment.void", intent)
            return announce(conn, intent, EventKind.VOIDED, now_ms=now_ms)

        return self.database.run(work)

    def refund(
        self,
        merchant: MerchantId,
        intent: PaymentIntentId,
        wanted: Part,
        *,
        transfer: TransferId | None = None,
    ) -> Refund | Refusal:
        """Gives back what was captured, or a part, by a transfer of its own."""
        own = transfer or TransferId.new()

        def work(conn: Connection[Row]) -> Refund | Refusal:
            now_ms = self.clock()
            found = self._lock(conn, merchant, intent)
            refusal = refuse_refund(found, wanted)
            if refusal is not None or found is None:
                return refusal or Refusal.INTENT_UNKNOWN
            left_minor = found.captured_minor - found.refunded_minor
            money = Money(amount_minor=wanted.amount_minor or left_minor, currency=found.currency)
            moved = ledger.refund_of(conn, found.transfer, own, money)
            if moved is None:
                raise RuntimeError("a captured payment without its transfer")
            refused = self._move(conn, "payment.refund", intent, moved)
            if refused is not None:
                return _NOT_REFUNDED[refused]
            announce(conn, intent, EventKind.REFUNDED, now_ms=now_ms)
            return Refund(
                transfer=own,
                amount_minor=money.amount_minor,
                currency=money.currency,
                created_at_ms=now_ms,
            )

        return self.database.run(work)

    def _lock(
        self, conn: Connection[Row], merchant: MerchantId, intent: PaymentIntentId
    ) -> Intent | None:
        found = payments.lock(conn, intent, now_ms=self.clock())
        return found if found and found.merchant == merchant else None

    def _find(self, conn: Connection[Row], intent: PaymentIntentId) -> Intent:
        found = payments.find(conn, intent, now_ms=self.clock())
        if found is None:
            raise RuntimeError("an intent that was just made")
        return found


def of(acts: Recorder) -> Checkout:
    """The same actor, database and keys, for payments."""
    return Checkout(acts.database, acts.keys, acts.clock, acts.actor)
