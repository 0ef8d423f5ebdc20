"""The ledger in PostgreSQL. Every function works in the caller's transaction.

Guarantees: the wallet's row is locked before its money is looked at, so its available balance
never goes below zero; a transfer's id is the caller's, and a second transfer of that id is
refused by the database. Transfers lock at most one wallet, so they cannot deadlock.

The caller must still commit, and give each attempt's own id as the transfer's.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from service.ledger.rules import (
    CloseRefusal,
    TransferState,
    Wallet,
    refuse_close,
    refuse_debit,
    refuse_top_up,
)
from wire.denial import Denial
from wire.ids import AccountId, Id, MerchantId, TerminalId, TransferId
from wire.money import Money

EXPIRE_BATCH_MAX = 1000
FUNDING_OWNER = bytes(16)


def open_wallet(conn: Connection[Row], account: AccountId, currency: str) -> None:
    _open(conn, "wallet", account.raw, currency)


def open_merchant(conn: Connection[Row], merchant: MerchantId, currency: str) -> None:
    _open(conn, "merchant", merchant.raw, currency)


def open_cassette(conn: Connection[Row], terminal: TerminalId, currency: str) -> None:
    _open(conn, "cassette", terminal.raw, currency)


def _open(conn: Connection[Row], kind: str, owner: bytes, currency: str) -> None:
    zero = 0 if kind == "wallet" else None
    conn.execute(
        """INSERT INTO ledger_accounts (kind, owner, currency, balance_minor, held_minor)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (owner, kind) DO NOTHING""",
        (kind, owner, currency, zero, zero),
    )


def top_up(
    conn: Connection[Row], *, transfer: TransferId, account: AccountId, money: Money, now_ms: int
) -> Denial | None:
    """Puts outside money into a wallet."""
    funding = FUNDING_OWNER[:13] + money.currency.encode()
    _open(conn, "funding", funding, money.currency)
    source = _find(conn, "funding", funding)
    found = _lock_wallet(conn, account)
    refusal = refuse_top_up(found and found[1], money)
    if refusal or source is None or found is None:
        return refusal
    conn.execute(
        "UPDATE ledger_accounts SET balance_minor = balance_minor + %s"
        " WHERE ledger_account_id = %s",
        (money.amount_minor, found[0]),
    )
    _insert(conn, transfer, "top_up", source[0], found[0], money, now_ms)
    return None


def pay(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    account: AccountId,
    merchant: MerchantId,
    money: Money,
    now_ms: int,
) -> Denial | None:
    """Reserves and posts in one step; None where it did."""
    payee = _find(conn, "merchant", merchant.raw)
    found = _lock_wallet(conn, account)
    refusal = refuse_debit(found and found[1], money, payee_currency=payee[1] if payee else None)
    if refusal or payee is None or found is None:
        return refusal
    conn.execute(
        "UPDATE ledger_accounts SET balance_minor = balance_minor - %s"
        " WHERE ledger_account_id = %s",
        (money.amount_minor, found[0]),
    )
    _insert(conn, transfer, "payment", found[0], payee[0], money, now_ms)
    return None


def hold(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    account: AccountId,
    terminal: TerminalId,
    money: Money,
    now_ms: int,
    expires_at_ms: int,
) -> Denial | None:
    """Reserves a withdrawal until it is posted, voided or expired; None where it did."""
    cassette = _find(conn, "cassette", terminal.raw)
    found = _lock_wallet(conn, account)
    refusal = refuse_debit(
        found and found[1], money, payee_currency=cassette[1] if cassette else None
    )
    if refusal or cassette is None or found is None:
        return refusal
    conn.execute(
        "UPDATE ledger_accounts SET held_minor = held_minor + %s WHERE ledger_account_id = %s",
        (money.amount_minor, found[0]),
    )
    conn.execute(
        """INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,
        created_at_ms, expires_at_ms) VALUES (%s, 'withdrawal', 'pending', %s, %s, %s, %s, %s)""",
        (transfer.raw, found[0], cassette[0], money.amount_minor, now_ms, expires_at_ms),
    )
    return None


def post(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> CloseRefusal | None:
    """Turns a hold into money that moved; asking again for the same is no error."""
    return _close(conn, transfer, TransferState.POSTED, now_ms)


def void(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> CloseRefusal | None:
    """Gives a hold back; asking again for the same is no error."""
    return _close(conn, transfer, TransferState.VOIDED, now_ms)


def is_withdrawal(conn: Connection[Row], transfer: TransferId) -> bool:
    row = conn.execute(
        "SELECT 1 FROM transfers WHERE transfer_id = %s AND kind = 'withdrawal'", (transfer.raw,)
    ).fetchone()
    return row is not None


def expire_holds(conn: Connection[Row], *, now_ms: int) -> int:
    """Gives back the holds whose time is over, at most a batch; returns how many.

    Holds that another transaction is closing are left to it.
    """
    due = conn.execute(
        """SELECT transfer_id FROM transfers WHERE state = 'pending' AND expires_at_ms <= %s
        ORDER BY debit, transfer_id LIMIT %s FOR UPDATE SKIP LOCKED""",
        (now_ms, EXPIRE_BATCH_MAX),
    ).fetchall()
    for (transfer,) in due:
        _close(conn, TransferId(transfer), TransferState.EXPIRED, now_ms)
    return len(due)


def _close(
    conn: Connection[Row], transfer: TransferId, wanted: TransferState, now_ms: int
) -> CloseRefusal | None:
    row = conn.execute(
        "SELECT state, debit, credit, amount_minor FROM transfers WHERE transfer_id = %s"
        " FOR UPDATE",
        (transfer.raw,),
    ).fetchone()
    state = TransferState(row[0]) if row else None
    refusal = refuse_close(state, wanted)
    if refusal or row is None or state is wanted:
        return refusal
    _, debit, credit, amount_minor = row
    posted = wanted is TransferState.POSTED
    conn.execute(
        "UPDATE transfers SET state = %s, closed_at_ms = %s WHERE transfer_id = %s",
        (wanted, now_ms, transfer.raw),
    )
    conn.execute(
        """UPDATE ledger_accounts SET held_minor = held_minor - %s,
        balance_minor = balance_minor - %s WHERE ledger_account_id = %s""",
        (amount_minor, amount_minor if posted else 0, debit),
    )
    if posted:
        _insert_postings(conn, transfer, debit, credit, amount_minor)
    return None


def _insert(
    conn: Connection[Row],
    transfer: Id,
    kind: str,
    debit: int,
    credit: int,
    money: Money,
    now_ms: int,
) -> None:
    conn.execute(
        """INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor,
        created_at_ms, closed_at_ms) VALUES (%s, %s, 'posted', %s, %s, %s, %s, %s)""",
        (transfer.raw, kind, debit, credit, money.amount_minor, now_ms, now_ms),
    )
    _insert_postings(conn, transfer, debit, credit, money.amount_minor)


def _insert_postings(
    conn: Connection[Row], transfer: Id, debit: int, credit: int, amount_minor: int
) -> None:
    conn.execute(
        "INSERT INTO postings (transfer_id, ledger_account_id, amount_minor)"
        " VALUES (%s, %s, %s), (%s, %s, %s)",
        (transfer.raw, debit, -amount_minor, transfer.raw, credit, amount_minor),
    )


def _find(conn: Connection[Row], kind: str, owner: bytes) -> tuple[int, str] | None:
    row = conn.execute(
        "SELECT ledger_account_id, currency FROM ledger_accounts WHERE owner = %s AND kind = %s",
        (owner, kind),
    ).fetchone()
    return (row[0], row[1]) if row else None


def _lock_wallet(conn: Connection[Row], account: AccountId) -> tuple[int, Wallet] | None:
    row = conn.execute(
        """SELECT ledger_account_id, currency, balance_minor, held_minor FROM ledger_accounts
        WHERE owner = %s AND kind = 'wallet' FOR UPDATE""",
        (account.raw,),
    ).fetchone()
    if row is None:
        return None
    return row[0], Wallet(currency=row[1], balance_minor=row[2], held_minor=row[3])


def wallet_of(conn: Connection[Row], account: AccountId) -> Wallet | None:
    row = conn.execute(
        "SELECT currency, balance_minor, held_minor FROM ledger_accounts"
        " WHERE owner = %s AND kind = 'wallet'",
        (account.raw,),
    ).fetchone()
    return Wallet(currency=row[0], balance_minor=row[1], held_minor=row[2]) if row else None


def earned_minor(conn: Connection[Row], owner: MerchantId | TerminalId) -> int:
    """What a merchant or cassette got: the sum of its postings."""
    row = conn.execute(
        """SELECT coalesce(sum(amount_minor), 0) FROM postings JOIN ledger_accounts
        USING (ledger_account_id) WHERE owner = %s""",
        (owner.raw,),
    ).fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Something that does not add up, named to the row."""

    what: str
    row: str


