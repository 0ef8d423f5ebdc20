"""The log's writer: entries in the caller's transaction, positions and checkpoints later.

Guarantees: :func:`append` never waits for another writer. :func:`integrate` gives every
committed entry one position, without gaps, however many processes call it: one works, the
others return at once. A checkpoint is signed only after its tree is stored with it, in one
transaction, and it extends the last one.

The caller must still commit; and must keep copies of checkpoints elsewhere, since whoever
holds both the database and the log key could begin a new history.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable

from psycopg import Connection

from service.audit.merkle import inclusion_path, leaf_hash, node_hash, root_of
from service.audit.notes import Checkpoint, sign_checkpoint
from service.db import Row
from service.keys import LogSigner

LOCK_KEY = 0x6C6F67  # "log"
BATCH_MAX = 4096


def append(conn: Connection[Row], leaf: bytes) -> bytes:
    """Stores a leaf's bytes with the act that it records; returns its RFC 6962 leaf hash."""
    digest = leaf_hash(leaf)
    conn.execute("INSERT INTO audit_entries (leaf, leaf_hash) VALUES (%s, %s)", (leaf, digest))
    return digest


def integrate(conn: Connection[Row], signer: LogSigner, *, now_ms: int) -> Checkpoint | None:
    """Gives up to ``BATCH_MAX`` waiting entries their positions and signs a checkpoint.

    None where nothing waits, or where another process is at it.
    """
    locked = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK_KEY,)).fetchone()
    if locked != (True,):
        return None
    size = size_of(conn)
    waiting = conn.execute(
        """SELECT entry_id, leaf_hash FROM audit_entries WHERE position IS NULL
        ORDER BY entry_id LIMIT %s""",
        (BATCH_MAX,),
    ).fetchall()
    if not waiting:
        return None
    with conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE audit_entries SET position = %s WHERE entry_id = %s",
            [(size + offset, entry) for offset, (entry, _) in enumerate(waiting)],
        )
        grown = _grow(conn, size, (digest for _, digest in waiting))
        cursor.executemany(
            "INSERT INTO audit_nodes (level, index, hash) VALUES (%s, %s, %s)",
            [(level, index, digest) for (level, index), digest in grown.items()],
        )
    size += len(waiting)
    root = root_of(
        size, lambda level, index: grown.get((level, index)) or _node(conn, level, index)
    )
    checkpoint = sign_checkpoint(size, root, signer)
    conn.execute(
        "INSERT INTO audit_checkpoints (size, root, note, created_at_ms) VALUES (%s, %s, %s, %s)",
        (size, root, checkpoint.note, now_ms),
    )
    return checkpoint


def _grow(
    conn: Connection[Row], size: int, digests: Iterable[bytes]
) -> dict[tuple[int, int], bytes]:
    """The perfect subtrees that the new leaves complete."""
    grown: dict[tuple[int, int], bytes] = {}
    for index, digest in enumerate(digests, start=size):
        level, place, node = 0, index, digest
        grown[0, place] = node
        while place & 1:
            sibling = grown.get((level, place - 1)) or _node(conn, level, place - 1)
            node = node_hash(sibling, node)
            level, place = level + 1, place >> 1
            grown[level, place] = node
    return grown


def _node(conn: Connection[Row], level: int, index: int) -> bytes:
    row = conn.execute(
        "SELECT hash FROM audit_nodes WHERE level = %s AND index = %s", (level, index)
    ).fetchone()
    if row is None:
        raise RuntimeError(
            f"the audit log lacks node {level}/{index}: run countenance audit verify"
        )
    return bytes(row[0])


def size_of(conn: Connection[Row]) -> int:
    """How many entries the newest checkpoint covers."""
    row = conn.execute("SELECT coalesce(max(size), 0) FROM audit_checkpoints").fetchone()
    return int(row[0]) if row else 0


def latest_checkpoint(conn: Connection[Row]) -> bytes | None:
    """The newest checkpoint's signed note."""
    row = conn.execute("SELECT note FROM audit_checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    return bytes(row[0]) if row else None


def receipt(conn: Connection[Row], digest: bytes) -> bytes | None:
    """The entry with its inclusion proof and checkpoint, in the shape of C2SP tlog-proof.

    None for a leaf hash that is unknown or that no checkpoint covers yet. Verifies offline
    with :func:`service.audit.verify.verify_receipt`.
    """
    row = conn.execute(
        """SELECT position, leaf FROM audit_entries WHERE leaf_hash = %s
        AND position < (SELECT max(size) FROM audit_checkpoints)""",
        (digest,),
    ).fetchone()
    note = latest_checkpoint(conn)
    if row is None or note is None:
        return None
    position, leaf = row
    path = inclusion_path(position, size_of(conn), lambda level, index: _node(conn, level, index))
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {b64encode(leaf).decode()}",
        f"index {position}",
        *(b64encode(each).decode() for each in path),
        "",
    ]
    return "\n".join(lines).encode() + b"\n" + note
