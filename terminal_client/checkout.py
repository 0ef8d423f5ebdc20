"""What a store's terminal asks for: one payment, to the merchant that it was registered for.

The amount is typed at the terminal, or stands in a payment intent of the merchant's system.
"""

from __future__ import annotations

from terminal_client.device import Device
from terminal_client.errors import NotTheService, UsageError
from terminal_client.exchange import read_answer
from terminal_client.keystore import Identity
from terminal_client.transport import send
from wire import envelope
from wire.ids import PaymentIntentId
from wire.messages import PaymentContext, PaymentRequest, TerminalKind, WaitingPayment
from wire.money import Money

WAITING = "/v1/payments"
ORDER_CHARS_MAX = 80


def payment(identity: Identity, money: Money, order: str) -> PaymentContext:
    """``order`` is the till's own number; raises :class:`UsageError`."""
    identity.require(TerminalKind.STORE)
    if identity.merchant is None:
        raise UsageError("this terminal was registered without a merchant")
    if not 0 < len(order) <= ORDER_CHARS_MAX:
        raise UsageError(f"an order number has 1 to {ORDER_CHARS_MAX} characters")
    return PaymentContext(
        amount_minor=money.amount_minor,
        currency=money.currency,
        payee=identity.merchant,
        order=order,
    )


def waiting_payment(device: Device, intent: PaymentIntentId | None = None) -> PaymentContext | None:
    """The payment that waits: this intent's, or the oldest for this very terminal; None: none.

    Raises :class:`Rejected` where the intent is not this terminal's to take, or not open.
    """
    identity = device.identity
    identity.require(TerminalKind.STORE)
    request = PaymentRequest(
        terminal=identity.terminal, requested_at_ms=device.unix_ms(), intent=intent
    )
    signed = envelope.sign(request, device.keystore.signing_key(identity))
    answer = send(device.transport, WAITING, signed.raw)
    waiting = read_answer(answer, WaitingPayment, identity)
    context = waiting.context
    if (waiting.terminal, waiting.requested_at_ms) != (identity.terminal, request.requested_at_ms):
        raise NotTheService("an answer to another request")
    if context is None:
        return None
    if context.payee != identity.merchant or context.intent is None:
        raise NotTheService("a payment that is not this merchant's")
    if intent not in (None, context.intent):
        raise NotTheService("another payment than was asked for")
    return context
