from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from service.errors import Misconfigured
from service.ledger.limits import (
    DAY_MS,
    Ceiling,
    Limits,
    Turnover,
    Usage,
    Velocity,
    Windows,
    default_limits,
    refuse_usage,
)
from service.ledger.rules import Refusal
from service.verification.policy import Policy, default_policy
from wire.denial import Denial, Reason
from wire.ids import DoorId, MerchantId
from wire.messages import Direction, EntryContext, PaymentContext

LIMITS = Limits(
    account=Ceiling(transfer_minor=100, day_minor=200, month_minor=300),
    merchant=Ceiling(transfer_minor=100, day_minor=200, month_minor=300),
    terminal=Ceiling(transfer_minor=100, day_minor=200, month_minor=300),
    velocity=(Velocity(transfers=2, within_ms=60_000), Velocity(transfers=3, within_ms=DAY_MS)),
)
FULL = Turnover(day_minor=101, month_minor=201)
ROOM = Turnover(day_minor=100, month_minor=200)


def test_the_first_limit_that_applies_names_the_refusal() -> None:
    """Everything is over its limit at the start; each step mends one."""
    usage = Usage(account=FULL, merchant=FULL, terminal=FULL, counts=(2, 3))
    amount_minor = 101
    day_only = Turnover(day_minor=100, month_minor=201)
    for refusal, mended in (
        (Refusal.LIMIT_EXCEEDED, {}),
        (Refusal.ACCOUNT_VELOCITY, {"amount": 100}),
        (Refusal.ACCOUNT_VELOCITY, {"counts": (1, 3)}),
        (Refusal.ACCOUNT_DAY_LIMIT, {"counts": (1, 2)}),
        (Refusal.ACCOUNT_MONTH_LIMIT, {"account": day_only}),
        (Refusal.MERCHANT_DAY_LIMIT, {"account": ROOM}),
        (Refusal.MERCHANT_MONTH_LIMIT, {"merchant": day_only}),
        (Refusal.TERMINAL_DAY_LIMIT, {"merchant": ROOM}),
        (Refusal.TERMINAL_MONTH_LIMIT, {"terminal": day_only}),
        (None, {"terminal": ROOM}),
    ):
        changes: dict[str, Any] = dict(mended)
        amount_minor = changes.pop("amount", amount_minor)
        usage = replace(usage, **changes)
        assert refuse_usage(LIMITS, usage, amount_minor) is refusal


@pytest.mark.parametrize("scope", ["account", "merchant", "terminal"])
def test_each_scope_has_a_limit_of_one_transfer(scope: str) -> None:
    limits = Limits(**{scope: Ceiling(transfer_minor=100)})
    assert refuse_usage(limits, Usage(), 100) is None
    assert refuse_usage(limits, Usage(), 101) is Refusal.LIMIT_EXCEEDED
    assert refuse_usage(Limits(), Usage(account=FULL), 10**15) is None


def test_an_honest_customer_is_told_that_it_is_only_for_now() -> None:
    order = list(Refusal)
    limits = order[order.index(Refusal.ACCOUNT_VELOCITY) : order.index(Refusal.INSUFFICIENT_FUNDS)]
    assert {refusal.denial.reason for refusal in limits} == {Reason.REFUSED_FOR_NOW}
    denials = [Denial.LIMIT_EXCEEDED, *(each.denial for each in limits), Denial.INSUFFICIENT_FUNDS]
    places = [list(Denial).index(each) for each in denials]
    assert all(b - a == 1 for a, b in pairwise(places))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "day", "month"),
    [
        ("2027-02-28 23:59:59.999", "2027-02-28", "2027-02-01"),
        ("2027-03-01 00:00:00", "2027-03-01", "2027-03-01"),
        ("2028-02-29 12:00:00", "2028-02-29", "2028-02-01"),
        ("1970-01-01 00:00:00", "1970-01-01", "1970-01-01"),
    ],
)
def test_days_and_months_are_those_of_utc(now: str, day: str, month: str) -> None:
    windows = Windows.at(ms(now))
    assert windows == Windows(day_ms=ms(day), month_ms=ms(month))


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": {"transfer_minor": 0}},
        {"account": {"day_minor": -1}},
        {"account": {"day_minor": 1.5}},
        {"account": {"day_minor": True}},
        {"account": {"day_minor": 10, "month_minor": 9}},
        {"merchant": {"transfer_minor": 10, "day_minor": 9}},
        {"terminal": {"year_minor": 1}},
        {"terminal": 5},
        {"customer": {}},
        {"velocity": [{"transfers": 0, "within_ms": 60_000}]},
        {"velocity": [{"transfers": 1, "within_ms": 999}]},
        {"velocity": [{"transfers": 1, "within_ms": 32 * DAY_MS}]},
        {"velocity": [{"transfers": 1.0, "within_ms": 60_000}]},
        {"velocity": [{"transfers": 1, "within_ms": 60_000}] * 5},
        {"velocity": 3},
        [],
    ],
)
def test_a_policy_with_wrong_limits_is_refused(wrong: object) -> None:
    for limits in ({"payment": wrong}, {"entry": {}}, [1]):
        fields = asdict(default_policy()) | {"limits": limits}
        with pytest.raises(Misconfigured):
            Policy.from_document(json.dumps(fields))


def test_limits_are_part_of_the_signed_document() -> None:
    policy = default_policy()
    assert Policy.from_document(policy.to_document()) == policy
    assert policy.limits == default_limits()
    payment = PaymentContext(amount_minor=1, currency="EUR", payee=MerchantId.new(), order="A")
    assert policy.limits_for(payment) == default_limits()["payment"]
    entry = EntryContext(door=DoorId.new(), direction=Direction.IN)
    assert policy.limits_for(entry) == Limits()
    without = Policy.from_document(replace(policy, limits={}).to_document())
    assert without.limits_for(payment) == Limits()
    with pytest.raises(Misconfigured, match="limits"):
        without.check_for_production()
    policy.check_for_production()
