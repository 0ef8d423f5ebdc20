"""The second factor: a PIN of 4 to 12 digits, kept as peppered argon2id.

Guarantee: :meth:`PinHasher.refuse` costs the same whether the account has a PIN, has
another PIN, or does not exist, and whether a PIN was sent, or one of the wrong length.
Parameters: OWASP's argon2id minimum (19 MiB, 2 passes), RFC 9106.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from wire.denial import Denial
from wire.ids import AccountId

DIGITS_MIN, DIGITS_MAX = 4, 12


def is_pin(pin: str) -> bool:
    return DIGITS_MIN <= len(pin) <= DIGITS_MAX and pin.isascii() and pin.isdigit()


class PinHasher:
    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._argon = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._decoy = self._argon.hash(secrets.token_urlsafe(16))

    def hash(self, pin: str, account: AccountId) -> str:
        return self._argon.hash(self._peppered(pin, account))

    def judge(
        self, stored: str | None, duress: str | None, pin: str | None, account: AccountId
    ) -> tuple[Denial | None, bool]:
        """Why ``pin`` is not the account's, and whether it is the one that calls for help.

        After the same work in every case: both hashes are tried.
        """
        own = self.verify(stored, pin or "", account)
        helped = self.verify(duress, pin or "", account)
        if pin is None or not is_pin(pin):
            return Denial.PIN_MISSING, False
        return None if own or helped else Denial.PIN_WRONG, helped

    def verify(self, stored: str | None, pin: str, account: AccountId) -> bool:
        try:
            matches = self._argon.verify(stored or self._decoy, self._peppered(pin, account))
        except (VerificationError, InvalidHashError):
            return False
        return matches and stored is not None

    def _peppered(self, pin: str, account: AccountId) -> bytes:
        return b64encode(hmac.digest(self._pepper, account.raw + pin.encode(), "sha256"))
