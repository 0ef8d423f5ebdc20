"""What operators and merchants may read: pages of bounded size, newest first.

Guarantees: no claim, embedding, score or key is among the columns; ``merchant`` narrows a
query to what belongs to that merchant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from psycopg import Connection

from service.db import Row
from service.operators.pages import Cursor, Page, page
from wire import envelope
from wire.denial import Denial, Reason
from wire.ids import (
    AccountId,
    AttemptId,
    DoorId,
    MerchantId,
    PaymentIntentId,
    TerminalId,
    TransferId,
)
from wire.messages import Decision, PaymentContext, Purpose, TerminalKind
from wire.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    account: AccountId
    state: str
    references: int
    locked_until_ms: int
    currency: str | None
    available_minor: int | None
    held_minor: int | None
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalRecord:
    terminal: TerminalId
    kind: str
    name: str
    merchant: MerchantId | None
    door: DoorId | None
    site: str
    state: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantRecord:
    merchant: MerchantId
    name: str
    currency: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """``amount_minor`` is what was approved, ``posted_minor`` what moved of it."""

    attempt: AttemptId
    payment_intent: PaymentIntentId | None
    amount_minor: int
    posted_minor: int
    refunded_minor: int
    currency: str
    order: str
    state: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """``denial`` and ``account`` are for those who may read the audit log."""

    attempt: AttemptId
    terminal: TerminalId
    purpose: str
    outcome: str
    reason: Reason | None
    denial: Denial | None
    account: AccountId | None
    leaf_hash: str
    decided_at_ms: int

    @classmethod
    def of_row(cls, row: Row) -> AttemptRecord:
        """Of the columns decided_at_ms, attempt_id, terminal_id, purpose, denial, account_id and
        leaf_hash."""
        decided_at_ms, raw, terminal, purpose, text, account, leaf_hash = row
        denial = Denial(text) if text else None
        return cls(
            attempt=AttemptId(raw),
            terminal=TerminalId(terminal),
            purpose=Purpose(purpose).name.lower(),
            outcome="denied" if denial else "approved",
            reason=denial.reason if denial else None,
            denial=denial,
            account=AccountId(account) if account else None,
            leaf_hash=bytes(leaf_hash).hex(),
            decided_at_ms=decided_at_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    transfer: TransferId
    account: AccountId
    money: Money


_ACCOUNT = """SELECT created_at_ms, account_id, state, locked_until_ms, currency,
    balance_minor - held_minor, held_minor,
    (SELECT count(*) FROM face_references r WHERE r.account_id = a.account_id)
    FROM accounts a LEFT JOIN ledger_accounts ON owner = account_id AND kind = 'wallet' """


def _account(row: Row) -> AccountRecord:
    created_at_ms, raw, state, locked_until_ms, currency, available, held, references = row
    return AccountRecord(
        account=AccountId(raw),
        state=state,
        references=references,
        locked_until_ms=locked_until_ms,
        currency=currency,
        available_minor=available,
        held_minor=held,
        created_at_ms=created_at_ms,
    )


def find_account(conn: Connection[Row], account: AccountId) -> AccountRecord | None:
    row = conn.execute(_ACCOUNT + "WHERE account_id = %s", (account.raw,)).fetchone()
    return _account(row) if row else None


def account_state(conn: Connection[Row], account: AccountId) -> str | None:
    """Keeps the state as it is until the transaction ends; None for an unknown account."""
    row = conn.execute(
        "SELECT state FROM accounts WHERE account_id = %s FOR SHARE", (account.raw,)
    ).fetchone()
    return str(row[0]) if row else None


def list_accounts(conn: Connection[Row], *, after: Cursor, limit: int) -> Page[AccountRecord]:
    query = (
        _ACCOUNT + "WHERE (created_at_ms, account_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, account_id DESC LIMIT %(limit)s"
    )
    return page(conn, query, {}, after=after, limit=limit, read=_account)


_TERMINAL = """SELECT created_at_ms, terminal_id, kind, name, merchant_id, door_id, site,
    CASE WHEN revoked_at_ms IS NOT NULL THEN 'revoked'
         WHEN registered_at_ms IS NOT NULL THEN 'registered' ELSE 'waiting' END
    FROM terminals WHERE (%(merchant)s::bytea IS NULL OR merchant_id = %(merchant)s) """


def _terminal(row: Row) -> TerminalRecord:
    created_at_ms, raw, kind, name, merchant, door, site, state = row
    return TerminalRecord(
        terminal=TerminalId(raw),
        kind=TerminalKind(kind).name.lower(),
        name=name,
        merchant=MerchantId(merchant) if merchant else None,
        door=DoorId(door) if door else None,
        site=site,
        state=state,
        created_at_ms=created_at_ms,
    )


def find_terminal(
    conn: Connection[Row], terminal: TerminalId, *, merchant: MerchantId | None
) -> TerminalRecord | None:
    query = _TERMINAL + "AND terminal_id = %(terminal)s"
    row = conn.execute(query, {"merchant": _raw(merchant), "terminal": terminal.raw}).fetchone()
    return _terminal(row) if row else None


def list_terminals(
    conn: Connection[Row], *, merchant: MerchantId | None, after: Cursor, limit: int
) -> Page[TerminalRecord]:
    query = (
        _TERMINAL + "AND (created_at_ms, terminal_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, terminal_id DESC LIMIT %(limit)s"
    )
    wanted = {"merchant": _raw(merchant)}
    return page(conn, query, wanted, after=after, limit=limit, read=_terminal)


_MERCHANT = """SELECT created_at_ms, merchant_id, name, currency FROM merchants
    WHERE (%(merchant)s::bytea IS NULL OR merchant_id = %(merchant)s) """


def _merchant(row: Row) -> MerchantRecord:
    created_at_ms, raw, name, currency = row
    return MerchantRecord(
        merchant=MerchantId(raw), name=name, currency=currency, created_at_ms=created_at_ms
    )


def find_merchant(conn: Connection[Row], merchant: MerchantId) -> MerchantRecord | None:
    row = conn.execute(_MERCHANT, {"merchant": merchant.raw}).fetchone()
    return _merchant(row) if row else None


def list_merchants(
    conn: Connection[Row], *, merchant: MerchantId | None, after: Cursor, limit: int
) -> Page[MerchantRecord]:
    query = (
        _MERCHANT + "AND (created_at_ms, merchant_id) < (%(at)s, %(id)s)"
        " ORDER BY created_at_ms DESC, merchant_id DESC LIMIT %(limit)s"
    )
    wanted = {"merchant": _raw(merchant)}
    return page(conn, query, wanted, after=after, limit=limit, read=_merchant)


def list_payments(
    conn: Connection[Row], merchant: MerchantId, *, after: Cursor, limit: int
) -> Page[PaymentRecord]:
    """The order is the one that the signed decision names."""
    query = """SELECT t.created_at_ms, transfer_id, amount_minor, currency, state, decision,
            CASE WHEN state = 'posted' THEN coalesce(posted_minor, amount_minor) ELSE 0 END,
            (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM transfers r
                WHERE r.refers_to = t.transfer_id AND r.kind = 'refund')
        FROM transfers t JOIN ledger_accounts l ON l.ledger_account_id = t.credit
        JOIN attempts ON attempt_id = transfer_id
        WHERE t.credit = (SELECT ledger_account_id FROM ledger_accounts
            WHERE owner = %(merchant)s AND kind = 'merchant') AND t.kind = 'payment'
        AND (t.created_at_ms, transfer_id) < (%(at)s, %(id)s)
        ORDER BY t.created_at_ms DESC, transfer_id DESC LIMIT %(limit)s"""
    wanted = {"merchant": merchant.raw}
    return page(conn, query, wanted, after=after, limit=limit, read=_payment)


def _payment(row: Row) -> PaymentRecord:
    at_ms, raw, amount_minor, currency, state, decision, posted_minor, refunded_minor = row
    context = envelope.parse(bytes(decision), Decision).message.context
    if not isinstance(context, PaymentContext):
        raise RuntimeError("a payment whose decision is of another purpose")
    return PaymentRecord(
        attempt=AttemptId(raw),
        payment_intent=context.intent,
        amount_minor=amount_minor,
        posted_minor=posted_minor,
        refunded_minor=refunded_minor,
        currency=currency,
        order=context.order,
        state=state,
        at_ms=at_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which attempts; None does not narrow."""

    merchant: MerchantId | None = None
    terminal: TerminalId | None = None
    account: AccountId | None = None
    purpose: Purpose | None = None
    approved: bool | None = None
    denial: Denial | None = None
    from_ms: int = 0
    until_ms: int = 2**62


