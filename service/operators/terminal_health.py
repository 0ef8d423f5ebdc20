"""How terminals are, by what the service itself knows of them: when each last asked or decided.

Guarantees: ``merchant`` narrows everything to that merchant's terminals; no key, code or camera is
among the columns; what is read of attempts is each terminal's newest, by its index.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from service.db import Row
from service.operators.overview import SILENT_MS
from service.operators.pages import Cursor, Page, page
from wire.ids import MerchantId, TerminalId
from wire.messages import TerminalKind


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
    """``seen_at_ms``: when it last asked for a challenge, 0 for never; ``attempt_at_ms``: its
    newest decision, None without any; ``alarms`` wait for somebody to look after them."""

    terminal: TerminalId
    kind: str
    name: str
    site: str
    health: Health
    seen_at_ms: int
    attempt_at_ms: int | None
    alarms: int
    created_at_ms: int


_HEALTH = f"""CASE WHEN revoked_at_ms IS NOT NULL THEN '{Health.REVOKED}'
    WHEN registered_at_ms IS NULL AND code_expires_at_ms > %(now)s THEN '{Health.WAITING}'
    WHEN registered_at_ms IS NULL THEN '{Health.LAPSED}'
    WHEN tokens_at_ms = 0 THEN '{Health.IDLE}'
    WHEN tokens_at_ms > %(now)s - {SILENT_MS} THEN '{Health.HEARD}'
    ELSE '{Health.SILENT}' END"""
_OURS = "(%(merchant)s::bytea IS NULL OR merchant_id = %(merchant)s)"


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
    query = f"""SELECT created_at_ms, terminal_id, kind, name, site, health, tokens_at_ms,
        (SELECT max(decided_at_ms) FROM attempts a WHERE a.terminal_id = t.terminal_id),
        (SELECT count(*) FROM alarms a WHERE a.terminal_id = t.terminal_id
            AND acknowledged_at_ms IS NULL)
        FROM (SELECT *, {_HEALTH} AS health FROM terminals WHERE {_OURS}
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
    return page(conn, query, wanted, after=after, limit=limit, read=_read)


def _read(row: Row) -> TerminalHealth:
    created_at_ms, raw, kind, name, site, health, seen_at_ms, attempt_at_ms, alarms = row
    return TerminalHealth(
        terminal=TerminalId(raw),
        kind=TerminalKind(kind).name.lower(),
        name=name,
        site=site,
        health=Health(health),
        seen_at_ms=seen_at_ms,
        attempt_at_ms=attempt_at_ms,
        alarms=alarms,
        created_at_ms=created_at_ms,
    )


def count_health(
    conn: Connection[Row], *, merchant: MerchantId | None, now_ms: int
) -> dict[Health, int]:
    """How many terminals are how; all kinds of health are there."""
    rows = conn.execute(
        f"SELECT {_HEALTH}, count(*) FROM terminals WHERE {_OURS} GROUP BY 1",  # noqa: S608
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
