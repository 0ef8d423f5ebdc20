"""Who was where is forgotten after a while; who is where now is not.

Guarantees: no decision changes by it, for the rules look at what holds now alone; explanations of
moments before say that nothing is known. The log's leaves stay: they are pseudonymous, and lead to
nobody once an account is erased.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row

BATCH_MAX = 5_000


def forget_past(conn: Connection[Row], *, before_ms: int, limit: int = BATCH_MAX) -> int:
    """Presences and waits that ended before then, the oldest first; how many, at most ``limit`` of
    each. The caller goes on until it is 0."""
    past = [
        row[0]
        for row in conn.execute(
            """SELECT presence_id FROM presences WHERE until_ms < %s
            ORDER BY until_ms LIMIT %s FOR UPDATE SKIP LOCKED""",
            (before_ms, limit),
        ).fetchall()
    ]
    # An entry of so long ago no longer fails, and gives nothing back.
    conn.execute("UPDATE presences SET replaces = NULL WHERE replaces = ANY(%s)", (past,))
    forgotten = conn.execute("DELETE FROM presences WHERE presence_id = ANY(%s)", (past,))
    waits = conn.execute(
        """DELETE FROM waits WHERE wait_id IN
        (SELECT wait_id FROM waits WHERE at_ms < %s LIMIT %s FOR UPDATE SKIP LOCKED)""",
        (before_ms, limit),
    )
    return forgotten.rowcount + waits.rowcount
