"""What proves to a merchant's system that an event is the service's: HMAC-SHA-256 with the time.

The header ``Countenance-Signature`` is ``t=`` the Unix time in seconds, and a ``v1=`` for each
secret in force, over ``t``, a dot and the body as sent: Stripe's scheme. While a secret is
rotated the old one signs too, so a receiver that knows either accepts.

The receiver must compare in constant time, and refuse what is minutes old.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Sequence

HEADER = "Countenance-Signature"
PREFIX = "whsec_"


def secret_text(secret: bytes) -> str:
    """As the merchant gets it, and as it signs: ``whsec_`` and 52 characters."""
    return PREFIX + b32encode(secret).decode().rstrip("=").lower()


def sign(body: bytes, secrets: Sequence[str], *, at_s: int) -> str:
    """The header's value."""
    said = f"{at_s}.".encode() + body
    marks = (hmac.digest(secret.encode(), said, "sha256").hex() for secret in secrets)
    return ",".join([f"t={at_s}", *(f"v1={mark}" for mark in marks)])
