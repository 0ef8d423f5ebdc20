"""Accounts and their references in PostgreSQL, in the caller's transaction.

Guarantees: a claim stands only as a keyed hash; a reference only encrypted; erasing an account
destroys its data key, claims, PIN and references in one transaction.

The caller must still keep database backups no longer than erasure may take: a backup made
before it holds the wrapped key.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from psycopg import Connection

from access.lockout import Tallies, Tally
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
    """An account as an attempt sees it. ``wrapped_key`` is None once it is erased; ``processor``
    has its outside money, None where its own wallet pays; ``blinded``: whether the digest that
    doors need of the claim is kept.
    """

    account: AccountId
    state: str
    consent_version: str | None
    wrapped_key: bytes | None = field(repr=False)
    pin_hash: str | None = field(repr=False)
    duress_hash: str | None = field(repr=False)
    tallies: Tallies
    references: tuple[StoredReference, ...]
    processor: str | None = None
    blinded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RosteredAccount:
    """An account that a door may decide on alone, by one of its claims."""

    account: AccountId
    blinded: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)
    face: Tally


def lock_by_claim(conn: Connection[Row], claim_hash: bytes) -> Account | None:
    """Finds the one account that was claimed, and locks it until the transaction ends.

    The same two statements run where there is no account: their time must not tell.
    """
    locked = conn.execute(
        """SELECT account_id, state, consent_version, wrapped_key, pin_hash, duress_hash,
        failures, locked_until_ms, pin_failures, pin_locked_until_ms, processor,
        blinded IS NOT NULL FROM claims JOIN accounts USING (account_id)
        LEFT JOIN funding_sources USING (account_id) WHERE claim_hash = %s
        FOR UPDATE OF accounts""",
        (claim_hash,),
    )
    references = conn.execute(
        """SELECT version, model_id, ciphertext FROM claims
        JOIN face_references USING (account_id) WHERE claim_hash = %s ORDER BY version""",
        (claim_hash,),
    )
    row = locked.fetchone()
    if row is None:
        return None
    account = AccountId(row[0])
    return Account(
        account=account,
        state=row[1],
        consent_version=row[2],
        wrapped_key=row[3],
        pin_hash=row[4],
        duress_hash=row[5],
        tallies=Tallies(face=Tally(row[6], row[7]), pin=Tally(row[8], row[9])),
        references=tuple(
            StoredReference(
                slot=Slot(account=account, model_id=model_id, version=version),
                ciphertext=ciphertext,
            )
            for version, model_id, ciphertext in references.fetchall()
        ),
        processor=row[10],
        blinded=row[11],
    )


def keep_blinded(conn: Connection[Row], claim_hash: bytes, blinded: bytes) -> None:
    """Of a claim that was enrolled before there were such digests."""
    conn.execute("UPDATE claims SET blinded = %s WHERE claim_hash = %s", (blinded, claim_hash))


def rostered(conn: Connection[Row], found: Collection[AccountId]) -> list[RosteredAccount]:
    """Those of the accounts that a door may decide on alone, in order.

    Not accounts in holder mode, whose references the service alone cannot open.
    """
    rows = conn.execute(
        """SELECT account_id, blinded, wrapped_key, failures, locked_until_ms
        FROM accounts JOIN claims USING (account_id) WHERE account_id = ANY(%s)
        AND state = 'active' AND consent_version IS NOT NULL AND wrapped_key IS NOT NULL
        AND NOT holder_mode AND blinded IS NOT NULL ORDER BY account_id, claim_hash""",
        ([each.raw for each in found],),
        binary=True,
    ).fetchall()
    return [
        RosteredAccount(
            account=AccountId(raw), blinded=blinded, wrapped_key=key, face=Tally(failures, until_ms)
        )
        for raw, blinded, key, failures, until_ms in rows
    ]


def references_of(
    conn: Connection[Row], found: Collection[AccountId], model_id: bytes
) -> dict[AccountId, list[StoredReference]]:
    """The references by one model, first version first."""
    rows = conn.execute(
        """SELECT account_id, version, ciphertext FROM face_references
        WHERE account_id = ANY(%s) AND model_id = %s ORDER BY account_id, version""",
        ([each.raw for each in found], model_id),
        binary=True,
    ).fetchall()
    references: dict[AccountId, list[StoredReference]] = {}
    for raw, version, ciphertext in rows:
        account = AccountId(raw)
        slot = Slot(account=account, model_id=model_id, version=version)
        references.setdefault(account, []).append(StoredReference(slot=slot, ciphertext=ciphertext))
    return references


def lock_tallies(conn: Connection[Row], found: Collection[AccountId]) -> dict[AccountId, Tallies]:
    """Of those of the accounts that exist; locked in order, until the transaction ends."""
    rows = conn.execute(
        """SELECT account_id, failures, locked_until_ms, pin_failures, pin_locked_until_ms
        FROM accounts WHERE account_id = ANY(%s) ORDER BY account_id FOR UPDATE""",
        ([each.raw for each in found],),
    ).fetchall()
    return {
        AccountId(raw): Tallies(face=Tally(*face), pin=Tally(*pin))
        for raw, face, pin in ((row[0], row[1:3], row[3:]) for row in rows)
    }


def lock_key(conn: Connection[Row], account: AccountId) -> bytes | None:
    """The wrapped data key of an account that is not erased, which it stays until the end of the
    transaction; None for an unknown or erased one.
    """
    row = conn.execute(
        "SELECT wrapped_key FROM accounts WHERE account_id = %s FOR SHARE", (account.raw,)
    ).fetchone()
    return bytes(row[0]) if row and row[0] else None


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
    blinded: bytes,
    consent_version: str | None,
    wrapped_key: bytes,
    holder_mode: bool,
    pin_hash: str | None,
    references: Sequence[StoredReference],
    now_ms: int,
) -> None:
    conn.execute(
        """INSERT INTO accounts (account_id, state, consent_version, consented_at_ms, wrapped_key,
        holder_mode, pin_hash, created_at_ms) VALUES (%s, 'active', %s, %s, %s, %s, %s, %s)""",
        (
            account.raw,
            consent_version,
            None if consent_version is None else now_ms,
            wrapped_key,
            holder_mode,
            pin_hash,
            now_ms,
        ),
    )
    conn.execute(
        "INSERT INTO claims (claim_hash, account_id, blinded) VALUES (%s, %s, %s)",
        (claim_hash, account.raw, blinded),
    )
    add_references(conn, references, now_ms=now_ms)


def add_references(
    conn: Connection[Row], references: Sequence[StoredReference], *, now_ms: int
) -> None:
    for each in references:
        conn.execute(
            """INSERT INTO face_references (account_id, version, model_id, ciphertext,
            created_at_ms) VALUES (%s, %s, %s, %s, %s)""",
            (each.slot.account.raw, each.slot.version, each.slot.model_id, each.ciphertext, now_ms),
        )


def set_tallies(conn: Connection[Row], account: AccountId, tallies: Tallies) -> None:
    conn.execute(
        """UPDATE accounts SET failures = %s, locked_until_ms = %s, pin_failures = %s,
        pin_locked_until_ms = %s WHERE account_id = %s""",
        (
            tallies.face.failures,
            tallies.face.locked_until_ms,
            tallies.pin.failures,
            tallies.pin.locked_until_ms,
            account.raw,
        ),
    )


def unlock_pin(conn: Connection[Row], account: AccountId) -> bool:
    """Forgets the PIN's failures; False for unknown or erased accounts."""
    done = conn.execute(
        """UPDATE accounts SET pin_failures = 0, pin_locked_until_ms = 0
        WHERE account_id = %s AND state <> 'erased'""",
        (account.raw,),
    )
    return done.rowcount == 1


