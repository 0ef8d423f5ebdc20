"""Payment intents without a database: their states, and when an act on one is refused.

Guarantee: the same intent and moment give the same refusal, and the first guard that applies
names it.

An intent is open until somebody pays it, it is voided, or its time is over. Paid, it is
authorized until its hold is captured, voided or over; or captured at once. What was captured is
refunded in one or several parts.

The caller must still hold the intent's lock, and let the ledger have the last word on money.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wire.denial import Denial
from wire.ids import AttemptId, MerchantId, PaymentIntentId, TerminalId, TransferId
from wire.messages import PaymentContext
from wire.money import Money


class State(StrEnum):
    OPEN = "open"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"


class Capture(StrEnum):
    """Whether money moves when somebody pays, or when the merchant says so."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Refusal(StrEnum):
    """Why an act on an intent was not carried out, in order of precedence."""

    INTENT_UNKNOWN = "intent_unknown"
    PLACE_UNKNOWN = "place_unknown"
    PAYMENT_OPEN = "payment_open"
    PAYMENT_AUTHORIZED = "payment_authorized"
    PAYMENT_CAPTURED = "payment_captured"
    PAYMENT_VOIDED = "payment_voided"
    PAYMENT_EXPIRED = "payment_expired"
    CURRENCY_MISMATCH = "currency_mismatch"
    LIMIT_EXCEEDED = "limit_exceeded"
    CAPTURE_ABOVE_AUTHORIZED = "capture_above_authorized"
    REFUND_ABOVE_CAPTURED = "refund_above_captured"
    TRANSFER_ID_REUSED = "transfer_id_reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIntent:
    """``hold_ms`` None captures at once. At most one of ``terminal`` and ``site`` is given: with
    neither, any terminal of the merchant takes it that is told its id.
    """

    merchant: MerchantId
    money: Money
    order: str
    terminal: TerminalId | None
    site: str | None
    hold_ms: int | None
    lives_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """``attempt`` is who paid; ``capture_until_ms`` when what was authorized is given back."""

    intent: PaymentIntentId
    merchant: MerchantId
    terminal: TerminalId | None
    site: str | None
    amount_minor: int
    currency: str
    order: str
    hold_ms: int | None
    state: State
    attempt: AttemptId | None
    captured_minor: int
    refunded_minor: int
    created_at_ms: int
    expires_at_ms: int
    authorized_at_ms: int | None
    capture_until_ms: int | None

    @property
    def capture(self) -> Capture:
        return Capture.AUTOMATIC if self.hold_ms is None else Capture.MANUAL

    @property
    def transfer(self) -> TransferId:
        """The transfer that paid it; RuntimeError where nobody did."""
        if self.attempt is None:
            raise RuntimeError("nobody paid this intent")
        return TransferId(self.attempt.raw)

    @property
    def context(self) -> PaymentContext:
        """What a terminal asks a challenge for."""
        return PaymentContext(
            amount_minor=self.amount_minor,
            currency=self.currency,
            payee=self.merchant,
            order=self.order,
            intent=self.intent,
        )

    def document(self) -> dict[str, Any]:
        """As merchants' systems see it."""
        return {
            "payment_intent": str(self.intent),
            "merchant": str(self.merchant),
            "terminal": str(self.terminal) if self.terminal else None,
            "site": self.site,
            "amount_minor": self.amount_minor,
            "currency": self.currency,
            "order": self.order,
            "capture": self.capture.value,
            "state": self.state.value,
            "attempt": str(self.attempt) if self.attempt else None,
            "captured_minor": self.captured_minor,
            "refunded_minor": self.refunded_minor,
            "created_at_ms": self.created_at_ms,
            "expires_at_ms": self.expires_at_ms,
            "authorized_at_ms": self.authorized_at_ms,
            "capture_until_ms": self.capture_until_ms,
        }


_NOT = {
    State.OPEN: Refusal.PAYMENT_OPEN,
    State.AUTHORIZED: Refusal.PAYMENT_AUTHORIZED,
    State.CAPTURED: Refusal.PAYMENT_CAPTURED,
    State.VOIDED: Refusal.PAYMENT_VOIDED,
    State.EXPIRED: Refusal.PAYMENT_EXPIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How much of a payment is wanted; None: all that is left, in the payment's currency."""

    amount_minor: int | None = None
    currency: str | None = None


def refuse_capture(found: Intent | None, wanted: Part) -> Refusal | None:
    if found is None:
        return Refusal.INTENT_UNKNOWN
    if found.state is not State.AUTHORIZED:
        return _NOT[found.state]
    if wanted.currency not in (None, found.currency):
        return Refusal.CURRENCY_MISMATCH
    if (wanted.amount_minor or 0) > found.amount_minor:
        return Refusal.CAPTURE_ABOVE_AUTHORIZED
    return None


def refuse_void(found: Intent | None) -> Refusal | None:
    if found is None:
        return Refusal.INTENT_UNKNOWN
    if found.state not in (State.OPEN, State.AUTHORIZED):
        return _NOT[found.state]
    return None


def refuse_refund(found: Intent | None, wanted: Part) -> Refusal | None:
    if found is None:
        return Refusal.INTENT_UNKNOWN
    if found.state is not State.CAPTURED:
        return _NOT[found.state]
    if wanted.currency not in (None, found.currency):
        return Refusal.CURRENCY_MISMATCH
    left_minor = found.captured_minor - found.refunded_minor
    if left_minor == 0 or (wanted.amount_minor or 0) > left_minor:
        return Refusal.REFUND_ABOVE_CAPTURED
    return None


def refuse_take(
    found: Intent | None, context: PaymentContext, terminal: TerminalId, site: str
) -> Denial | None:
    """Whether this terminal may take this very payment."""
    if found is None or found.context != context:
        return Denial.INTENT_UNKNOWN
    if found.terminal not in (None, terminal) or found.site not in (None, site):
        return Denial.INTENT_UNKNOWN
    if found.state is State.EXPIRED and found.attempt is None:
        return Denial.INTENT_EXPIRED
    if found.state is not State.OPEN:
        return Denial.INTENT_CLOSED
    return None
