"""What was moved so far within the windows of the limits, from the rows.

The caller must hold the lock on the account's wallet from before :func:`ask` to the commit.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import Connection

from service.db import Row
from service.ledger.limits import DAY_MS, Limits, Turnover, Usage, Windows
from service.ledger.rules import Party, Transfer, TransferKind
from wire.ids import TerminalId

# One row a window, in the order of the windows. The longest one's beginning bounds what is read,
# however long the account's history is.
_OF_ACCOUNT = """SELECT count(transfer_id),
        coalesce(sum(coalesce(posted_minor, amount_minor)), 0)::bigint
    FROM unnest(%s::bigint[]) WITH ORDINALITY AS windows (since_ms, place)
    LEFT JOIN transfers ON kind = %s AND created_at_ms > since_ms AND created_at_ms > %s
        AND state IN ('pending', 'posted')
        AND debit = (SELECT ledger_account_id FROM ledger_accounts WHERE owner = %s AND kind = %s)
    GROUP BY place ORDER BY place"""
_OF_PAYEE = """SELECT coalesce(sum(amount_minor) FILTER (WHERE day = %(day)s), 0)::bigint,
        coalesce(sum(amount_minor), 0)::bigint,
        coalesce(sum(amount_minor) FILTER (WHERE day = %(day)s AND own), 0)::bigint,
        coalesce(sum(amount_minor) FILTER (WHERE own), 0)::bigint
    FROM (SELECT day, amount_minor, terminal_id = %(terminal)s AS own FROM terminal_days
        WHERE day >= %(month)s AND credit = (
            SELECT ledger_account_id FROM ledger_accounts
            WHERE owner = %(owner)s AND kind = %(kind)s)) days"""


def spent(conn: Connection[Row], debit: Party, kind: TransferKind, *, now_ms: int) -> Turnover:
    """What an account moved in the windows that ``now_ms`` lies in, to be shown: without a lock
    it may be old the next moment."""
    windows = Windows.at(now_ms)
    since = [windows.day_ms - 1, windows.month_ms - 1]
    day, month = conn.execute(
        _OF_ACCOUNT, (since, kind, min(since), debit.owner, debit.kind)
    ).fetchall()
    return Turnover(day_minor=day[1], month_minor=month[1])


def ask(
    conn: Connection[Row], wanted: Transfer, terminal: TerminalId, limits: Limits, *, now_ms: int
) -> Callable[[], Usage]:
    """Sends the questions; what it returns waits for the answers (psycopg's pipeline mode)."""
    windows = Windows.at(now_ms)
    since = [windows.day_ms - 1, windows.month_ms - 1]
    since += [now_ms - velocity.within_ms for velocity in limits.velocity]
    account = conn.execute(
        _OF_ACCOUNT, (since, wanted.kind, min(since), wanted.debit.owner, wanted.debit.kind)
    )
    payee = conn.execute(
        _OF_PAYEE,
        {
            "day": windows.day_ms // DAY_MS,
            "month": windows.month_ms // DAY_MS,
            "terminal": terminal.raw,
            "owner": wanted.credit.owner,
            "kind": wanted.credit.kind,
        },
    )

    def answer() -> Usage:
        day, month, *counts = account.fetchall()
        (sums,) = payee.fetchall()
        return Usage(
            account=Turnover(day_minor=day[1], month_minor=month[1]),
            merchant=Turnover(day_minor=sums[0], month_minor=sums[1]),
            terminal=Turnover(day_minor=sums[2], month_minor=sums[3]),
            counts=tuple(count for count, _ in counts),
        )

    return answer


def count(
    conn: Connection[Row], credit: Party, terminal: TerminalId, amount_minor: int, *, now_ms: int
) -> None:
    """Adds an approved transfer to its terminal's day: the last lock that a transfer takes."""
    conn.execute(
        """INSERT INTO terminal_days (credit, terminal_id, day, transfers, amount_minor)
        SELECT ledger_account_id, %s, %s, 1, %s FROM ledger_accounts
        WHERE owner = %s AND kind = %s
        ON CONFLICT (credit, day, terminal_id) DO UPDATE SET
            transfers = terminal_days.transfers + 1,
            amount_minor = terminal_days.amount_minor + excluded.amount_minor""",
        (terminal.raw, now_ms // DAY_MS, amount_minor, credit.owner, credit.kind),
    )
