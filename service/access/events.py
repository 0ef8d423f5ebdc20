"""What doors report, in PostgreSQL, in the caller's transaction.

Guarantee: of one terminal every record is kept once, in the order of its chain, without a gap.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from wire.ids import AccountId, DoorId, TerminalId
from wire.messages import CHAIN_START, DoorRecord


def lock_chain(conn: Connection[Row], terminal: TerminalId) -> int:
    """The last sequence that was kept, 0 before the first; others of the terminal wait."""
    conn.execute("SELECT 1 FROM terminals WHERE terminal_id = %s FOR UPDATE", (terminal.raw,))
    return last(conn, terminal)


def last(conn: Connection[Row], terminal: TerminalId) -> int:
    """The last sequence that was kept, 0 before the first."""
    row = conn.execute(
        "SELECT coalesce(max(sequence), 0) FROM door_records WHERE terminal_id = %s",
        (terminal.raw,),
    ).fetchone()
    return int(row[0]) if row else 0


def heads(conn: Connection[Row], terminal: TerminalId, first: int, last: int) -> dict[int, bytes]:
    """The chain's head after each kept record of the range, ends included; 0 is its start."""
    rows = conn.execute(
        """SELECT sequence, head FROM door_records
        WHERE terminal_id = %s AND sequence BETWEEN %s AND %s""",
        (terminal.raw, first, last),
    ).fetchall()
    found = {sequence: bytes(head) for sequence, head in rows}
    return {0: CHAIN_START, **found} if first == 0 else found


def keep(
    conn: Connection[Row],
    terminal: TerminalId,
    door: DoorId,
    record: DoorRecord,
    head: bytes,
    *,
    account: AccountId | None,
    now_ms: int,
) -> None:
    conn.execute(
        """INSERT INTO door_records (terminal_id, sequence, head, door_id, event, offline,
        attempt_id, at_ms, received_at_ms, account_id, denial, fault)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            terminal.raw,
            record.sequence,
            head,
            door.raw,
            int(record.event),
            record.offline,
            record.attempt.raw if record.attempt else None,
            record.at_ms,
            now_ms,
            account.raw if account else None,
            record.decision.denial if record.decision else None,
            int(record.fault) if record.fault else None,
        ),
    )
