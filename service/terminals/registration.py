"""One-time registration codes.

A code reads ``XXXXXXXX-XXXXXXXX.KKKKKKKKKKKKKKKK``: 80 random bits, then the first 80 bits of
SHA-256 of the service's signing key, so that the terminal pins the service whatever network it
is on. Guarantee: only the keyed hash of the random part is stored.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from hashlib import sha256

CODE_TTL_MS = 24 * 3600 * 1000


def new_code(service_key: bytes) -> str:
    secret = b32encode(secrets.token_bytes(10)).decode()
    return f"{secret[:8]}-{secret[8:]}.{fingerprint(service_key)}"


def fingerprint(service_key: bytes) -> str:
    return b32encode(sha256(service_key).digest()[:10]).decode()


def code_hash(code: str, key: bytes) -> bytes:
    """32 bytes; dashes, blanks and lower case do not matter."""
    secret = code.partition(".")[0].replace("-", "").replace(" ", "").upper()
    return hmac.digest(key, b"registration" + secret.encode(), "sha256")
