"""The ledger in PostgreSQL. Every function works in the caller's transaction.

Guarantees: a transfer's id is the caller's, and the same id and content always get the first
answer, a refusal too, while the same id with other content is refused by name. What refusals
are decided on is read after the locks were taken, so a wallet's available balance never goes
below zero and refunds never exceed what was posted. Locks are taken in one order: the transfer
that is closed or referred to, the one wallet, the terminal's day. No two transfers wait for
each other in a circle; accounts that are not wallets are never locked against each other, so
one busy merchant does not serialize payments.

The caller must still commit, give an attempt's own id as its transfer's, and run again what
:meth:`service.db.Database.run` would: two requests with one id for two wallets, at the same
moment, collide.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.ledger.limits import UNLIMITED, Limits
from service.ledger.rules import (
    AccountKind,
    CloseRefusal,
    Party,
    Refusal,
    Transfer,
    TransferKind,
    TransferState,
    Wallet,
)
from service.ledger.transfers import (
    close,
    create_transfer,
    find_booked,
    read_wallet,
    refuse_to_close,
)
from wire.denial import Denial
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

EXPIRE_BATCH_MAX = 1000


def open_wallet(conn: Connection[Row], account: AccountId, currency: str) -> None:
    open_account(conn, Party.wallet(account), currency)


def open_merchant(conn: Connection[Row], merchant: MerchantId, currency: str) -> None:
    open_account(conn, Party.merchant(merchant), currency)


def open_cassette(conn: Connection[Row], terminal: TerminalId, currency: str) -> None:
    open_account(conn, Party.cassette(terminal), currency)


def open_house(conn: Connection[Row], kind: AccountKind, currency: str) -> Party:
    """The house's account of this kind and currency, opened where there is none."""
    party = Party.house(kind, currency)
    if _find(conn, party) is None:
        open_account(conn, party, currency)
    return party


def open_account(conn: Connection[Row], party: Party, currency: str) -> None:
    """Opens it once; an account that is open keeps its currency."""
    zero = 0 if party.kind is AccountKind.WALLET else None
    conn.execute(
        """INSERT INTO ledger_accounts (kind, owner, currency, balance_minor, held_minor)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT (owner, kind) DO NOTHING""",
        (party.kind, party.owner, currency, zero, zero),
    )


def top_up(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    account: AccountId,
    money: Money,
    now_ms: int,
    act: bytes | None = None,
) -> Refusal | None:
    """Puts outside money into a wallet; ``act`` is the leaf hash of who said so."""
    open_house(conn, AccountKind.FUNDING, money.currency)
    wanted = Transfer.top_up(transfer, account, money)
    return create_transfer(conn, wanted, now_ms=now_ms, act=act)


def pay(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    account: AccountId,
    merchant: MerchantId,
    money: Money,
    now_ms: int,
    lives_ms: int | None = None,
    terminal: TerminalId | None = None,
    limits: Limits = UNLIMITED,
    payer: AccountKind = AccountKind.WALLET,
) -> Denial | None:
    """Reserves and posts in one step, or only reserves for ``lives_ms``; None where it did.

    ``payer`` is the account's wallet or its source; what a source pays is only reserved.
    """
    wanted = Transfer(
        transfer=transfer,
        kind=TransferKind.PAYMENT,
        debit=Party(payer, account.raw),
        credit=Party.merchant(merchant),
        money=money,
        lives_ms=lives_ms,
    )
    refusal = create_transfer(conn, wanted, now_ms=now_ms, terminal=terminal, limits=limits)
    return refusal.denial if refusal else None


def hold(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    account: AccountId,
    terminal: TerminalId,
    money: Money,
    now_ms: int,
    expires_at_ms: int,
    limits: Limits = UNLIMITED,
    payer: AccountKind = AccountKind.WALLET,
) -> Denial | None:
    """Reserves a withdrawal until it is posted, voided or expired; None where it did."""
    wanted = Transfer(
        transfer=transfer,
        kind=TransferKind.WITHDRAWAL,
        debit=Party(payer, account.raw),
        credit=Party.cassette(terminal),
        money=money,
        lives_ms=expires_at_ms - now_ms,
    )
    refusal = create_transfer(conn, wanted, now_ms=now_ms, terminal=terminal, limits=limits)
    return refusal.denial if refusal else None


def refund(
    conn: Connection[Row],
    *,
    transfer: TransferId,
    of: TransferId,
    money: Money,
    now_ms: int,
    act: bytes | None = None,
) -> Refusal | None:
    """Gives back, by a new transfer, at most what was posted of another."""
    wanted = refund_of(conn, of, transfer, money)
    if wanted is None:
        return Refusal.REFERENCE_UNKNOWN
    return create_transfer(conn, wanted, now_ms=now_ms, act=act)


