"""How terminals are: when each last asked or decided, and what a door's terminal said of itself.

Guarantees: ``merchant`` narrows everything to that merchant's terminals; no key or code is among
the columns; what is read of attempts is each terminal's newest, by its index. What of a door's beat
is wrong says :mod:`service.terminals.health`, here as in metrics and ``countenance door status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.operators import door_records
from service.operators.pages import Cursor, Page, page
from service.terminals import health as doors
from service.terminals.health import DoorHealth
from wire.ids import MerchantId, TerminalId
from wire.messages import TerminalKind

SILENT_MS = 10 * 60 * 1000
"""Of terminals that ask only when somebody comes; doors beat, and are silent much sooner."""


class Health(StrEnum):
    """``waiting`` and ``lapsed`` have a code that is not used yet; ``idle`` has never asked."""

    HEARD = "heard"
    SILENT = "silent"
    IDLE = "idle"
    WAITING = "waiting"
    LAPSED = "lapsed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalHealth:
    """``seen_at_ms``: when it last asked for a challenge or beat, 0 for never; ``attempt_at_ms``:
    its newest decision, None without any; ``alarms`` wait for somebody to look after them;
    ``door``: what the terminal of a door said, None of others and until it is registered."""

    terminal: TerminalId
    kind: str
    name: str
    site: str
    health: Health
    seen_at_ms: int
    attempt_at_ms: int | None
    alarms: int
    counter: int
    created_at_ms: int
    door: DoorHealth | None = None


_TERMINALS = """terminals LEFT JOIN
    (SELECT terminal_id, at_ms AS beat_at_ms FROM door_beats) beats USING (terminal_id)"""
_SEEN = "greatest(tokens_at_ms, beat_at_ms)"
_HEALTH = f"""CASE WHEN revoked_at_ms IS NOT NULL THEN '{Health.REVOKED}'
    WHEN registered_at_ms IS NULL AND code_expires_at_ms > %(now)s THEN '{Health.WAITING}'
    WHEN registered_at_ms IS NULL THEN '{Health.LAPSED}'
    WHEN {_SEEN} = 0 THEN '{Health.IDLE}'
    WHEN beat_at_ms >= %(now)s - {doors.SILENT_MS} THEN '{Health.HEARD}'
    WHEN beat_at_ms IS NULL AND tokens_at_ms > %(now)s - {SILENT_MS} THEN '{Health.HEARD}'
    ELSE '{Health.SILENT}' END"""
_OURS = "(%(merchant)s::bytea IS NULL OR merchant_id = %(merchant)s)"
_COLUMNS = """created_at_ms, terminal_id, kind, name, site, health, seen_at_ms,
    (SELECT max(decided_at_ms) FROM attempts a WHERE a.terminal_id = t.terminal_id),
    (SELECT count(*) FROM alarms a WHERE a.terminal_id = t.terminal_id
        AND acknowledged_at_ms IS NULL), counter"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which terminals; None does not narrow."""

    merchant: MerchantId | None = None
    kind: TerminalKind | None = None
    site: str | None = None
    health: Health | None = None


def list_health(
    conn: Connection[Row], sought: Sought, *, after: Cursor, limit: int, now_ms: int
) -> Page[TerminalHealth]:
    """Those that were added last come first."""
    query = f"""SELECT {_COLUMNS}
        FROM (SELECT *, {_HEALTH} AS health, {_SEEN} AS seen_at_ms FROM {_TERMINALS} WHERE {_OURS}
            AND (%(kind)s::smallint IS NULL OR kind = %(kind)s)
            AND (%(site)s::text IS NULL OR site = %(site)s)) t
        WHERE (%(health)s::text IS NULL OR health = %(health)s)
        AND (created_at_ms, terminal_id) < (%(at)s, %(id)s)
        ORDER BY created_at_ms DESC, terminal_id DESC LIMIT %(limit)s"""  # noqa: S608
    wanted = {
        "merchant": sought.merchant.raw if sought.merchant else None,
        "kind": sought.kind,
        "site": sought.site,
        "health": sought.health,
        "now": now_ms,
    }
    found = page(conn, query, wanted, after=after, limit=limit, read=_read)
    return replace(found, items=_with_doors(conn, found.items))


def find_health(
    conn: Connection[Row], terminal: TerminalId, *, merchant: MerchantId | None, now_ms: int
) -> TerminalHealth | None:
    row = conn.execute(
        f"""SELECT {_COLUMNS}
        FROM (SELECT *, {_HEALTH} AS health, {_SEEN} AS seen_at_ms FROM {_TERMINALS} WHERE {_OURS}
            AND terminal_id = %(terminal)s) t""",  # noqa: S608
        {"merchant": merchant.raw if merchant else None, "terminal": terminal.raw, "now": now_ms},
    ).fetchone()
    return _with_doors(conn, [_read(row)])[0] if row else None


def list_silent(
    conn: Connection[Row], *, merchant: MerchantId | None, from_ms: int, now_ms: int
) -> list[tuple[TerminalId, str, int]]:
    """Terminals that were heard of since ``from_ms``, but not for a while: id, name, and when."""
    rows = conn.execute(
        f"""SELECT terminal_id, name, {_SEEN} AS seen_at_ms FROM {_TERMINALS}
        WHERE {_HEALTH} = '{Health.SILENT}' AND {_SEEN} >= %(from)s AND {_OURS}
        ORDER BY seen_at_ms DESC LIMIT 20""",  # noqa: S608
        {"merchant": merchant.raw if merchant else None, "from": from_ms, "now": now_ms},
    ).fetchall()
    return [(TerminalId(raw), name, at_ms) for raw, name, at_ms in rows]


def _with_doors(conn: Connection[Row], items: Sequence[TerminalHealth]) -> Sequence[TerminalHealth]:
    of_doors = [each.terminal for each in items if each.kind == "door"]
    if not of_doors:
        return items
    found = {each.terminal: each for each in door_records.list_health(conn, terminals=of_doors)}
    return [replace(each, door=found.get(each.terminal)) for each in items]


def _read(row: Row) -> TerminalHealth:
    created_at_ms, raw, kind, name, site, health, seen_at_ms, attempt_at_ms, alarms, counter = row
    return TerminalHealth(
        terminal=TerminalId(raw),
        kind=TerminalKind(kind).name.lower(),
        name=name,
        site=site,
        health=Health(health),
        seen_at_ms=seen_at_ms,
        attempt_at_ms=attempt_at_ms,
        alarms=alarms,
        counter=counter,
        created_at_ms=created_at_ms,
    )


def count_health(
    conn: Connection[Row], *, merchant: MerchantId | None, now_ms: int
) -> dict[Health, int]:
    """How many terminals are how; all kinds of health are there."""
    rows = conn.execute(
        f"SELECT {_HEALTH}, count(*) FROM {_TERMINALS} WHERE {_OURS} GROUP BY 1",  # noqa: S608
        {"merchant": merchant.raw if merchant else None, "now": now_ms},
    ).fetchall()
    counted = {Health(name): number for name, number in rows}
    return {health: counted.get(health, 0) for health in Health}


def list_sites(conn: Connection[Row], *, merchant: MerchantId | None) -> list[str]:
    rows = conn.execute(
        f"""SELECT DISTINCT site FROM terminals WHERE site <> '' AND {_OURS}
        ORDER BY site LIMIT 200""",  # noqa: S608
        {"merchant": merchant.raw if merchant else None},
    ).fetchall()
    return [site for (site,) in rows]