def check(conn: Connection[Row]) -> tuple[Discrepancy, ...]:
    """Proves from the rows that money balances; empty where it does."""
    found = []
    for what, query in _CHECKS.items():
        for (row,) in conn.execute(query).fetchall():
            found.append(Discrepancy(what=what, row=str(row)))
    return tuple(found)


_CHECKS = {
    "postings of a transfer do not sum to zero": """
        SELECT encode(transfer_id, 'hex') FROM postings GROUP BY transfer_id
        HAVING sum(amount_minor) <> 0""",
    "a posted transfer without its two postings": """
        SELECT encode(transfer_id, 'hex') FROM transfers LEFT JOIN postings USING (transfer_id)
        WHERE state = 'posted' GROUP BY transfer_id HAVING count(ledger_account_id) <> 2""",
    "a transfer that was not posted has postings": """
        SELECT encode(transfer_id, 'hex') FROM transfers JOIN postings USING (transfer_id)
        WHERE state <> 'posted' GROUP BY transfer_id""",
    "a wallet's balance differs from its postings": """
        SELECT ledger_account_id FROM ledger_accounts LEFT JOIN postings USING (ledger_account_id)
        WHERE kind = 'wallet' GROUP BY ledger_account_id
        HAVING balance_minor <> coalesce(sum(amount_minor), 0)""",
    "a wallet's held money differs from its holds": """
        SELECT ledger_account_id FROM ledger_accounts
        LEFT JOIN transfers ON debit = ledger_account_id AND state = 'pending'
        WHERE ledger_accounts.kind = 'wallet' GROUP BY ledger_account_id
        HAVING held_minor <> coalesce(sum(amount_minor), 0)""",
}
