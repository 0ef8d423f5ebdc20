"""Enrolling a customer: consent first, then the claim, a PIN, and the face.

Guarantees: the evidence names the version of the text that was agreed to, and the language that it
was shown in; the service refuses another version than its policy's.

The caller must show the text and get a yes, and must offer a way without a face to who says no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from terminal_client.errors import UsageError
from terminal_client.keystore import Identity
from wire.ids import AccountId
from wire.messages import CLAIM_CHARS_MAX, EnrolmentContext, TerminalKind

CONSENT_VERSION = "2026-11"
CONSENT_TEXT = """\
Your face is measured now. Pictures stay on this device and are not kept. The measurements are
sent encrypted, kept encrypted, and compared only when somebody claims to be you. You can
withdraw at any time: your measurements are then deleted. If you have your account erased, the
key to them is destroyed, too, and you get a receipt that proves it.
You do not need a face here: card and PIN work, too."""
PIN_DIGITS_MIN, PIN_DIGITS_MAX = 4, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The text of one version; ``texts`` has it by language, the terminal's own first.

    Who changes a text gives it a new version: the evidence names no more than version and language.
    """

    version: str
    texts: Mapping[str, str]

    def language(self, wanted: str) -> str:
        """The language that a reader of ``wanted`` is shown."""
        return wanted if wanted in self.texts else next(iter(self.texts))

    def named(self, language: str) -> str:
        """What was agreed to, as the evidence names it: ``2026-11/es``."""
        return f"{self.version}/{language}"


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
