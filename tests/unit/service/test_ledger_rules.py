from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from itertools import pairwise, product
from typing import Any

import pytest

from service.ledger import rules
from service.ledger.rules import (
    BALANCE_MINOR_MAX,
    LIVES_MAX_MS,
    ROUTES,
    AccountKind,
    Booked,
    CloseRefusal,
    Facts,
    Hold,
    Party,
    Refusal,
    Transfer,
    TransferKind,
    TransferState,
    Wallet,
    refuse_close,
    refuse_funds,
    refuse_transfer,
)
from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

TEN = Money(amount_minor=1000, currency="EUR")
WALLET = Party.wallet(AccountId(b"a" * 16))
OTHER_WALLET = Party.wallet(AccountId(b"b" * 16))
MERCHANT = Party.merchant(MerchantId(b"m" * 16))
PAYMENT = Transfer(
    transfer=TransferId(b"1" * 16),
    kind=TransferKind.PAYMENT,
    debit=WALLET,
    credit=MERCHANT,
    money=TEN,
)
KNOWN = Facts(debit_currency="EUR", credit_currency="EUR")
PAID = Booked(
    kind=TransferKind.PAYMENT,
    state=TransferState.POSTED,
    debit=WALLET,
    credit=MERCHANT,
    posted_minor=1500,
    refunded_minor=500,
)
REFUND = replace(
    PAYMENT,
    kind=TransferKind.REFUND,
    debit=MERCHANT,
    credit=WALLET,
    refers_to=TransferId(b"2" * 16),
)


def judged(steps: list[tuple[Refusal | None, dict[str, Any]]], start: dict[str, Any]) -> None:
    """Everything is wrong at the start; each step mends what the guard before it named."""
    faults = dict(start)
    for refusal, mended in steps:
        faults |= mended
        booked = {name[5:]: value for name, value in faults.items() if name.startswith("paid_")}
        facts = {name[6:]: value for name, value in faults.items() if name.startswith("facts_")}
        asked = {
            name: value for name, value in faults.items() if name[:5] not in ("paid_", "facts")
        }
        if facts.pop("known", True):
            facts["referred"] = replace(PAID, **booked)
        found = refuse_transfer(replace(PAYMENT, **asked), Facts(**facts))
        assert found is refusal, (found, refusal)


def test_a_refund_is_refused_by_the_first_guard_that_applies() -> None:
    judged(
        [
            (Refusal.ROUTE_NOT_ALLOWED, {}),
            (Refusal.PENDING_NOT_ALLOWED, {"debit": MERCHANT, "credit": WALLET}),
            (Refusal.REFERENCE_MISSING, {"lives_ms": None}),
            (Refusal.CREDIT_UNKNOWN, {"refers_to": TransferId(b"2" * 16)}),
            (Refusal.DEBIT_UNKNOWN, {"facts_credit_currency": "USD"}),
            (Refusal.CURRENCY_MISMATCH, {"facts_debit_currency": "EUR"}),
            (Refusal.REFERENCE_UNKNOWN, {"facts_credit_currency": "EUR"}),
            (Refusal.REFUND_OF_ANOTHER_KIND, {"facts_known": True}),
            (Refusal.REFUND_OF_OTHER_ACCOUNTS, {"paid_kind": TransferKind.PAYMENT}),
            (Refusal.REFUND_OF_OTHER_ACCOUNTS, {"paid_debit": WALLET, "paid_credit": WALLET}),
            (Refusal.REFUND_NOT_POSTED, {"paid_credit": MERCHANT}),
            (Refusal.REFUND_NOT_POSTED, {"paid_state": TransferState.EXPIRED}),
            (Refusal.REFUND_NOT_POSTED, {"paid_state": TransferState.VOIDED}),
            (Refusal.REFUND_ABOVE_POSTED, {"paid_state": TransferState.POSTED}),
            (Refusal.REFUND_ABOVE_POSTED, {"paid_posted_minor": 1499}),
            (None, {"paid_posted_minor": 1500}),
            (None, {"paid_posted_minor": 1501}),
            (None, {"paid_kind": TransferKind.WITHDRAWAL}),
        ],
        {
            "kind": TransferKind.REFUND,
            "lives_ms": 0,
            "facts_known": False,
            "facts_debit_currency": None,
            "facts_credit_currency": None,
            "paid_kind": TransferKind.TOP_UP,
            "paid_state": TransferState.PENDING,
            "paid_debit": OTHER_WALLET,
            "paid_posted_minor": 0,
            "paid_refunded_minor": 500,
        },
    )