def set_state(conn: Connection[Row], account: AccountId, *, active: bool) -> bool:
    """Suspends or resumes, and forgets the face's failures; False for unknown or erased ones."""
    done = conn.execute(
        """UPDATE accounts SET state = %s, paused = false, failures = 0, locked_until_ms = 0
        WHERE account_id = %s AND state <> 'erased'""",
        ("active" if active else "suspended", account.raw),
    )
    return done.rowcount == 1


def pause(conn: Connection[Row], account: AccountId) -> bool:
    """Suspends for its customer; False for what is not active."""
    done = conn.execute(
        """UPDATE accounts SET state = 'suspended', paused = true
        WHERE account_id = %s AND state = 'active'""",
        (account.raw,),
    )
    return done.rowcount == 1


def end_pause(conn: Connection[Row], account: AccountId) -> bool:
    """Of what the customer paused alone; failures and lockouts stay as they are."""
    done = conn.execute(
        """UPDATE accounts SET state = 'active', paused = false
        WHERE account_id = %s AND paused""",
        (account.raw,),
    )
    return done.rowcount == 1


def withdraw_consent(conn: Connection[Row], account: AccountId) -> bool:
    """Destroys the references, and leaves an account without a face; False without a consent."""
    done = conn.execute(
        """UPDATE accounts SET consent_version = NULL, consented_at_ms = NULL
        WHERE account_id = %s AND state <> 'erased' AND consent_version IS NOT NULL""",
        (account.raw,),
    )
    if done.rowcount == 1:
        conn.execute("DELETE FROM face_references WHERE account_id = %s", (account.raw,))
    return done.rowcount == 1


