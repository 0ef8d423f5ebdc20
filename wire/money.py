"""Money: an amount in minor units of an ISO 4217 currency. Never a float.

The caller must still check that two amounts it adds are of one currency:
:meth:`Money.plus` refuses otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from wire.errors import MalformedError

AMOUNT_MINOR_MAX = 10**15

# ISO 4217 minor units: the currencies that a till here may be set to.
MINOR_DIGITS = {
    "AED": 2, "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2,
    "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "HUF": 2, "INR": 2, "ISK": 0,
    "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3, "MXN": 2, "NOK": 2, "NZD": 2, "OMR": 3,
    "PLN": 2, "RUB": 2, "SEK": 2, "SGD": 2, "THB": 2, "TND": 3, "TRY": 2, "USD": 2,
    "VND": 0, "ZAR": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """``amount_minor`` is 1 to 10**15 minor units of ``currency`` (ISO 4217)."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in MINOR_DIGITS:
            raise ValueError("an unknown currency")
        if not 0 < self.amount_minor <= AMOUNT_MINOR_MAX:
            raise ValueError("an amount outside its range")

    @classmethod
    def parse(cls, text: str) -> Money:
        """Reads ``"12.50 EUR"``; raises :class:`MalformedError`.

        The currency's number of decimals is the most that may be written:
        ``"12.505 EUR"`` and ``"5.0 JPY"`` are refused rather than rounded.
        """
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ([A-Z]{3})", text)
        if match is None or match[2] not in MINOR_DIGITS:
            raise MalformedError("an amount is written like '12.50 EUR'")
        digits = MINOR_DIGITS[match[2]]
        if len(match[1].partition(".")[2]) > digits:
            raise MalformedError(f"{match[2]} has {digits} decimals")
        try:
            return cls(amount_minor=int(Decimal(match[1]).scaleb(digits)), currency=match[2])
        except (ValueError, InvalidOperation) as error:
            raise MalformedError("an amount outside its range") from error

    def plus(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ValueError("two currencies do not add")
        return Money(amount_minor=self.amount_minor + other.amount_minor, currency=self.currency)

    def __str__(self) -> str:
        digits = MINOR_DIGITS[self.currency]
        return f"{Decimal(self.amount_minor).scaleb(-digits):.{digits}f} {self.currency}"
