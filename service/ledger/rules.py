"""When a transfer is refused: guards in order of precedence, without a database.

Guarantee: the same facts give the same refusal, and the first guard that applies names it.
The database keeps the same lines with constraints of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire.denial import Denial
from wire.money import Money

BALANCE_MINOR_MAX = 2**53 - 1
"""What every reader of JSON still counts exactly (RFC 8259, 6), and far below a bigint."""


class TransferState(StrEnum):
    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class CloseRefusal(StrEnum):
    """Why a pending transfer was not posted or voided."""

    UNKNOWN = "transfer_unknown"
    POSTED = "transfer_posted"
    VOIDED = "transfer_voided"
    EXPIRED = "transfer_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    currency: str
    balance_minor: int
    held_minor: int

    @property
    def available_minor(self) -> int:
        return self.balance_minor - self.held_minor


def refuse_top_up(wallet: Wallet | None, money: Money) -> Denial | None:
    if wallet is None or wallet.currency != money.currency:
        return Denial.CURRENCY_MISMATCH
    if wallet.balance_minor + money.amount_minor > BALANCE_MINOR_MAX:
        return Denial.LIMIT_EXCEEDED
    return None


def refuse_debit(
    wallet: Wallet | None, money: Money, *, payee_currency: str | None
) -> Denial | None:
    """``payee_currency`` is None for a payee who has no account here."""
    if payee_currency is None:
        return Denial.MERCHANT_UNKNOWN
    if payee_currency != money.currency:
        return Denial.CURRENCY_MISMATCH
    if wallet is None or wallet.currency != money.currency:
        return Denial.CURRENCY_MISMATCH
    if wallet.available_minor < money.amount_minor:
        return Denial.INSUFFICIENT_FUNDS
    return None


def refuse_close(state: TransferState | None, wanted: TransferState) -> CloseRefusal | None:
    """None where the transfer is pending, or already is what is wanted."""
    if state is None:
        return CloseRefusal.UNKNOWN
    if state in (TransferState.PENDING, wanted):
        return None
    return CloseRefusal[state.name]
