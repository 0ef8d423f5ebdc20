"""What a store's terminal asks for: one payment, to the merchant that it was registered for."""

from __future__ import annotations

from terminal_client.errors import UsageError
from terminal_client.keystore import Identity
from wire.messages import PaymentContext, TerminalKind
from wire.money import Money

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