def refund_of(
    conn: Connection[Row], of: TransferId, transfer: TransferId, money: Money
) -> Transfer | None:
    """The transfer that gives ``money`` of another back; None where there is no other."""
    paid = find_booked(conn, of)
    if paid is None:
        return None
    return Transfer(
        transfer=transfer,
        kind=TransferKind.REFUND,
        debit=paid.credit,
        credit=paid.debit,
        money=money,
        refers_to=of,
    )


def late_cash_of(conn: Connection[Row], of: TransferId, transfer: TransferId) -> Transfer | None:
    """The correction that books cash which left an ATM after its hold had ended: from suspense
    to the cassette. None where there is no such withdrawal, or it was posted.
    """
    row = conn.execute(
        """SELECT owner, currency, coalesce(completed_minor, amount_minor) FROM transfers t
        JOIN ledger_accounts ON ledger_account_id = credit
        LEFT JOIN attempts ON attempt_id = transfer_id
        WHERE transfer_id = %s AND t.kind = 'withdrawal' AND state IN ('voided', 'expired')""",
        (of.raw,),
    ).fetchone()
    if row is None:
        return None
    owner, currency, amount_minor = row
    return Transfer(
        transfer=transfer,
        kind=TransferKind.CORRECTION,
        debit=open_house(conn, AccountKind.SUSPENSE, currency),
        credit=Party(AccountKind.CASSETTE, owner),
        money=Money(amount_minor=amount_minor, currency=currency),
        refers_to=of,
    )


def post(
    conn: Connection[Row], transfer: TransferId, *, now_ms: int, amount_minor: int | None = None
) -> CloseRefusal | None:
    """Turns a hold, or ``amount_minor`` of it, into money that moved, and gives back the rest.

    Asking again for the same is no error.
    """
    return close(conn, transfer, TransferState.POSTED, now_ms, amount_minor)


def void(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> CloseRefusal | None:
    """Gives a hold back; asking again for the same is no error."""
    return close(conn, transfer, TransferState.VOIDED, now_ms)


def keep(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> CloseRefusal | None:
    """Leaves a hold as it is; refused as posting it now would be."""
    return refuse_to_close(conn, transfer, TransferState.POSTED, now_ms)


def release(conn: Connection[Row], transfer: TransferId, *, now_ms: int) -> CloseRefusal | None:
    """Gives a hold back, in time or not; asking again for the same is no error."""
    refusal = void(conn, transfer, now_ms=now_ms)
    if refusal is CloseRefusal.EXPIRED:
        return close(conn, transfer, TransferState.EXPIRED, now_ms)
    return refusal


def act_of(conn: Connection[Row], transfer: TransferId) -> bytes | None:
    """The leaf hash of the act that made a transfer, which may be an earlier one's."""
    row = conn.execute(
        "SELECT act FROM transfers WHERE transfer_id = %s", (transfer.raw,)
    ).fetchone()
    return row[0] if row else None


def is_withdrawal(conn: Connection[Row], transfer: TransferId) -> bool:
    row = conn.execute(
        "SELECT 1 FROM transfers WHERE transfer_id = %s AND kind = 'withdrawal'", (transfer.raw,)
    ).fetchone()
    return row is not None


def expire_holds(conn: Connection[Row], *, now_ms: int) -> list[TransferId]:
    """Gives back the holds whose time is over, at most a batch, and returns them.

    Holds that another transaction is closing are left to it.
    """
    due = conn.execute(
        """SELECT transfer_id FROM transfers WHERE state = 'pending' AND expires_at_ms <= %s
        ORDER BY debit, transfer_id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED""",
        (now_ms, EXPIRE_BATCH_MAX),
    ).fetchall()
    over = [TransferId(transfer) for (transfer,) in due]
    for transfer in over:
        close(conn, transfer, TransferState.EXPIRED, now_ms)
    return over


def _find(conn: Connection[Row], party: Party) -> int | None:
    row = conn.execute(
        "SELECT ledger_account_id FROM ledger_accounts WHERE owner = %s AND kind = %s",
        (party.owner, party.kind),
    ).fetchone()
    return row[0] if row else None


def wallet_of(conn: Connection[Row], account: AccountId) -> Wallet | None:
    row = conn.execute(
        "SELECT currency, balance_minor, held_minor FROM ledger_accounts"
        " WHERE owner = %s AND kind = 'wallet'",
        (account.raw,),
    ).fetchone()
    return read_wallet(row)


def earned_minor(conn: Connection[Row], owner: MerchantId | TerminalId) -> int:
    """What a merchant or cassette got: the sum of its postings."""
    row = conn.execute(
        """SELECT coalesce(sum(amount_minor), 0) FROM postings JOIN ledger_accounts
        USING (ledger_account_id) WHERE owner = %s""",
        (owner.raw,),
    ).fetchone()
    return int(row[0]) if row else 0
