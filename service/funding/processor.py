"""One interface to whoever holds a customer's outside money: a card processor, a bank's host.

Guarantees: what a processor says is one of a few named sides; a refusal is a value. Whatever
leaves open what the processor did raises :class:`NoAnswer`: it must be found out, or undone, and
is never an approval. Each call ends within ``timeout_s``. Nothing of a source, a key or an answer
reaches a log or an error's text.

The caller must keep an order's id and trace before it first asks, have one conversation about an
order at a time, and hold every line that the processor does not: that a capture is of no more
than was held, and refunds of no more than was captured.

The built-in wallet is no processor: its money is the ledger's own, and moves in the transaction of
the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.errors import Unavailable
from wire.ids import AccountId, TransferId
from wire.messages import Purpose
from wire.money import Money

TRACE_MAX = 999_999


class ProcessorName(StrEnum):
    STRIPE = "stripe"
    ISO8583 = "iso8583"


PURPOSES = {
    ProcessorName.STRIPE: frozenset({Purpose.PAYMENT}),
    ProcessorName.ISO8583: frozenset({Purpose.PAYMENT, Purpose.WITHDRAWAL}),
}
"""For what a processor is asked; an account's wallet pays for the rest."""


class Side(StrEnum):
    """What a processor has of a transfer."""

    ASKED = "asked"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    DECLINED = "declined"
    RELEASED = "released"
    REFUNDED = "refunded"
    REFUSED = "refused"

    @property
    def approved(self) -> bool:
        """The money is there: held, or taken at once as a cash machine's host does."""
        return self in (Side.AUTHORIZED, Side.CAPTURED)


class Refusal(StrEnum):
    """Why a processor does not give, as it says itself."""

    SOURCE_NOT_ACCEPTED = "source_not_accepted"
    SOURCE_EXPIRED = "source_expired"
    AUTHENTICATION_REQUIRED = "authentication_required"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"
    STATE_NOT_ALLOWED = "state_not_allowed"


class NoAnswer(Unavailable):
    """It is not known what the processor did, if anything."""


class SourceRefused(Exception):
    """The processor does not take this source; the text is the name of a :class:`Refusal`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One transfer, as a processor is told of it. ``payee`` is 16 bytes: merchant or terminal.

    ``trace`` is 1 to ``TRACE_MAX``, of one order alone within a day (UTC). ``reference`` is how
    the processor named what it holds; ``of`` is what a refund gives back. ``again`` says that this
    may have been asked before.
    """

    transfer: TransferId
    purpose: Purpose
    money: Money
    payee: bytes
    asked_at_ms: int
    trace: int
    reference: str | None = None
    of: Order | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSource:
    """A payment method of Stripe's, and the customer whose it is once it is attached."""

    method: str = field(repr=False)
    customer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """``number`` is the PAN, 12 to 19 digits; ``expiry`` is YYMM."""

    number: str = field(repr=False)
    expiry: str = field(repr=False)


Source = StripeSource | Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``confirmed_minor`` is what was taken or given back; 0 while money is only held."""

    side: Side
    reference: str | None = None
    confirmed_minor: int = 0
    refusal: Refusal | None = None

    @classmethod
    def declined(cls, refusal: Refusal, reference: str | None = None) -> Answer:
        return cls(side=Side.DECLINED, refusal=refusal, reference=reference)


class Processor(Protocol):
    """Every call may raise :class:`NoAnswer`; ``source`` is None where the account was erased.

    ``repeatable``: an order whose answer was lost may be asked for again, and looked up. One that
    is not repeatable must be voided then.
    """

    name: ProcessorName
    repeatable: bool
    timeout_s: float

    def attach(self, account: AccountId, source: Source) -> Source:
        """Makes a source ready to be asked for money, and returns what to keep of it.

        Raises :class:`SourceRefused`.
        """

    def authorize(self, order: Order, source: Source) -> Answer:
        """Holds the money, or takes it at once: approved, or declined."""

    def capture(self, order: Order, source: Source | None, amount_minor: int) -> Answer:
        """Takes ``amount_minor`` of what is held, for good, and lets the rest go."""

    def void(self, order: Order, source: Source | None) -> Answer:
        """Undoes an order that may or may not have been heard: released, once that is sure."""

    def refund(self, order: Order, source: Source | None) -> Answer:
        """Gives ``order.money`` of ``order.of`` back."""

    def query(self, order: Order, source: Source | None) -> Answer:
        """What it has of an order: ``Side.ASKED`` where it has not heard of it."""


Processors = Mapping[ProcessorName, Processor]
