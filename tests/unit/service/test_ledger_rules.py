from __future__ import annotations

import pytest

from service.ledger.rules import (
    CloseRefusal,
    TransferState,
    Wallet,
    refuse_close,
    refuse_debit,
)
from wire.denial import Denial
from wire.money import Money

TEN = Money(amount_minor=1000, currency="EUR")
ENOUGH = Wallet(currency="EUR", balance_minor=1500, held_minor=500)


@pytest.mark.parametrize(
    ("wallet", "payee_currency", "refusal"),
    [
        (None, None, Denial.MERCHANT_UNKNOWN),
        (None, "USD", Denial.CURRENCY_MISMATCH),
        (None, "EUR", Denial.CURRENCY_MISMATCH),
        (Wallet(currency="USD", balance_minor=0, held_minor=0), "EUR", Denial.CURRENCY_MISMATCH),
        (
            Wallet(currency="EUR", balance_minor=1499, held_minor=500),
            "EUR",
            Denial.INSUFFICIENT_FUNDS,
        ),
        (ENOUGH, "EUR", None),
    ],
)
def test_a_debit_is_refused_by_the_first_guard_that_applies(
    wallet: Wallet | None, payee_currency: str | None, refusal: Denial | None
) -> None:
    assert refuse_debit(wallet, TEN, payee_currency=payee_currency) is refusal


@pytest.mark.parametrize(
    ("state", "wanted", "refusal"),
    [
        (None, TransferState.POSTED, CloseRefusal.UNKNOWN),
        (TransferState.PENDING, TransferState.POSTED, None),
        (TransferState.PENDING, TransferState.VOIDED, None),
        (TransferState.POSTED, TransferState.POSTED, None),
        (TransferState.POSTED, TransferState.VOIDED, CloseRefusal.POSTED),
        (TransferState.VOIDED, TransferState.POSTED, CloseRefusal.VOIDED),
        (TransferState.EXPIRED, TransferState.POSTED, CloseRefusal.EXPIRED),
    ],
)
def test_only_a_pending_transfer_is_closed(
    state: TransferState | None, wanted: TransferState, refusal: CloseRefusal | None
) -> None:
    assert refuse_close(state, wanted) is refusal
