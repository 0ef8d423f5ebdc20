"""Accounts and their references in PostgreSQL, in the caller's transaction.

Guarantees: a claim stands only as a keyed hash; a reference only encrypted; erasing an account
destroys its data key, claims, PIN and references in one transaction.

The caller must still keep database backups no longer than erasure may take: a backup made
before it holds the wrapped key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from service.db import Row
from service.verification.protection import Slot
from wire.ids import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReference:
    slot: Slot
    ciphertext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledReference:
    reference: StoredReference
    wrapped_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as an attempt sees it. ``wrapped_key`` is None once it is erased."""

    account: AccountId
    state: str
    consent_version: str | None
    wrapped_key: bytes | None = field(repr=False)
    pin_hash: str | None = field(repr=False)
    failures: int
    locked_until_ms: int
    references: tuple[StoredReference, ...]


def lock_by_claim(conn: Connection[Row], claim_hash: bytes) -> Account | None:
    """Finds the one account that was claimed, and locks it until the transaction ends."""
    row = conn.execute(
        """SELECT account_id, state, consent_version, wrapped_key, pin_hash, failures,
        locked_until_ms FROM claims JOIN accounts USING (account_id) WHERE claim_hash = %s
        FOR UPDATE OF accounts""",
        (claim_hash,),
    ).fetchone()
    # The same two statements run where there is no account: their time must not tell.
    account = AccountId(row[0]) if row else AccountId(bytes(16))
    references = conn.execute(
        """SELECT version, model_id, ciphertext FROM face_references WHERE account_id = %s
        ORDER BY version""",
        (account.raw,),
    ).fetchall()
    if row is None:
        return None
    return Account(
        account=account,
        state=row[1],
        consent_version=row[2],
        wrapped_key=row[3],
        pin_hash=row[4],
        failures=row[5],
        locked_until_ms=row[6],
        references=tuple(
            StoredReference(
                slot=Slot(account=account, model_id=model_id, version=version),
                ciphertext=ciphertext,
            )
            for version, model_id, ciphertext in references
        ),
    )


def claim_taken(conn: Connection[Row], claim_hash: bytes, account: AccountId) -> bool:
    row = conn.execute(
        "SELECT 1 FROM claims WHERE claim_hash = %s UNION ALL"
        " SELECT 1 FROM accounts WHERE account_id = %s",
        (claim_hash, account.raw),
    ).fetchone()
    return row is not None


def create(
    conn: Connection[Row],
    account: AccountId,
    *,
    claim_hash: bytes,
    consent_version: str,
    wrapped_key: bytes,
    holder_mode: bool,
    pin_hash: str | None,
    references: Sequence[StoredReference],
    now_ms: int,
) -> None:
    conn.execute(
        """INSERT INTO accounts (account_id, state, consent_version, consented_at_ms, wrapped_key,
        holder_mode, pin_hash, created_at_ms) VALUES (%s, 'active', %s, %s, %s, %s, %s, %s)""",
        (account.raw, consent_version, now_ms, wrapped_key, holder_mode, pin_hash, now_ms),
    )
    conn.execute(
        "INSERT INTO claims (claim_hash, account_id) VALUES (%s, %s)", (claim_hash, account.raw)
    )
    add_references(conn, references, now_ms=now_ms)


def add_references(
    conn: Connection[Row], references: Sequence[StoredReference], *, now_ms: int
) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO face_references (account_id, version, model_id, ciphertext,
            created_at_ms) VALUES (%s, %s, %s, %s, %s)""",
            [
                (
                    each.slot.account.raw,
                    each.slot.version,
                    each.slot.model_id,
                    each.ciphertext,
                    now_ms,
                )
                for each in references
            ],
        )


def set_failures(
    conn: Connection[Row], account: AccountId, *, failures: int, locked_until_ms: int
) -> None:
    conn.execute(
        "UPDATE accounts SET failures = %s, locked_until_ms = %s WHERE account_id = %s",
        (failures, locked_until_ms, account.raw),
    )


def set_state(conn: Connection[Row], account: AccountId, *, active: bool) -> bool:
    """Suspends or resumes; resuming forgets failures. False for unknown or erased accounts."""
    done = conn.execute(
        """UPDATE accounts SET state = %s, failures = 0, locked_until_ms = 0
        WHERE account_id = %s AND state <> 'erased'""",
        ("active" if active else "suspended", account.raw),
    )
    return done.rowcount == 1


def erase(conn: Connection[Row], account: AccountId) -> bool:
    """Destroys all that could recognize the person; False for unknown or erased accounts."""
    done = conn.execute(
        """UPDATE accounts SET state = 'erased', wrapped_key = NULL, pin_hash = NULL,
        consent_version = NULL WHERE account_id = %s AND state <> 'erased'""",
        (account.raw,),
    )
    conn.execute("DELETE FROM face_references WHERE account_id = %s", (account.raw,))
    conn.execute("DELETE FROM claims WHERE account_id = %s", (account.raw,))
    return done.rowcount == 1


def list_accounts(conn: Connection[Row], *, limit: int) -> list[tuple[AccountId, str, int]]:
    """(account, state, number of references), newest first."""
    rows = conn.execute(
        """SELECT account_id, state, count(version) FROM accounts
        LEFT JOIN face_references USING (account_id)
        GROUP BY account_id, state, accounts.created_at_ms
        ORDER BY accounts.created_at_ms DESC, account_id
        LIMIT %s""",
        (limit,),
    ).fetchall()
    return [(AccountId(raw), state, number) for raw, state, number in rows]


def sample(
    conn: Connection[Row], model_id: bytes, site: str, start: AccountId, *, limit: int
) -> list[SampledReference]:
    """One reference each of the accounts from ``start`` upwards, by id.

    ``site`` takes those alone who enrolled there; the empty one takes all. Accounts in holder
    mode, suspended or erased are left out.
    """
    rows = conn.execute(
        """SELECT DISTINCT ON (account_id) account_id, wrapped_key, version, ciphertext
        FROM face_references JOIN accounts USING (account_id)
        WHERE account_id >= %(start)s AND model_id = %(model)s
        AND state = 'active' AND NOT holder_mode
        AND (%(site)s = '' OR EXISTS (SELECT FROM attempts JOIN terminals USING (terminal_id)
            WHERE attempts.account_id = face_references.account_id AND purpose = 4
            AND denial IS NULL AND site = %(site)s))
        ORDER BY account_id, version LIMIT %(limit)s""",
        {"start": start.raw, "model": model_id, "site": site, "limit": limit},
    ).fetchall()
    return [
        SampledReference(
            reference=StoredReference(
                slot=Slot(account=AccountId(raw), model_id=model_id, version=version),
                ciphertext=ciphertext,
            ),
            wrapped_key=wrapped_key,
        )
        for raw, wrapped_key, version, ciphertext in rows
    ]


def count_by_models(conn: Connection[Row]) -> dict[frozenset[bytes], int]:
    """How many accounts, not erased, have references of exactly these models."""
    conn.execute("SET LOCAL statement_timeout = '60s'")
    rows = conn.execute(
        """SELECT models, count(*) FROM (SELECT array_agg(DISTINCT model_id::bytea) AS models
        FROM face_references GROUP BY account_id) AS each_account GROUP BY models"""
    ).fetchall()
    return {frozenset(models): number for models, number in rows}
