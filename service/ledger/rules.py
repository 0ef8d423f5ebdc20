"""When a transfer is refused: guards in order of precedence, without a database.

Guarantee: the same facts give the same refusal, and the first guard that applies names it.
The database keeps the lines that money depends on with constraints of its own.

The caller must still look up the facts under a lock on the wallet and on the transfer that is
referred to, and answer an id that was seen before with its first answer.

Shaped after TigerBeetle's ``create_transfer``: a flat list of guards, two phases, the client's id.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Self

from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

LIVES_MAX_MS = 7 * 24 * 3_600_000
BALANCE_MINOR_MAX = 2**53 - 1
"""What every reader of JSON still counts exactly (RFC 8259, 6), and far below a bigint."""


class AccountKind(StrEnum):
    WALLET = "wallet"
    MERCHANT = "merchant"
    CASSETTE = "cassette"
    FEES = "fees"
    SUSPENSE = "suspense"
    FUNDING = "funding"
    SOURCE = "source"


class TransferKind(StrEnum):
    TOP_UP = "top_up"
    PAYMENT = "payment"
    WITHDRAWAL = "withdrawal"
    REFUND = "refund"
    FEE = "fee"
    PAYOUT = "payout"
    CORRECTION = "correction"


class TransferState(StrEnum):
    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Refusal(StrEnum):
    """Why a transfer was not made, in order of precedence."""

    TRANSFER_ID_REUSED = "transfer_id_reused"
    ROUTE_NOT_ALLOWED = "route_not_allowed"
    PENDING_NOT_ALLOWED = "pending_not_allowed"
    LIFETIME_OUT_OF_RANGE = "lifetime_out_of_range"
    REFERENCE_MISSING = "reference_missing"
    REFERENCE_NOT_ALLOWED = "reference_not_allowed"
    CREDIT_UNKNOWN = "credit_unknown"
    DEBIT_UNKNOWN = "debit_unknown"
    CURRENCY_MISMATCH = "currency_mismatch"
    REFERENCE_UNKNOWN = "reference_unknown"
    REFUND_OF_ANOTHER_KIND = "refund_of_another_kind"
    REFUND_OF_OTHER_ACCOUNTS = "refund_of_other_accounts"
    REFUND_NOT_POSTED = "refund_not_posted"
    REFUND_ABOVE_POSTED = "refund_above_posted"
    LIMIT_EXCEEDED = "limit_exceeded"
    ACCOUNT_VELOCITY = "account_velocity"
    ACCOUNT_DAY_LIMIT = "account_day_limit"
    ACCOUNT_MONTH_LIMIT = "account_month_limit"
    MERCHANT_DAY_LIMIT = "merchant_day_limit"
    MERCHANT_MONTH_LIMIT = "merchant_month_limit"
    TERMINAL_DAY_LIMIT = "terminal_day_limit"
    TERMINAL_MONTH_LIMIT = "terminal_month_limit"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_TOO_HIGH = "balance_too_high"

    @property
    def denial(self) -> Denial:
        """What an attempt is denied for; RuntimeError for what no attempt can cause."""
        if self not in _DENIAL:
            raise RuntimeError(f"an attempt asked for a transfer that is not one: {self}")
        return _DENIAL[self]


_DENIAL = {
    Refusal.TRANSFER_ID_REUSED: Denial.ATTEMPT_ID_REUSED,
    Refusal.CREDIT_UNKNOWN: Denial.MERCHANT_UNKNOWN,
    Refusal.DEBIT_UNKNOWN: Denial.CURRENCY_MISMATCH,
    Refusal.CURRENCY_MISMATCH: Denial.CURRENCY_MISMATCH,
    Refusal.LIMIT_EXCEEDED: Denial.LIMIT_EXCEEDED,
    Refusal.ACCOUNT_VELOCITY: Denial.ACCOUNT_VELOCITY,
    Refusal.ACCOUNT_DAY_LIMIT: Denial.ACCOUNT_DAY_LIMIT,
    Refusal.ACCOUNT_MONTH_LIMIT: Denial.ACCOUNT_MONTH_LIMIT,
    Refusal.MERCHANT_DAY_LIMIT: Denial.MERCHANT_DAY_LIMIT,
    Refusal.MERCHANT_MONTH_LIMIT: Denial.MERCHANT_MONTH_LIMIT,
    Refusal.TERMINAL_DAY_LIMIT: Denial.TERMINAL_DAY_LIMIT,
    Refusal.TERMINAL_MONTH_LIMIT: Denial.TERMINAL_MONTH_LIMIT,
    Refusal.INSUFFICIENT_FUNDS: Denial.INSUFFICIENT_FUNDS,
    Refusal.BALANCE_TOO_HIGH: Denial.LIMIT_EXCEEDED,
}


class CloseRefusal(StrEnum):
    """Why a pending transfer was not posted, voided or expired, in order of precedence."""

    UNKNOWN = "transfer_unknown"
    POSTED = "transfer_posted"
    VOIDED = "transfer_voided"
    EXPIRED = "transfer_expired"
    NOT_DUE = "transfer_not_due"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"


@dataclass(frozen=True, slots=True)
class Party:
    """Names an account of the ledger: what it is and whose; ``owner`` is 16 bytes."""

    kind: AccountKind
    owner: bytes

    @classmethod
    def wallet(cls, account: AccountId) -> Self:
        return cls(AccountKind.WALLET, account.raw)

    @classmethod
    def merchant(cls, merchant: MerchantId) -> Self:
        return cls(AccountKind.MERCHANT, merchant.raw)

    @classmethod
    def cassette(cls, terminal: TerminalId) -> Self:
        return cls(AccountKind.CASSETTE, terminal.raw)

    @classmethod
    def source(cls, account: AccountId) -> Self:
        return cls(AccountKind.SOURCE, account.raw)

    @classmethod
    def house(cls, kind: AccountKind, currency: str) -> Self:
        """The one account of this kind and currency: fees, suspense or funding."""
        return cls(kind, bytes(13) + currency.encode())


_SUSPENSE_SIDES = tuple(kind for kind in AccountKind if kind is not AccountKind.SUSPENSE)
ROUTES: dict[TransferKind, frozenset[tuple[AccountKind, AccountKind]]] = {
    TransferKind.TOP_UP: frozenset({(AccountKind.FUNDING, AccountKind.WALLET)}),
    TransferKind.PAYMENT: frozenset(
        {
            (AccountKind.WALLET, AccountKind.MERCHANT),
            (AccountKind.SOURCE, AccountKind.MERCHANT),
        }
    ),
    TransferKind.WITHDRAWAL: frozenset(
        {
            (AccountKind.WALLET, AccountKind.CASSETTE),
            (AccountKind.SOURCE, AccountKind.CASSETTE),
        }
    ),
    TransferKind.REFUND: frozenset(
        {
            (AccountKind.MERCHANT, AccountKind.WALLET),
            (AccountKind.CASSETTE, AccountKind.WALLET),
            (AccountKind.MERCHANT, AccountKind.SOURCE),
            (AccountKind.CASSETTE, AccountKind.SOURCE),
        }
    ),
    TransferKind.FEE: frozenset(
        {(AccountKind.MERCHANT, AccountKind.FEES), (AccountKind.WALLET, AccountKind.FEES)}
    ),
    TransferKind.PAYOUT: frozenset(
        {(AccountKind.MERCHANT, AccountKind.FUNDING), (AccountKind.WALLET, AccountKind.FUNDING)}
    ),
    TransferKind.CORRECTION: frozenset(
        way
        for side in _SUSPENSE_SIDES
        for way in ((AccountKind.SUSPENSE, side), (side, AccountKind.SUSPENSE))
    ),
}
TWO_PHASE = frozenset({TransferKind.PAYMENT, TransferKind.WITHDRAWAL})
REFUNDABLE = frozenset({TransferKind.PAYMENT, TransferKind.WITHDRAWAL})
REFERRING = frozenset({TransferKind.REFUND, TransferKind.FEE, TransferKind.CORRECTION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer as it is asked for. With ``lives_ms`` it is pending that long at most;
    without, it is posted at once. ``refers_to`` is what it refunds, corrects or is the fee of.
    """

    transfer: TransferId
    kind: TransferKind
    debit: Party
    credit: Party
    money: Money
    lives_ms: int | None = None
    refers_to: TransferId | None = None

    @classmethod
    def top_up(cls, transfer: TransferId, account: AccountId, money: Money) -> Self:
        return cls(
            transfer=transfer,
            kind=TransferKind.TOP_UP,
            debit=Party.house(AccountKind.FUNDING, money.currency),
            credit=Party.wallet(account),
            money=money,
        )

    @property
    def content(self) -> bytes:
        """SHA-256 of everything but the id: equal only for a request that is the same."""
        parts = (
            self.kind,
            *(self.debit.kind, self.debit.owner.hex()),
            *(self.credit.kind, self.credit.owner.hex()),
            *(self.money.amount_minor, self.money.currency),
            self.lives_ms,
            str(self.refers_to) if self.refers_to else None,
        )
        return sha256(json.dumps(parts).encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    currency: str
    balance_minor: int
    held_minor: int

    @property
    def available_minor(self) -> int:
        return self.balance_minor - self.held_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """An earlier transfer that another refers to; ``posted_minor`` is 0 until it is posted."""

    kind: TransferKind
    state: TransferState
    debit: Party
    credit: Party
    posted_minor: int
    refunded_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the ledger holds of a wanted transfer's accounts and reference; None: no such."""

    debit_currency: str | None
    credit_currency: str | None
    referred: Booked | None = None


def refuse_transfer(wanted: Transfer, facts: Facts) -> Refusal | None:
    """The guards on form, accounts and reference; amounts are :func:`refuse_funds`'s."""
    if (wanted.debit.kind, wanted.credit.kind) not in ROUTES[wanted.kind]:
        return Refusal.ROUTE_NOT_ALLOWED
    if wanted.lives_ms is not None and wanted.kind not in TWO_PHASE:
        return Refusal.PENDING_NOT_ALLOWED
    if wanted.lives_ms is not None and not 1 <= wanted.lives_ms <= LIVES_MAX_MS:
        return Refusal.LIFETIME_OUT_OF_RANGE
    if wanted.refers_to is None and wanted.kind is TransferKind.REFUND:
        return Refusal.REFERENCE_MISSING
    if wanted.refers_to is not None and wanted.kind not in REFERRING:
        return Refusal.REFERENCE_NOT_ALLOWED
    if facts.credit_currency is None:
        return Refusal.CREDIT_UNKNOWN
    if facts.debit_currency is None:
        return Refusal.DEBIT_UNKNOWN
    if {facts.debit_currency, facts.credit_currency} != {wanted.money.currency}:
        return Refusal.CURRENCY_MISMATCH
    if wanted.refers_to is not None and facts.referred is None:
        return Refusal.REFERENCE_UNKNOWN
    if wanted.kind is TransferKind.REFUND and facts.referred is not None:
        return _refuse_refund(wanted, facts.referred)
    return None


def _refuse_refund(wanted: Transfer, paid: Booked) -> Refusal | None:
    if paid.kind not in REFUNDABLE:
        return Refusal.REFUND_OF_ANOTHER_KIND
    if (paid.debit, paid.credit) != (wanted.credit, wanted.debit):
        return Refusal.REFUND_OF_OTHER_ACCOUNTS
    if paid.state is not TransferState.POSTED:
        return Refusal.REFUND_NOT_POSTED
    if paid.refunded_minor + wanted.money.amount_minor > paid.posted_minor:
        return Refusal.REFUND_ABOVE_POSTED
    return None


def refuse_funds(wanted: Transfer, wallet: Wallet | None) -> Refusal | None:
    """The last guards. ``wallet`` is the one account of the two that is a wallet: no route has
    two, and no other account has a line below which it may not go.
    """
    if wallet is None:
        return None
    amount_minor = wanted.money.amount_minor
    if wanted.debit.kind is AccountKind.WALLET and wallet.available_minor < amount_minor:
        return Refusal.INSUFFICIENT_FUNDS
    after_minor = wallet.balance_minor + amount_minor
    if wanted.credit.kind is AccountKind.WALLET and after_minor > BALANCE_MINOR_MAX:
        return Refusal.BALANCE_TOO_HIGH
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A transfer that was made pending; ``posted_minor`` says something where it is posted."""

    state: TransferState
    amount_minor: int
    posted_minor: int
    expires_at_ms: int


def refuse_close(
    found: Hold | None, wanted: TransferState, *, amount_minor: int | None, now_ms: int
) -> CloseRefusal | None:
    """None where the hold is pending, or already is what is wanted.

    ``amount_minor`` is what to post of it, None for all. From its ``expires_at_ms`` on a hold
    counts as expired, whether or not a task has closed it yet.
    """
    if found is None:
        return CloseRefusal.UNKNOWN
    wanted_minor = found.amount_minor if amount_minor is None else amount_minor
    if found.state is wanted:
        same = wanted is not TransferState.POSTED or found.posted_minor == wanted_minor
        return None if same else CloseRefusal.POSTED
    if found.state is not TransferState.PENDING:
        return CloseRefusal[found.state.name]
    due = found.expires_at_ms <= now_ms
    if wanted is TransferState.EXPIRED:
        return None if due else CloseRefusal.NOT_DUE
    if due:
        return CloseRefusal.EXPIRED
    if not 0 < wanted_minor <= found.amount_minor:
        return CloseRefusal.AMOUNT_OUT_OF_RANGE
    return None