def test_a_payment_is_refused_by_the_first_guard_that_applies() -> None:
    judged(
        [
            (Refusal.LIFETIME_OUT_OF_RANGE, {}),
            (Refusal.LIFETIME_OUT_OF_RANGE, {"lives_ms": 0}),
            (Refusal.LIFETIME_OUT_OF_RANGE, {"lives_ms": LIVES_MAX_MS + 1}),
            (Refusal.REFERENCE_NOT_ALLOWED, {"lives_ms": LIVES_MAX_MS}),
            (Refusal.CREDIT_UNKNOWN, {"refers_to": None}),
            (Refusal.DEBIT_UNKNOWN, {"facts_credit_currency": "USD"}),
            (Refusal.CURRENCY_MISMATCH, {"facts_debit_currency": "USD"}),
            (Refusal.CURRENCY_MISMATCH, {"facts_debit_currency": "EUR"}),
            (
                Refusal.CURRENCY_MISMATCH,
                {"facts_credit_currency": "EUR", "facts_debit_currency": "USD"},
            ),
            (None, {"facts_debit_currency": "EUR"}),
            (None, {"lives_ms": 1}),
            (None, {"lives_ms": None}),
        ],
        {
            "lives_ms": -1,
            "refers_to": TransferId(b"2" * 16),
            "facts_known": False,
            "facts_debit_currency": None,
            "facts_credit_currency": None,
        },
    )


@pytest.mark.parametrize("kind", TransferKind)
def test_money_goes_only_the_ways_of_its_kind(kind: TransferKind) -> None:
    for debit, credit in product(AccountKind, AccountKind):
        wanted = replace(
            PAYMENT, kind=kind, debit=Party(debit, bytes(16)), credit=Party(credit, bytes(16))
        )
        refused = refuse_transfer(wanted, KNOWN) is Refusal.ROUTE_NOT_ALLOWED
        assert refused == ((debit, credit) not in ROUTES[kind])


def test_the_ways_are_these() -> None:
    """Wallets are on one side at most, so that a transfer locks one wallet at most."""
    ways = {
        kind.value: sorted(f"{debit}>{credit}" for debit, credit in routes)
        for kind, routes in ROUTES.items()
        if kind is not TransferKind.CORRECTION
    }
    assert ways == {
        "top_up": ["funding>wallet"],
        "payment": ["source>merchant", "wallet>merchant"],
        "withdrawal": ["source>cassette", "wallet>cassette"],
        "refund": ["cassette>source", "cassette>wallet", "merchant>source", "merchant>wallet"],
        "fee": ["merchant>fees", "wallet>fees"],
        "payout": ["merchant>funding", "wallet>funding"],
    }
    others = set(AccountKind) - {AccountKind.SUSPENSE}
    assert ROUTES[TransferKind.CORRECTION] == {
        way
        for each in others
        for way in ((each, AccountKind.SUSPENSE), (AccountKind.SUSPENSE, each))
    }


@pytest.mark.parametrize(
    "kind", set(TransferKind) - {TransferKind.PAYMENT, TransferKind.WITHDRAWAL}
)
def test_only_payments_and_withdrawals_wait(kind: TransferKind) -> None:
    debit, credit = sorted(ROUTES[kind])[0]
    wanted = replace(
        PAYMENT, kind=kind, debit=Party(debit, bytes(16)), credit=Party(credit, bytes(16))
    )
    assert refuse_transfer(replace(wanted, lives_ms=1), KNOWN) is Refusal.PENDING_NOT_ALLOWED
    refers = refuse_transfer(replace(wanted, refers_to=TransferId.new()), KNOWN)
    allowed = kind in (TransferKind.REFUND, TransferKind.FEE, TransferKind.CORRECTION)
    assert refers is (Refusal.REFERENCE_UNKNOWN if allowed else Refusal.REFERENCE_NOT_ALLOWED)


