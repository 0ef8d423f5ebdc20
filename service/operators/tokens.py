"""API tokens: ``cnt_`` and 256 random bits in base32, for the JSON API.

Guarantees: only a keyed hash of a token is stored, so a copy of the database opens nothing,
and a row that was written without the service's key is no token. A token is looked up by that
hash: the time that this takes tells nothing of the token. A merchant's token never has a scope
outside ``MERCHANT_SCOPES``, whatever its row says.

The caller must still compare the scope of what is asked with :attr:`ApiToken.scopes`, show
only what belongs to :attr:`ApiToken.merchant` where that is set, and never log a token.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b32encode
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from wire.ids import Id, MerchantId

PREFIX = "cnt_"
TOKEN_BYTES = 32
DAY_MS = 24 * 3600 * 1000
TTL_DAYS_MAX = 366
PER_MINUTE = 600
BURST = 60
_TOKEN = re.compile(PREFIX + "[a-z2-7]{52}", re.ASCII)


class Scope(StrEnum):
    """What a token may be used for; each operation of the API names one."""

    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    ALARMS_READ = "alarms:read"
    ALARMS_WRITE = "alarms:write"
    ATTEMPTS_READ = "attempts:read"
    AUDIT_READ = "audit:read"
    DOORS_READ = "doors:read"
    DOORS_WRITE = "doors:write"
    MERCHANTS_READ = "merchants:read"
    MERCHANTS_WRITE = "merchants:write"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    REFUNDS_WRITE = "refunds:write"
    SETTLEMENTS_READ = "settlements:read"
    TERMINALS_READ = "terminals:read"
    TERMINALS_WRITE = "terminals:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


MERCHANT_SCOPES = frozenset(
    {
        Scope.ATTEMPTS_READ,
        Scope.MERCHANTS_READ,
        Scope.PAYMENTS_READ,
        Scope.PAYMENTS_WRITE,
        Scope.REFUNDS_WRITE,
        Scope.SETTLEMENTS_READ,
        Scope.TERMINALS_READ,
        Scope.TERMINALS_WRITE,
        Scope.WEBHOOKS_READ,
        Scope.WEBHOOKS_WRITE,
    }
)


class TokenId(Id):
    """Names a token in lists, commands and the audit log; opens nothing."""

    PREFIX = "tok"
    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A token as its row says it; ``merchant`` is None for an operator's."""

    token: TokenId
    name: str
    scopes: frozenset[Scope]
    merchant: MerchantId | None
    created_at_ms: int
    expires_at_ms: int
    revoked: bool = False


def new_token() -> str:
    return PREFIX + b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()


def is_token(text: str) -> bool:
    """Whether it has a token's shape: anything else need not be looked up."""
    return _TOKEN.fullmatch(text) is not None


def token_hash(token: str, key: bytes) -> bytes:
    """32 bytes: HMAC-SHA-256 under ``key``."""
    return hmac.digest(key, b"api-token" + token.encode(), "sha256")


def add(conn: Connection[Row], token: ApiToken, *, digest: bytes) -> None:
    conn.execute(
        """INSERT INTO api_tokens (token_hash, token_id, name, scopes, merchant_id,
        created_at_ms, expires_at_ms) VALUES (%s, %s, %s, %s, %s, %s, %s)""",
        (
            digest,
            token.token.raw,
            token.name,
            sorted(token.scopes),
            token.merchant.raw if token.merchant else None,
            token.created_at_ms,
            token.expires_at_ms,
        ),
    )


def find(conn: Connection[Row], digest: bytes, *, now_ms: int) -> ApiToken | None:
    """The token of this hash; None for one that is unknown, expired or revoked."""
    row = conn.execute(
        """SELECT token_id, name, scopes, merchant_id, created_at_ms, expires_at_ms,
        revoked_at_ms FROM api_tokens
        WHERE token_hash = %s AND expires_at_ms > %s AND revoked_at_ms IS NULL""",
        (digest, now_ms),
    ).fetchone()
    return _token(row) if row else None


def list_tokens(conn: Connection[Row], *, limit: int) -> list[ApiToken]:
    """Newest first, expired and revoked ones too."""
    rows = conn.execute(
        """SELECT token_id, name, scopes, merchant_id, created_at_ms, expires_at_ms,
        revoked_at_ms FROM api_tokens ORDER BY created_at_ms DESC, token_id LIMIT %s""",
        (limit,),
    ).fetchall()
    return [_token(row) for row in rows]


def _token(row: Row) -> ApiToken:
    raw, name, scopes, merchant, created_at_ms, expires_at_ms, revoked_at_ms = row
    known = frozenset(Scope) if merchant is None else MERCHANT_SCOPES
    return ApiToken(
        token=TokenId(raw),
        name=name,
        scopes=frozenset(scope for scope in known if scope in scopes),
        merchant=MerchantId(merchant) if merchant else None,
        created_at_ms=created_at_ms,
        expires_at_ms=expires_at_ms,
        revoked=revoked_at_ms is not None,
    )


def revoke(conn: Connection[Row], token: TokenId, *, now_ms: int) -> bool:
    """Takes effect with the next request; False for an unknown or revoked token."""
    done = conn.execute(
        "UPDATE api_tokens SET revoked_at_ms = %s WHERE token_id = %s AND revoked_at_ms IS NULL",
        (now_ms, token.raw),
    )
    return done.rowcount == 1


def take_allowance(conn: Connection[Row], token: TokenId, *, now_ms: int) -> bool:
    """A bucket of ``BURST`` for each token, refilled by ``PER_MINUTE``; False where empty."""
    done = conn.execute(
        """UPDATE api_tokens SET allowance_at_ms = %(now)s, allowance = -1
            + least(%(burst)s, allowance + greatest(0, %(now)s - allowance_at_ms) * %(rate)s)
        WHERE token_id = %(token)s
        AND least(%(burst)s, allowance + greatest(0, %(now)s - allowance_at_ms) * %(rate)s) >= 1""",
        {"now": now_ms, "burst": BURST, "rate": PER_MINUTE / 60_000, "token": token.raw},
    )
    return done.rowcount == 1
