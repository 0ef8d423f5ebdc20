"""Requests and answers about settlements."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field

from service.http.models import (
    Answer,
    Currency,
    LeafHash,
    MerchantPath,
    MerchantText,
    TimeMs,
    Words,
    example,
)
from service.operators.pages import PAGE_MAX
from service.payments import settlement


def _day(value: object) -> object:
    """One text for each day: the four digits of a year, and dashes."""
    if isinstance(value, str) and (len(value) != 10 or value[4::3] != "--"):
        raise ValueError("a day is written like 2027-01-15")
    return value


Day = Annotated[
    date,
    BeforeValidator(_day),
    Field(
        ge=settlement.EPOCH,
        description="A day of UTC.",
        json_schema_extra=example("2027-01-14"),
    ),
]
Sum = Annotated[
    int,
    Field(description="In minor units; below 0 what the merchant gave.",
          json_schema_extra=example(0)),
]  # fmt: skip


class SettlementPath(MerchantPath):
    day: Day


class SettlementQuery(Words):
    limit: int = Field(50, ge=1, le=PAGE_MAX, json_schema_extra=example(10))
    before: Day | None = Field(
        None, description="The last page's `next`.", json_schema_extra=example("2027-01-15")
    )


class Settlement(Answer):
    """`others` are fees, payouts and corrections; `net_minor` is the sum of the file's lines."""

    merchant: MerchantText
    day: Day
    currency: Currency
    payments: int
    payments_minor: Sum
    refunds: int
    refunds_minor: Sum
    others: int
    others_minor: Sum
    net_minor: Sum
    file_sha256: LeafHash
    settled_at_ms: TimeMs


class SettlementPage(Answer):
    items: list[Settlement]
    next: Day | None


def tell(found: settlement.Settlement) -> Settlement:
    sums = found.totals
    return Settlement(
        merchant=found.merchant,
        day=found.day,
        currency=found.currency,
        payments=sums.payments,
        payments_minor=sums.payments_minor,
        refunds=sums.refunds,
        refunds_minor=sums.refunds_minor,
        others=sums.others,
        others_minor=sums.others_minor,
        net_minor=sums.net_minor,
        file_sha256=found.digest.hex(),
        settled_at_ms=found.settled_at_ms,
    )
