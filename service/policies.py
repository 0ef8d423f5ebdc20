"""Policies in PostgreSQL: numbered rows, each signed by the service.

Guarantee: a row that was changed in the database is refused, not used.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.errors import Misconfigured
from service.keys import check_row
from service.verification.policy import Policy, default_policy
from wire.envelope import SigningKey

_LABEL = b"countenance/v1/policy"


def publish(conn: Connection[Row], policy: Policy, key: SigningKey, *, now_ms: int) -> int:
    """Stores the policy as the newest version; returns its number."""
    conn.execute("LOCK TABLE policies IN SHARE ROW EXCLUSIVE MODE")
    row = conn.execute("SELECT coalesce(max(version), 0) + 1 FROM policies").fetchone()
    version = int(row[0]) if row else 1
    document = policy.to_document()
    conn.execute(
        "INSERT INTO policies (version, document, signature, created_at_ms)"
        " VALUES (%s, %s, %s, %s)",
        (version, document, key.private.sign(_signed(version, document)), now_ms),
    )
    return version


def latest(conn: Connection[Row], key: SigningKey, *, now_ms: int) -> tuple[int, Policy]:
    """The newest policy; the default one is published where there is none."""
    row = conn.execute("SELECT max(version) FROM policies").fetchone()
    version = row[0] if row else None
    if version is None:
        version = publish(conn, default_policy(), key, now_ms=now_ms)
    return version, load(conn, version, key)


def load(conn: Connection[Row], version: int, key: SigningKey) -> Policy:
    """Raises :class:`Misconfigured` for a version that is missing or was tampered with."""
    row = conn.execute(
        "SELECT document, signature FROM policies WHERE version = %s", (version,)
    ).fetchone()
    if row is None:
        raise Misconfigured(f"policy {version} is missing")
    document, signature = row
    check_row(key, signature, _signed(version, document), f"policy {version}")
    return Policy.from_document(document)


def _signed(version: int, document: str) -> bytes:
    return _LABEL + version.to_bytes(4, "big") + document.encode()