_NARROW: dict[str, LiteralString] = {
    "terminal": " AND terminal_id = %(terminal)s",
    "account": " AND account_id = %(account)s",
    "purpose": " AND purpose = %(purpose)s",
    "approved": " AND (denial IS NULL) = %(approved)s",
    "denial": " AND denial = %(denial)s",
}
_NEWEST: LiteralString = " ORDER BY decided_at_ms DESC, attempt_id DESC LIMIT %(limit)s"


def list_attempts(
    conn: Connection[Row], wanted: Wanted, *, after: Cursor, limit: int
) -> Page[AttemptRecord]:
    """The newest first. Only what narrows stands in the query, so that each search finds its
    index; of a merchant, the newest of each of its terminals, and of these the newest."""
    query: LiteralString = """SELECT decided_at_ms, attempt_id, terminal_id, purpose, denial,
        account_id, leaf_hash FROM attempts WHERE (decided_at_ms, attempt_id) < (%(at)s, %(id)s)
        AND decided_at_ms >= %(from)s AND decided_at_ms < %(until)s"""
    for name, condition in _NARROW.items():
        if getattr(wanted, name) is not None:
            query += condition
    if wanted.merchant is not None:
        query = f"""SELECT newest.* FROM terminals t
            CROSS JOIN LATERAL ({query} AND terminal_id = t.terminal_id {_NEWEST}) newest
            WHERE t.merchant_id = %(merchant)s"""  # noqa: S608
    values = {
        "merchant": _raw(wanted.merchant),
        "terminal": wanted.terminal.raw if wanted.terminal else None,
        "account": wanted.account.raw if wanted.account else None,
        "purpose": wanted.purpose,
        "approved": wanted.approved,
        "denial": wanted.denial,
        "from": wanted.from_ms,
        "until": wanted.until_ms,
    }
    return page(conn, query + _NEWEST, values, after=after, limit=limit, read=AttemptRecord.of_row)


