"""The two steps of every transfer in PostgreSQL: it is created, and, where it was pending, closed.

Guarantees: what is decided on is read after the locks were taken, and they are taken in one
order: the transfer that is closed or referred to, the one wallet or source, the terminal's day.
A transfer that a processor must hear of has its entry from the same moment.

The caller must still commit; :mod:`service.ledger.store` has the words for both.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import Connection, Cursor

from service.db import Row
from service.ledger import sources, usage
from service.ledger.limits import UNLIMITED, Limits, refuse_usage
from service.ledger.rules import (
    AccountKind,
    Booked,
    CloseRefusal,
    Facts,
    Hold,
    Party,
    Refusal,
    Transfer,
    TransferKind,
    TransferState,
    Wallet,
    refuse_close,
    refuse_funds,
    refuse_transfer,
)
from wire.ids import TerminalId, TransferId


def create_transfer(
    conn: Connection[Row],
    wanted: Transfer,
    *,
    now_ms: int,
    act: bytes | None = None,
    terminal: TerminalId | None = None,
    limits: Limits = UNLIMITED,
) -> Refusal | None:
    """Makes the transfer; None where it did, now or when it was first asked for.

    ``terminal`` is where the money was asked for; ``limits`` apply only together with it.
    In psycopg's pipeline mode all questions travel together.
    """
    wallet_row = _lock_wallet(conn, wanted)
    earlier = conn.execute(_EARLIER, (wanted.transfer.raw, wanted.transfer.raw))
    accounts = conn.execute(_ACCOUNTS, _keys(wanted))
    used = None
    if terminal is not None and limits != UNLIMITED:
        used = usage.ask(conn, wanted, terminal, limits, now_ms=now_ms)
    seen = earlier.fetchone()
    if seen is not None:
        return _answer_again(wanted, *seen)
    found = {Party(AccountKind(row[0]), row[1]): row[2:] for row in accounts.fetchall()}
    refusal = (
        refuse_transfer(wanted, _facts(conn, wanted, found))
        or (refuse_usage(limits, used(), wanted.money.amount_minor) if used else None)
        or refuse_funds(wanted, read_wallet(wallet_row.fetchone()))
    )
    if refusal is not None:
        _insert_refusal(conn, wanted, refusal, now_ms)
        return refusal
    _book(conn, wanted, found[wanted.debit][0], found[wanted.credit][0], act, now_ms)
    if terminal is not None:
        usage.count(conn, wanted.credit, terminal, wanted.money.amount_minor, now_ms=now_ms)
    return None


_EARLIER = """SELECT content, NULL FROM transfers WHERE transfer_id = %s
    UNION ALL SELECT content, refusal FROM refused_transfers WHERE transfer_id = %s"""
_ACCOUNTS = """SELECT kind, owner, ledger_account_id, currency FROM ledger_accounts
    WHERE (owner, kind) IN ((%s, %s), (%s, %s))"""


def _keys(wanted: Transfer) -> tuple[bytes, str, bytes, str]:
    return wanted.debit.owner, wanted.debit.kind, wanted.credit.owner, wanted.credit.kind


def _lock_wallet(conn: Connection[Row], wanted: Transfer) -> Cursor[Row]:
    """Locks what is referred to, then the one account that is a customer's."""
    if wanted.refers_to is not None:
        conn.execute(
            "SELECT 1 FROM transfers WHERE transfer_id = %s FOR NO KEY UPDATE",
            (wanted.refers_to.raw,),
        )
    return conn.execute(
        """SELECT currency, balance_minor, held_minor FROM ledger_accounts
        WHERE (owner, kind) IN ((%s, %s), (%s, %s)) AND kind IN ('wallet', 'source')
        FOR NO KEY UPDATE""",
        _keys(wanted),
    )


def read_wallet(row: Row | None) -> Wallet | None:
    """None for no row, and for a source: the processor knows what there is."""
    if row is None or row[1] is None:
        return None
    return Wallet(currency=row[0], balance_minor=row[1], held_minor=row[2])


def _answer_again(wanted: Transfer, content: bytes | None, refusal: str | None) -> Refusal | None:
    if content != wanted.content:
        return Refusal.TRANSFER_ID_REUSED
    return Refusal(refusal) if refusal else None


def _facts(conn: Connection[Row], wanted: Transfer, found: Mapping[Party, Row]) -> Facts:
    debit, credit = found.get(wanted.debit), found.get(wanted.credit)
    return Facts(
        debit_currency=debit[1] if debit else None,
        credit_currency=credit[1] if credit else None,
        referred=find_booked(conn, wanted.refers_to) if wanted.refers_to else None,
    )


