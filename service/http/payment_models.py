"""Requests and answers about payments: intents, refunds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.http.models import (
    TIME_MS_MAX,
    AmountMinor,
    Answer,
    AttemptText,
    Currency,
    CursorText,
    MerchantPath,
    MerchantText,
    PageQuery,
    PaymentIntentText,
    Request,
    SumMinor,
    TerminalText,
    TimeMs,
    TransferText,
    example,
)
from service.ledger.rules import LIVES_MAX_MS

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
_LETTERS = (
    r"!-~\u00a1-\u00ac\u00ae-\u036f\u03a3-\u0481\u0621-\u063a\u0641-\u064a\u3041-\u3096\u30a1-\u30fa"
    r"\u4e00-\u9fa5\uac00-\ud7a3"
)
Order = Annotated[
    str,
    Field(
        min_length=1,
        max_length=80,
        pattern=f"^[{_LETTERS}]+( +[{_LETTERS}]+)*$",
        description="The order's own number, as the customer's receipt and the file name it.",
        json_schema_extra=example("A-1001"),
    ),
]
StateName = Literal["open", "authorized", "captured", "voided", "expired"]


class PaymentIntentPath(MerchantPath):
    payment_intent: PaymentIntentText


class PaymentIntentQuery(PageQuery):
    state: StateName | None = None
    order: Order | None = None
    terminal: TerminalText | None = None
    from_ms: TimeMs = Field(0, json_schema_extra=example(0))
    until_ms: TimeMs = Field(TIME_MS_MAX, json_schema_extra=example(TIME_MS_MAX))


class PaymentIntentRequest(Request):
    amount_minor: AmountMinor
    currency: Currency
    order: Order
    terminal: TerminalText | None = Field(
        None, description="It takes the payment by itself: the one that stands at this till."
    )
    site: str | None = Field(
        None,
        min_length=1,
        max_length=80,
        pattern=r"^[^\u0000-\u001f\u007f]+$",
        description=(
            "Any terminal of this site takes it that is told its id; without `terminal` and"
            " `site`, any of the merchant."
        ),
        json_schema_extra=example(None),
    )
    capture: Literal["automatic", "manual"] = Field(
        "automatic", description="`manual` only reserves the money, until it is captured."
    )
    expires_in_ms: int = Field(
        15 * MINUTE_MS,
        ge=MINUTE_MS,
        le=DAY_MS,
        description="How long it may be paid.",
        json_schema_extra=example(15 * MINUTE_MS),
    )
    capture_within_ms: int = Field(
        LIVES_MAX_MS,
        ge=MINUTE_MS,
        le=LIVES_MAX_MS,
        description="How long after that a reservation may be captured; then it is given back.",
        json_schema_extra=example(LIVES_MAX_MS),
    )

    @model_validator(mode="after")
    def _one_place(self) -> PaymentIntentRequest:
        if self.terminal is not None and self.site is not None:
            raise ValueError("name a terminal or a site, not both")
        return self


class PartRequest(Request):
    """Without `amount_minor`, all that is left."""

    amount_minor: AmountMinor | None = None
    currency: Currency | None = None


class PaymentIntent(Answer):
    """`amount_minor` is what was asked for; `captured_minor` less `refunded_minor` is earned."""

    payment_intent: PaymentIntentText
    merchant: MerchantText
    terminal: TerminalText | None
    site: str | None
    amount_minor: AmountMinor
    currency: Currency
    order: str
    capture: Literal["automatic", "manual"]
    state: StateName
    attempt: AttemptText | None
    captured_minor: SumMinor
    refunded_minor: SumMinor
    created_at_ms: TimeMs
    expires_at_ms: TimeMs
    authorized_at_ms: TimeMs | None
    capture_until_ms: TimeMs | None


class PaymentIntentPage(Answer):
    items: list[PaymentIntent]
    next: CursorText | None


class Refund(Answer):
    transfer: TransferText
    amount_minor: AmountMinor
    currency: Currency
    created_at_ms: TimeMs


class RefundPage(Answer):
    items: list[Refund]
    next: CursorText | None
