from __future__ import annotations

import pytest

from wire import codec
from wire.denial import Denial, Reason
from wire.errors import MalformedError, TooLargeError
from wire.ids import AccountId, AttemptId
from wire.messages import EntryContext, PaymentContext, WithdrawalContext
from wire.money import Money

REFUSED = {
    "nothing": "",
    "trailing byte": "0000",
    "cut off array": "82 01",
    "huge byte string": "5b 000000ffffffffff",
    "huge array": "9b 000000ffffffffff",
    "number not in its shortest form": "1817",
    "length not in its shortest form": "5801 00",
    "indefinite array": "9f ff",
    "indefinite bytes": "5f ff",
    "float": "fb 3ff8000000000000",
    "null": "f6",
    "tag": "c0 60",
    "shared reference to itself": "d81c 81 d81d 00",
    "duplicate key": "a2 01 01 01 02",
    "unsorted keys": "a2 02 00 01 00",
    "array as key": "a1 81 01 01",
    "text that is not UTF-8": "62 ffff",
    "deep nesting": "81" * 1000 + "00",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_deterministic_cbor_is_refused(raw: str) -> None:
    with pytest.raises(MalformedError):
        codec.decode(bytes.fromhex(raw))


def test_more_than_the_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLargeError):
        codec.decode(b"\xff" * (codec.MAX_MESSAGE_BYTES + 1))


def test_unknown_and_missing_fields_are_refused_by_name() -> None:
    good = {1: 100, 2: "EUR"}
    assert WithdrawalContext.from_map(good).money == Money(amount_minor=100, currency="EUR")
    for change in ({3: 0}, {1: -1}, {1: 0}, {1: True}, {1: "100"}, {2: "EURO"}, {2: "XXX"}):
        with pytest.raises(MalformedError, match="WithdrawalContext"):
            WithdrawalContext.from_map(good | change)
    with pytest.raises(MalformedError, match="currency is missing"):
        WithdrawalContext.from_map({1: 100})


def test_an_id_has_one_text_and_is_of_one_concept() -> None:
    account = AccountId.new()
    assert AccountId.parse(str(account)) == account
    assert account != AttemptId(account.raw)
    for text in (
        str(account).upper(),
        str(account) + "a",
        str(AttemptId(account.raw)),
        f"acc_{'a' * 25}b",
        "",
        "acc_",
    ):
        with pytest.raises(MalformedError):
            AccountId.parse(text)


@pytest.mark.parametrize(
    ("text", "amount_minor"),
    [("12.50 EUR", 1250), ("12 EUR", 1200), ("500 JPY", 500), ("1.005 KWD", 1005)],
)
def test_an_amount_is_read_in_its_currency(text: str, amount_minor: int) -> None:
    assert Money.parse(text).amount_minor == amount_minor


@pytest.mark.parametrize(
    "text",
    ["12.505 EUR", "5.0 JPY", "-1 EUR", "0 EUR", "1 XXX", "1e3 EUR", "1 eur", "٣ EUR", "",
     "1000000000000000 EUR"],
)  # fmt: skip
def test_a_wrong_amount_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Money.parse(text)


def test_every_denial_has_a_reason_and_some_look_alike_to_a_terminal() -> None:
    assert {denial.reason for denial in Denial} < set(Reason)
    assert {
        denial.reason
        for denial in (
            Denial.ACCOUNT_UNKNOWN,
            Denial.ACCOUNT_SUSPENDED,
            Denial.ACCOUNT_LOCKED,
            Denial.CONSENT_MISSING,
            Denial.NO_MATCH,
            Denial.PIN_WRONG,
        )
    } == {Reason.NOT_VERIFIED}


def test_contexts_of_different_purposes_are_not_mixed_up() -> None:
    raw = codec.encode({1: 100, 2: "EUR"})
    with pytest.raises(MalformedError):
        PaymentContext.decode(raw)
    with pytest.raises(MalformedError):
        EntryContext.decode(raw)