def test_a_fee_or_correction_may_refer_to_what_a_refund_may_not() -> None:
    pending = replace(PAID, state=TransferState.PENDING, kind=TransferKind.TOP_UP)
    for kind, credit in (
        (TransferKind.FEE, AccountKind.FEES),
        (TransferKind.CORRECTION, AccountKind.SUSPENSE),
    ):
        wanted = replace(REFUND, kind=kind, credit=Party.house(credit, "EUR"))
        assert refuse_transfer(wanted, replace(KNOWN, referred=pending)) is None


@pytest.mark.parametrize(
    ("debit", "wallet", "refusal"),
    [
        (WALLET, (1499, 500), Refusal.INSUFFICIENT_FUNDS),
        (WALLET, (1500, 500), None),
        (WALLET, (BALANCE_MINOR_MAX, 0), None),
        (MERCHANT, (0, 0), None),
        (MERCHANT, (BALANCE_MINOR_MAX - 1000, 0), None),
        (MERCHANT, (BALANCE_MINOR_MAX - 999, 999), Refusal.BALANCE_TOO_HIGH),
        (MERCHANT, None, None),
        (WALLET, None, None),
    ],
)
def test_a_wallet_stays_within_its_lines(
    debit: Party, wallet: tuple[int, int] | None, refusal: Refusal | None
) -> None:
    wanted = PAYMENT if debit is WALLET else REFUND
    found = wallet and Wallet(currency="EUR", balance_minor=wallet[0], held_minor=wallet[1])
    assert refuse_funds(wanted, found) is refusal


def test_the_lines_are_these() -> None:
    assert LIVES_MAX_MS == 604_800_000
    assert BALANCE_MINOR_MAX == 9_007_199_254_740_991


PENDING = Hold(state=TransferState.PENDING, amount_minor=1000, posted_minor=0, expires_at_ms=50)
POSTED, VOIDED, EXPIRED = TransferState.POSTED, TransferState.VOIDED, TransferState.EXPIRED
IN_PART = replace(PENDING, state=POSTED, posted_minor=700)


@pytest.mark.parametrize(
    ("found", "wanted", "amount_minor", "now_ms", "refusal"),
    [
        (None, POSTED, 0, 50, CloseRefusal.UNKNOWN),
        (None, VOIDED, None, 0, CloseRefusal.UNKNOWN),
        (replace(PENDING, state=VOIDED), POSTED, 0, 50, CloseRefusal.VOIDED),
        (replace(PENDING, state=VOIDED), EXPIRED, None, 0, CloseRefusal.VOIDED),
        (replace(PENDING, state=EXPIRED), POSTED, 0, 50, CloseRefusal.EXPIRED),
        (replace(PENDING, state=EXPIRED), VOIDED, None, 0, CloseRefusal.EXPIRED),
        (IN_PART, VOIDED, None, 0, CloseRefusal.POSTED),
        (IN_PART, EXPIRED, None, 99, CloseRefusal.POSTED),
        (IN_PART, POSTED, None, 0, CloseRefusal.POSTED),
        (IN_PART, POSTED, 699, 0, CloseRefusal.POSTED),
        (IN_PART, POSTED, 701, 0, CloseRefusal.POSTED),
        (IN_PART, POSTED, int("700"), 99, None),
        (replace(IN_PART, posted_minor=1000), POSTED, None, 99, None),
        (replace(PENDING, state=VOIDED), VOIDED, None, 99, None),
        (replace(PENDING, state=EXPIRED), EXPIRED, None, 99, None),
        (PENDING, EXPIRED, None, 49, CloseRefusal.NOT_DUE),
        (PENDING, EXPIRED, None, 50, None),
        (PENDING, POSTED, 0, 50, CloseRefusal.EXPIRED),
        (PENDING, VOIDED, None, 51, CloseRefusal.EXPIRED),
        (PENDING, POSTED, 0, 49, CloseRefusal.AMOUNT_OUT_OF_RANGE),
        (PENDING, POSTED, -1, 49, CloseRefusal.AMOUNT_OUT_OF_RANGE),
        (PENDING, POSTED, 1001, 49, CloseRefusal.AMOUNT_OUT_OF_RANGE),
        (PENDING, POSTED, 1, 49, None),
        (PENDING, POSTED, 1000, 49, None),
        (PENDING, POSTED, None, 49, None),
        (PENDING, VOIDED, None, 49, None),
    ],
)
def test_a_hold_is_closed_once_in_time_and_within_its_amount(
    found: Hold | None,
    wanted: TransferState,
    amount_minor: int | None,
    now_ms: int,
    refusal: CloseRefusal | None,
) -> None:
    assert refuse_close(found, wanted, amount_minor=amount_minor, now_ms=now_ms) is refusal