def find_booked(conn: Connection[Row], transfer: TransferId) -> Booked | None:
    row = conn.execute(
        """SELECT t.kind, state, d.kind, d.owner, c.kind, c.owner,
            CASE WHEN state = 'posted' THEN coalesce(posted_minor, amount_minor) ELSE 0 END,
            (SELECT coalesce(sum(amount_minor), 0)::bigint FROM transfers refunds
                WHERE refunds.refers_to = t.transfer_id AND refunds.kind = 'refund')
        FROM transfers t JOIN ledger_accounts d ON d.ledger_account_id = t.debit
        JOIN ledger_accounts c ON c.ledger_account_id = t.credit WHERE transfer_id = %s""",
        (transfer.raw,),
    ).fetchone()
    if row is None:
        return None
    return Booked(
        kind=TransferKind(row[0]),
        state=TransferState(row[1]),
        debit=Party(AccountKind(row[2]), row[3]),
        credit=Party(AccountKind(row[4]), row[5]),
        posted_minor=row[6],
        refunded_minor=row[7],
    )


def _insert_refusal(conn: Connection[Row], wanted: Transfer, refusal: Refusal, now_ms: int) -> None:
    conn.execute(
        "INSERT INTO refused_transfers (transfer_id, content, refusal, created_at_ms)"
        " VALUES (%s, %s, %s, %s)",
        (wanted.transfer.raw, wanted.content, refusal, now_ms),
    )


def _book(
    conn: Connection[Row],
    wanted: Transfer,
    debit: int,
    credit: int,
    act: bytes | None,
    now_ms: int,
) -> None:
    amount_minor, lives_ms = wanted.money.amount_minor, wanted.lives_ms
    posted = lives_ms is None
    if wanted.debit.kind is AccountKind.WALLET:
        _move(conn, debit, -amount_minor if posted else 0, 0 if posted else amount_minor)
    if wanted.credit.kind is AccountKind.WALLET:
        _move(conn, credit, amount_minor, 0)
    conn.execute(
        """INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,
        created_at_ms, expires_at_ms, closed_at_ms, refers_to, content, act)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            wanted.transfer.raw,
            wanted.kind,
            TransferState.POSTED if posted else TransferState.PENDING,
            debit,
            credit,
            amount_minor,
            now_ms,
            None if lives_ms is None else now_ms + lives_ms,
            now_ms if posted else None,
            wanted.refers_to.raw if wanted.refers_to else None,
            wanted.content,
            act,
        ),
    )
    sources.enter(conn, wanted, now_ms=now_ms)
    if posted:
        _insert_postings(conn, wanted.transfer, debit, credit, amount_minor)


def _move(conn: Connection[Row], wallet: int, balance_minor: int, held_minor: int) -> None:
    """Of a source this changes nothing: it keeps no balance."""
    conn.execute(
        """UPDATE ledger_accounts SET balance_minor = balance_minor + %s,
        held_minor = held_minor + %s WHERE ledger_account_id = %s""",
        (balance_minor, held_minor, wallet),
    )


def _insert_postings(
    conn: Connection[Row], transfer: TransferId, debit: int, credit: int, amount_minor: int
) -> None:
    conn.execute(
        "INSERT INTO postings (transfer_id, ledger_account_id, amount_minor)"
        " VALUES (%s, %s, %s), (%s, %s, %s)",
        (transfer.raw, debit, -amount_minor, transfer.raw, credit, amount_minor),
    )


_HOLD = """SELECT state, amount_minor, posted_minor, coalesce(expires_at_ms, 0), debit, credit
    FROM transfers WHERE transfer_id = %s FOR NO KEY UPDATE"""


def refuse_to_close(
    conn: Connection[Row], transfer: TransferId, wanted: TransferState, now_ms: int
) -> CloseRefusal | None:
    """Why it would not be closed so; changes nothing, and locks it."""
    row = conn.execute(_HOLD, (transfer.raw,)).fetchone()
    held = _read_hold(row) if row else None
    return refuse_close(held, wanted, amount_minor=None, now_ms=now_ms)


def close(
    conn: Connection[Row],
    transfer: TransferId,
    wanted: TransferState,
    now_ms: int,
    wanted_minor: int | None = None,
) -> CloseRefusal | None:
    """Posts (``wanted_minor`` of) a pending transfer, voids or expires it; None where it did."""
    row = conn.execute(_HOLD, (transfer.raw,)).fetchone()
    held = _read_hold(row) if row else None
    refusal = refuse_close(held, wanted, amount_minor=wanted_minor, now_ms=now_ms)
    if refusal or row is None or held is None or held.state is wanted:
        return refusal
    debit, credit = row[4:]
    moved_minor = 0
    if wanted is TransferState.POSTED:
        moved_minor = held.amount_minor if wanted_minor is None else wanted_minor
    part_minor = moved_minor if 0 < moved_minor < held.amount_minor else None
    _move(conn, debit, -moved_minor, -held.amount_minor)
    conn.execute(
        """UPDATE transfers SET state = %s, closed_at_ms = %s, posted_minor = %s
        WHERE transfer_id = %s""",
        (wanted, now_ms, part_minor, transfer.raw),
    )
    if moved_minor:
        _insert_postings(conn, transfer, debit, credit, moved_minor)
    return None


def _read_hold(row: Row) -> Hold:
    state, amount_minor, posted_minor, expires_at_ms = row[:4]
    return Hold(
        state=TransferState(state),
        amount_minor=amount_minor,
        posted_minor=amount_minor if posted_minor is None else posted_minor,
        expires_at_ms=expires_at_ms,
    )