def pin_hash_of(conn: Connection[Row], account: AccountId) -> str | None:
    """None for an unknown account, an erased one, or one without a PIN; locks it."""
    row = conn.execute(
        "SELECT pin_hash FROM accounts WHERE account_id = %s FOR UPDATE", (account.raw,)
    ).fetchone()
    return row[0] if row else None


def set_duress_hash(conn: Connection[Row], account: AccountId, duress_hash: str | None) -> bool:
    """False where there was nothing to take away, or nobody to give it to."""
    done = conn.execute(
        """UPDATE accounts SET duress_hash = %(hash)s WHERE account_id = %(account)s
        AND (duress_hash IS NOT NULL OR (%(hash)s::text IS NOT NULL AND state <> 'erased'))""",
        {"hash": duress_hash, "account": account.raw},
    )
    return done.rowcount == 1


def erase(conn: Connection[Row], account: AccountId) -> bool:
    """Destroys all that could recognize the person; False for unknown or erased accounts."""
    done = conn.execute(
        """UPDATE accounts SET state = 'erased', paused = false, wrapped_key = NULL,
        pin_hash = NULL, duress_hash = NULL, consent_version = NULL
        WHERE account_id = %s AND state <> 'erased'""",
        (account.raw,),
    )
    conn.execute("DELETE FROM face_references WHERE account_id = %s", (account.raw,))
    conn.execute("DELETE FROM claims WHERE account_id = %s", (account.raw,))
    return done.rowcount == 1


def keep_erasure(conn: Connection[Row], account: AccountId, leaf_hash: bytes) -> None:
    """What proves that the account was erased."""
    conn.execute("UPDATE accounts SET erasure = %s WHERE account_id = %s", (leaf_hash, account.raw))


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


def list_references(conn: Connection[Row], account: AccountId) -> tuple[tuple[str, int, int], ...]:
    """Of each face reference the model's id in hex, its number and when it was made, the newest
    first; never what it is."""
    rows = conn.execute(
        """SELECT model_id, version, created_at_ms FROM face_references WHERE account_id = %s
        ORDER BY created_at_ms DESC, model_id, version""",
        (account.raw,),
    ).fetchall()
    return tuple((bytes(model).hex(), number, at_ms) for model, number, at_ms in rows)