def test_amount_and_time_of_a_closing_cannot_be_mixed_up() -> None:
    with pytest.raises(TypeError):
        refuse_close(PENDING, POSTED, 49, 1000)  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"kind": TransferKind.WITHDRAWAL},
        {"debit": OTHER_WALLET},
        {"debit": Party(AccountKind.MERCHANT, WALLET.owner)},
        {"credit": Party.merchant(MerchantId(b"n" * 16))},
        {"credit": Party(AccountKind.FEES, MERCHANT.owner)},
        {"money": Money(amount_minor=1001, currency="EUR")},
        {"money": Money(amount_minor=1000, currency="USD")},
        {"lives_ms": 1},
        {"lives_ms": 2},
        {"refers_to": TransferId(b"2" * 16)},
    ],
)
def test_content_is_everything_but_the_id(change: dict[str, Any]) -> None:
    assert replace(PAYMENT, transfer=TransferId.new()).content == PAYMENT.content
    assert replace(PAYMENT, **change).content != PAYMENT.content


def test_content_does_not_change_with_a_release() -> None:
    """It is stored with every transfer, and in the log."""
    assert PAYMENT.content.hex() == (
        "2d6edccfd94bfe54286b66511d44aa598d4e7b6e235a4a755b18b59efefa1c60"
    )
    assert replace(REFUND, lives_ms=5).content.hex() == (
        "7cd6f4d2cf6bb0faf8832e774e0019a65d339abc39a3bdb4d71fa271a072fe04"
    )


def test_a_top_up_comes_from_the_funding_of_its_currency() -> None:
    made = Transfer.top_up(TransferId(b"1" * 16), AccountId(b"a" * 16), TEN)
    assert (made.kind, made.credit, made.money) == (TransferKind.TOP_UP, WALLET, TEN)
    assert made.debit == Party(AccountKind.FUNDING, bytes(13) + b"EUR")
    assert refuse_transfer(made, KNOWN) is None
    assert Party.cassette(TerminalId(b"t" * 16)) == Party(AccountKind.CASSETTE, b"t" * 16)
    assert Party.source(AccountId(b"s" * 16)) == Party(AccountKind.SOURCE, b"s" * 16)


def test_the_available_money_is_what_is_not_held() -> None:
    assert Wallet(currency="EUR", balance_minor=7, held_minor=3).available_minor == 4


def test_refusals_that_an_attempt_can_meet_are_denials_in_the_same_order() -> None:
    denials = []
    for refusal in Refusal:
        if refusal in rules._DENIAL:
            denials.append(refusal.denial)
        else:
            with pytest.raises(RuntimeError):
                assert refusal.denial
    order = list(Denial)
    assert len(denials) == 14
    assert all(order.index(a) <= order.index(b) for a, b in pairwise(denials[:-1]))
    assert Refusal.BALANCE_TOO_HIGH.denial is Denial.LIMIT_EXCEEDED
    assert Refusal.DEBIT_UNKNOWN.denial is Denial.CURRENCY_MISMATCH
    assert Refusal.CREDIT_UNKNOWN.denial is Denial.MERCHANT_UNKNOWN


@pytest.mark.parametrize(
    "value",
    [PAYMENT, KNOWN, PAID, PENDING, WALLET, Wallet(currency="EUR", balance_minor=1, held_minor=0)],
)
def test_what_was_judged_does_not_change(value: Any) -> None:
    name = next(iter(type(value).__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
    assert not hasattr(value, "__dict__")
    if type(value) is not Party:
        with pytest.raises(TypeError):
            type(value)(*(getattr(value, each) for each in value.__dataclass_fields__))
