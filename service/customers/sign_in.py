"""How a customer gets in: by a link that somebody at the counter made, then by a passkey.

Guarantees: links and sessions stand only as keyed hashes; a link works once, for half an hour,
and a newer one ends it; erasing the account ends everything here.

The caller must give a link only to whoever has shown to be the customer.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from service.passkeys import Holders
from wire.ids import AccountId

LINK_TTL_MS = 30 * 60 * 1000
IDLE_MS = 15 * 60 * 1000
LIFE_MS = 2 * 3600 * 1000
CODE = "customer-code"
"""The kind of secret that a link's code is."""
PASSKEYS = Holders(
    id=AccountId,
    table="customer_passkeys",
    owner="account_id",
    people="accounts",
    admitted="state <> 'erased'",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """``erased``: of an account that is no more; it shows what proves that."""

    account: AccountId
    erased: bool


def keep_link(conn: Connection[Row], account: AccountId, digest: bytes, *, now_ms: int) -> bool:
    """False for unknown and erased accounts."""
    done = conn.execute(
        """INSERT INTO customer_links (account_id, code_hash, expires_at_ms)
        SELECT account_id, %s, %s FROM accounts WHERE account_id = %s AND state <> 'erased'
        ON CONFLICT (account_id) DO UPDATE SET code_hash = excluded.code_hash,
        expires_at_ms = excluded.expires_at_ms""",
        (digest, now_ms + LINK_TTL_MS, account.raw),
    )
    return done.rowcount == 1


def take_link(conn: Connection[Row], digest: bytes, *, now_ms: int) -> AccountId | None:
    """Whom the link lets in; it is used up."""
    row = conn.execute(
        """DELETE FROM customer_links WHERE code_hash = %s AND expires_at_ms > %s
        RETURNING account_id""",
        (digest, now_ms),
    ).fetchone()
    return AccountId(row[0]) if row else None


def begin_session(conn: Connection[Row], account: AccountId, digest: bytes, *, now_ms: int) -> None:
    conn.execute(
        "DELETE FROM customer_sessions WHERE created_at_ms <= %s OR seen_at_ms <= %s",
        (now_ms - LIFE_MS, now_ms - IDLE_MS),
    )
    conn.execute(
        """INSERT INTO customer_sessions (session_hash, account_id, created_at_ms, seen_at_ms)
        VALUES (%s, %s, %s, %s)""",
        (digest, account.raw, now_ms, now_ms),
    )


def resume_session(conn: Connection[Row], digest: bytes, *, now_ms: int) -> Session | None:
    """The session, if it is neither too old nor idle for too long."""
    row = conn.execute(
        """UPDATE customer_sessions s SET seen_at_ms = %(now)s FROM accounts a
        WHERE session_hash = %(session)s AND a.account_id = s.account_id
        AND seen_at_ms > %(now)s - %(idle)s AND s.created_at_ms > %(now)s - %(life)s
        RETURNING a.account_id, state = 'erased'""",
        {"now": now_ms, "session": digest, "idle": IDLE_MS, "life": LIFE_MS},
    ).fetchone()
    return Session(account=AccountId(row[0]), erased=row[1]) if row else None


def end_session(conn: Connection[Row], digest: bytes) -> None:
    conn.execute("DELETE FROM customer_sessions WHERE session_hash = %s", (digest,))


def end_other_sessions(conn: Connection[Row], account: AccountId, digest: bytes) -> None:
    """All but the one that asks for it."""
    conn.execute(
        "DELETE FROM customer_sessions WHERE account_id = %s AND session_hash <> %s",
        (account.raw, digest),
    )


def forget(conn: Connection[Row], account: AccountId) -> None:
    """Every way in, of an account that is erased."""
    conn.execute("DELETE FROM customer_links WHERE account_id = %s", (account.raw,))
    conn.execute("DELETE FROM customer_sessions WHERE account_id = %s", (account.raw,))
    conn.execute("DELETE FROM customer_passkeys WHERE account_id = %s", (account.raw,))
