"""The catalogues of the customer's page, and the words of other packages that it shows by value."""

from __future__ import annotations

from texts import spoken
from wire.denial import Reason
from wire.messages import Purpose

TRANSFER_STATES = ("pending", "posted", "voided", "expired")
WORDS = sorted(
    {
        spoken(value)
        for value in (*Reason, *(each.name.lower() for each in Purpose), *TRANSFER_STATES)
    }
)
