"""Enrolling a customer: consent first, then the claim, a PIN, and the face.

Guarantees: the evidence names the version of the text that was agreed to; the service refuses
another one than its policy's.

The caller must show the text and get a yes, and must offer a way without a face to who says no.
"""

from __future__ import annotations

from terminal_client.errors import UsageError
from terminal_client.keystore import Identity
from wire.ids import AccountId
from wire.messages import CLAIM_CHARS_MAX, EnrolmentContext, TerminalKind

CONSENT_VERSION = "2026-11"
CONSENT_TEXT = """\
Your face is measured now. Pictures stay on this device and are not kept. The measurements are
sent encrypted, kept encrypted, and compared only when somebody claims to be you. You can
withdraw at any time: the key to your measurements is then destroyed, and you get a receipt.
You do not need a face here: card and PIN work, too."""
PIN_DIGITS_MIN, PIN_DIGITS_MAX = 4, 12


def enrolment(identity: Identity, account: AccountId, consent_version: str) -> EnrolmentContext:
    """Raises :class:`UsageError` on a terminal of another kind."""
    identity.require(TerminalKind.ENROLMENT)
    return EnrolmentContext(account=account, consent_version=consent_version)


def check_pin(pin: str) -> str:
    """Raises :class:`UsageError`; its text does not hold the PIN."""
    digits = pin.isascii() and pin.isdigit()
    if not digits or not PIN_DIGITS_MIN <= len(pin) <= PIN_DIGITS_MAX:
        raise UsageError(f"a PIN has {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} digits")
    return pin


def check_claim(claim: str) -> str:
    """Raises :class:`UsageError`; its text does not hold the claim."""
    kind, _, what = claim.partition(":")
    if not (kind.isascii() and kind.isalpha() and what.strip()) or len(claim) > CLAIM_CHARS_MAX:
        raise UsageError("a claim reads card:…, phone:…, qr:… or badge:…")
    return claim
