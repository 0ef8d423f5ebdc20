"""One-time codes and sessions' secrets: drawn here, shown once, kept as keyed hashes alone."""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b32encode

CODE_BYTES = 15
SESSION_BYTES = 32
_CODE = re.compile("[a-z2-7]{24}", re.ASCII)


def new_code() -> str:
    """120 random bits."""
    return b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower()


def is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def new_session() -> str:
    return secrets.token_urlsafe(SESSION_BYTES)


def secret_hash(kind: str, secret: str, key: bytes) -> bytes:
    """32 bytes: HMAC-SHA-256 under ``key``, apart for each kind of secret."""
    return hmac.digest(key, f"{kind} {secret}".encode(), "sha256")