def find_transfer(conn: Connection[Row], transfer: TransferId) -> TopUp | TransferId | None:
    """A top-up as it was asked for; only the id where it belongs to another kind of transfer."""
    row = conn.execute(
        """SELECT t.kind, owner, amount_minor, currency FROM transfers t
        JOIN ledger_accounts ON ledger_account_id = credit WHERE transfer_id = %s""",
        (transfer.raw,),
    ).fetchone()
    if row is None:
        return None
    kind, owner, amount_minor, currency = row
    if kind != "top_up":
        return transfer
    money = Money(amount_minor=amount_minor, currency=currency)
    return TopUp(transfer=transfer, account=AccountId(owner), money=money)


def list_entries(
    conn: Connection[Row], *, start: int, limit: int
) -> list[tuple[int, bytes, bytes]]:
    """The audit log's entries (position, leaf, leaf hash) from a position on, oldest first."""
    rows = conn.execute(
        """SELECT position, leaf, leaf_hash FROM audit_entries WHERE position >= %s
        ORDER BY position LIMIT %s""",
        (start, limit),
    ).fetchall()
    return [(position, bytes(leaf), bytes(digest)) for position, leaf, digest in rows]


def measure_entries(conn: Connection[Row]) -> tuple[int, int, int]:
    """How many entries have a position, and how many digits and bytes their positions and leaves
    have together. Reads the whole log, so it may take a minute."""
    conn.execute("SET LOCAL statement_timeout = '60s'")
    row = conn.execute(
        """SELECT count(*), coalesce(sum(length(position::text)), 0)::bigint,
        coalesce(sum(octet_length(leaf)), 0)::bigint FROM audit_entries
        WHERE position IS NOT NULL"""
    ).fetchone()
    return (int(row[0]), int(row[1]), int(row[2])) if row else (0, 0, 0)


def _raw(merchant: MerchantId | None) -> bytes | None:
    return merchant.raw if merchant else None
