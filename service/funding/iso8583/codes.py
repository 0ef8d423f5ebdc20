"""Codes of ISO 8583: what a host's response means, and currencies by number."""

from __future__ import annotations

from service.funding.processor import Refusal

APPROVED = "00"
REVERSED = frozenset({APPROVED, "21", "25"})
"""Reversed; no action was taken; there is no such original: in each case nothing is held."""

# ISO 8583:1987, field 39. What is not here is a decline for no reason that is told.
REFUSALS = {
    "03": Refusal.SOURCE_NOT_ACCEPTED,
    "04": Refusal.SOURCE_NOT_ACCEPTED,
    "14": Refusal.SOURCE_NOT_ACCEPTED,
    "33": Refusal.SOURCE_EXPIRED,
    "41": Refusal.SOURCE_NOT_ACCEPTED,
    "43": Refusal.SOURCE_NOT_ACCEPTED,
    "51": Refusal.INSUFFICIENT_FUNDS,
    "54": Refusal.SOURCE_EXPIRED,
    "57": Refusal.SOURCE_NOT_ACCEPTED,
    "61": Refusal.LIMIT_EXCEEDED,
    "62": Refusal.SOURCE_NOT_ACCEPTED,
    "65": Refusal.LIMIT_EXCEEDED,
    "91": Refusal.UNAVAILABLE,
    "96": Refusal.UNAVAILABLE,
}

# ISO 4217, of the currencies in wire/money.py.
NUMBERS = {
    "AED": "784", "AUD": "036", "BHD": "048", "BRL": "986", "CAD": "124", "CHF": "756",
    "CLP": "152", "CNY": "156", "CZK": "203", "DKK": "208", "EUR": "978", "GBP": "826",
    "HKD": "344", "HUF": "348", "INR": "356", "ISK": "352", "JOD": "400", "JPY": "392",
    "KRW": "410", "KWD": "414", "MXN": "484", "NOK": "578", "NZD": "554", "OMR": "512",
    "PLN": "985", "RUB": "643", "SEK": "752", "SGD": "702", "THB": "764", "TND": "788",
    "TRY": "949", "USD": "840", "VND": "704", "ZAR": "710",
}  # fmt: skip
