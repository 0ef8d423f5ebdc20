"""Terminals in PostgreSQL, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from service.db import Row
from wire.ids import DoorId, MerchantId, TerminalId
from wire.messages import TerminalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """``public_key`` is None until it registers; ``site`` is where it stands, if anybody says;
    ``camera`` the 32-byte digest of the camera that it is pinned to, None before the first."""

    terminal: TerminalId
    kind: TerminalKind
    name: str
    merchant: MerchantId | None
    door: DoorId | None
    public_key: bytes | None
    revoked: bool
    site: str = ""
    camera: bytes | None = None


_COLUMNS = "terminal_id, kind, name, merchant_id, door_id, public_key, revoked_at_ms, site, camera"


def _terminal(row: tuple[Any, ...]) -> Terminal:
    raw, kind, name, merchant, door, public_key, revoked_at_ms, site, camera = row
    return Terminal(
        terminal=TerminalId(raw),
        kind=TerminalKind(kind),
        name=name,
        merchant=MerchantId(merchant) if merchant else None,
        door=DoorId(door) if door else None,
        public_key=public_key,
        revoked=revoked_at_ms is not None,
        site=site,
        camera=camera,
    )


def add_terminal(
    conn: Connection[Row],
    terminal: Terminal,
    *,
    code_hash: bytes,
    code_expires_at_ms: int,
    now_ms: int,
) -> None:
    conn.execute(
        """INSERT INTO terminals (terminal_id, kind, name, merchant_id, door_id, site,
        registration_code_hash, code_expires_at_ms, created_at_ms)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            terminal.terminal.raw,
            int(terminal.kind),
            terminal.name,
            terminal.merchant.raw if terminal.merchant else None,
            terminal.door.raw if terminal.door else None,
            terminal.site,
            code_hash,
            code_expires_at_ms,
            now_ms,
        ),
    )


def renew_code(
    conn: Connection[Row], terminal: TerminalId, *, code_hash: bytes, code_expires_at_ms: int
) -> bool:
    """The new code alone is good; False for a terminal that is registered, revoked or unknown."""
    done = conn.execute(
        """UPDATE terminals SET registration_code_hash = %s, code_expires_at_ms = %s
        WHERE terminal_id = %s AND registered_at_ms IS NULL AND revoked_at_ms IS NULL""",
        (code_hash, code_expires_at_ms, terminal.raw),
    )
    return done.rowcount == 1


def register(
    conn: Connection[Row], *, code_hash: bytes, kind: TerminalKind, public_key: bytes, now_ms: int
) -> Terminal | None:
    """Uses the code up, once; None for one that is wrong, used, expired or of another kind.

    The same key with the same code again gets the same answer, so that a lost one does no harm.
    """
    row = conn.execute(
        f"""UPDATE terminals SET public_key = %(key)s,
        registered_at_ms = coalesce(registered_at_ms, %(now)s)
        WHERE registration_code_hash = %(code)s AND kind = %(kind)s AND revoked_at_ms IS NULL
        AND (public_key = %(key)s OR public_key IS NULL AND code_expires_at_ms > %(now)s)
        RETURNING {_COLUMNS}""",
        {"key": public_key, "code": code_hash, "kind": int(kind), "now": now_ms},
    ).fetchone()
    return _terminal(row) if row else None


def find(conn: Connection[Row], terminal: TerminalId) -> Terminal | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM terminals WHERE terminal_id = %s", (terminal.raw,)
    ).fetchone()
    return _terminal(row) if row else None


def list_terminals(conn: Connection[Row]) -> list[Terminal]:
    rows = conn.execute(f"SELECT {_COLUMNS} FROM terminals ORDER BY name, terminal_id").fetchall()
    return [_terminal(row) for row in rows]


def advance_counter(
    conn: Connection[Row], terminal: TerminalId, counter: int
) -> Callable[[], bool]:
    """Serializes a terminal's attempts until the transaction ends.

    Answers whether ``counter`` is above all that the terminal signed before.
    """
    asked = conn.execute(
        """UPDATE terminals SET counter = greatest(%(counter)s, terminals.counter)
        FROM (SELECT counter FROM terminals WHERE terminal_id = %(terminal)s FOR UPDATE) before
        WHERE terminal_id = %(terminal)s RETURNING before.counter < %(counter)s""",
        {"counter": counter, "terminal": terminal.raw},
    )
    return lambda: asked.fetchone() == (True,)


def revoke(conn: Connection[Row], terminal: TerminalId, *, now_ms: int) -> bool:
    """Takes effect with the next request; False for an unknown or revoked terminal."""
    done = conn.execute(
        "UPDATE terminals SET revoked_at_ms = %s WHERE terminal_id = %s AND revoked_at_ms IS NULL",
        (now_ms, terminal.raw),
    )
    return done.rowcount == 1


def pin_camera(conn: Connection[Row], terminal: TerminalId, camera: bytes) -> None:
    """The first stands until an operator accepts a new one."""
    conn.execute(
        "UPDATE terminals SET camera = %s WHERE terminal_id = %s AND camera IS NULL",
        (camera, terminal.raw),
    )


def unpin_camera(conn: Connection[Row], terminal: TerminalId) -> bool:
    """The next camera is pinned; False for a terminal that is unknown or has none yet."""
    done = conn.execute(
        "UPDATE terminals SET camera = NULL WHERE terminal_id = %s AND camera IS NOT NULL",
        (terminal.raw,),
    )
    return done.rowcount == 1


def take_token(
    conn: Connection[Row], terminal: TerminalId, *, per_minute: int, burst: int, now_ms: int
) -> bool:
    """A token bucket for each terminal; False where it is empty."""
    done = conn.execute(
        """UPDATE terminals SET tokens_at_ms = %(now)s, tokens = -1
            + least(%(burst)s, tokens + greatest(0, %(now)s - tokens_at_ms) * %(rate)s)
        WHERE terminal_id = %(terminal)s
        AND least(%(burst)s, tokens + greatest(0, %(now)s - tokens_at_ms) * %(rate)s) >= 1""",
        {
            "now": now_ms,
            "burst": burst,
            "rate": per_minute / 60_000,
            "terminal": terminal.raw,
        },
    )
    return done.rowcount == 1
