"""Idempotency keys: a request that is sent again gets the first answer again.

Guarantees: the answer is kept in the transaction that did what it says, so both are there or
neither is; it is encrypted under the service's key, since some answers are shown once. Of two
requests with one key at the same moment, one is carried out and the other waits for it.

The caller must still keep apart what different clients ask (:func:`slot_of`), and give each key
one request's digest. Shape: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from psycopg import Connection

from service.db import Row
from service.keys import KeyRing
from wire.ids import MerchantId, TransferId

KEPT_MS = 30 * 24 * 3_600_000
FORGET_BATCH_MAX = 10_000
OPERATORS = bytes(16)


@dataclass(frozen=True, slots=True)
class Answer:
    """``again``: it was given before."""

    status: int
    body: bytes = field(repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the answer to one key is kept; 32 bytes."""

    raw: bytes

    @property
    def transfer(self) -> TransferId:
        """The transfer that the request makes, if it makes one: the same for the same key."""
        return TransferId(sha256(b"transfer" + self.raw).digest()[:16])


def slot_of(key: str, merchant: MerchantId | None) -> Slot:
    """Keys are a merchant's own, whatever token it uses; so are the operators'."""
    owner = merchant.raw if merchant else OPERATORS
    return Slot(sha256(owner + key.encode()).digest())


def digest_of(method: str, path: str, body: Any) -> bytes:
    """SHA-256 of what is asked, however its JSON is written."""
    return sha256(json.dumps([method, path, body], sort_keys=True).encode()).digest()


def once(
    conn: Connection[Row],
    slot: Slot,
    digest: bytes,
    act: Callable[[], Answer],
    *,
    keys: KeyRing,
    now_ms: int,
) -> Answer | None:
    """Carries out ``act`` and keeps its answer, or gives the answer that is kept.

    None where the key was used for another request.
    """
    claimed = conn.execute(
        """INSERT INTO idempotency_keys (slot, request_digest, created_at_ms)
        VALUES (%s, %s, %s) ON CONFLICT DO NOTHING""",
        (slot.raw, digest, now_ms),
    )
    if claimed.rowcount == 0:
        return _recall(conn, slot, digest, keys)
    answer = act()
    conn.execute(
        "UPDATE idempotency_keys SET status = %s, answer = %s WHERE slot = %s",
        (answer.status, keys.seal_answer(answer.body, slot.raw), slot.raw),
    )
    return answer


def _recall(conn: Connection[Row], slot: Slot, digest: bytes, keys: KeyRing) -> Answer | None:
    row = conn.execute(
        "SELECT request_digest, status, answer FROM idempotency_keys WHERE slot = %s", (slot.raw,)
    ).fetchone()
    if row is None or row[0] != digest:
        return None
    body = keys.open_answer(row[2], slot.raw)
    return None if body is None else Answer(row[1], body, again=True)


def forget(conn: Connection[Row], *, now_ms: int) -> int:
    """Deletes what is older than ``KEPT_MS``, at most a batch; returns how many."""
    done = conn.execute(
        """DELETE FROM idempotency_keys WHERE slot IN (SELECT slot FROM idempotency_keys
        WHERE created_at_ms < %s LIMIT %s FOR UPDATE SKIP LOCKED)""",
        (now_ms - KEPT_MS, FORGET_BATCH_MAX),
    )
    return done.rowcount
