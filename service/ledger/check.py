"""Proves from the rows that money balances, that somebody asked for each transfer, and that
processors said the same of theirs.

Guarantees: what does not add up is named to the row, by the id that the commands and the log
use. Each rule is one query, so it sees one moment of a ledger that is at work.

The caller must still look for what is not in these rows: the log (``countenance audit verify``),
and what processors have that was never asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import cbor2
from psycopg import Connection
from psycopg.types.json import Jsonb

from service.db import Row
from service.ledger.rules import AccountKind, Party, Transfer, TransferKind
from wire import envelope
from wire.errors import WireError
from wire.ids import AccountId, AttemptId, Id, MerchantId, TerminalId, TransferId
from wire.messages import Decision, PaymentContext, WithdrawalContext
from wire.money import Money

FOUND_MAX = 1000
KEPT_MAX = 100
TRIES_NAMED = 10
LOCK_KEY = 0x636865636B  # "check"
QUERY_TIME_MAX = "10min"
# Of an act's leaf, as service/audit/leaf.py numbers them: the domains do not know each other.
LEAF_TRANSFER, LEAF_CONTENT = 7, 8
NOT_DECIDED = "a transfer is not what the signed decision says"
NOT_ACTED = "a transfer is not what the log says of its act"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """Something that does not add up, named to the row."""

    what: str
    row: str


def check(conn: Connection[Row]) -> tuple[Discrepancy, ...]:
    """Everything; empty where it adds up. At most ``FOUND_MAX`` are told."""
    return tuple(islice(chain(_unbalanced(conn), _unexplained(conn)), FOUND_MAX))


def check_balances(conn: Connection[Row]) -> tuple[Discrepancy, ...]:
    """That money balances, whoever asked for it to move."""
    return tuple(islice(_unbalanced(conn), FOUND_MAX))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check that was recorded found, and when."""

    at_ms: int
    discrepancies: int


def check_and_record(conn: Connection[Row], *, now_ms: int) -> Checked | None:
    """Checks everything and keeps what was found; None where another process is at it."""
    locked = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (LOCK_KEY,)).fetchone()
    if locked != (True,):
        return None
    found = check(conn)
    told = [{"what": each.what, "row": each.row} for each in found[:KEPT_MAX]]
    conn.execute(
        "INSERT INTO ledger_checks (checked_at_ms, discrepancies, found) VALUES (%s, %s, %s)",
        (now_ms, len(found), Jsonb(told)),
    )
    return Checked(at_ms=now_ms, discrepancies=len(found))


def last_check(conn: Connection[Row]) -> Checked | None:
    row = conn.execute(
        "SELECT checked_at_ms, discrepancies FROM ledger_checks ORDER BY checked_at_ms DESC LIMIT 1"
    ).fetchone()
    return Checked(at_ms=row[0], discrepancies=row[1]) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What all accounts of a kind and currency hold together, from their postings."""

    kind: str
    currency: str
    accounts: int
    balance_minor: int


def totals(conn: Connection[Row]) -> tuple[Total, ...]:
    """The trial balance: of each currency these sum to zero."""
    conn.execute(f"SET LOCAL statement_timeout = '{QUERY_TIME_MAX}'")
    rows = conn.execute(
        """SELECT kind, currency, count(DISTINCT ledger_account_id),
            coalesce(sum(amount_minor), 0)::bigint
        FROM ledger_accounts LEFT JOIN postings USING (ledger_account_id)
        GROUP BY kind, currency ORDER BY currency, kind"""
    ).fetchall()
    return tuple(
        Total(kind=kind, currency=currency, accounts=accounts, balance_minor=balance)
        for kind, currency, accounts, balance in rows
    )


def _unbalanced(conn: Connection[Row]) -> Iterator[Discrepancy]:
    conn.execute(f"SET LOCAL statement_timeout = '{QUERY_TIME_MAX}'")
    for what, query in _OF_TRANSFERS.items():
        for (raw,) in _rows(conn, query):
            yield Discrepancy(what=what, row=str(TransferId(raw)))
    for what, query in _OF_ACCOUNTS.items():
        for kind, owner in _rows(conn, query):
            yield Discrepancy(what=what, row=_name(AccountKind(kind), owner))


def _unexplained(conn: Connection[Row]) -> Iterator[Discrepancy]:
    conn.execute(f"SET LOCAL statement_timeout = '{QUERY_TIME_MAX}'")
    for what, query in chain(_OF_ORIGINS.items(), _OF_PROCESSORS.items()):
        for (raw,) in _rows(conn, query):
            yield Discrepancy(what=what, row=str(TransferId(raw)))
    for what, query in _OF_ATTEMPTS.items():
        for (raw,) in _rows(conn, query):
            yield Discrepancy(what=what, row=str(AttemptId(raw)))
    for raw, decision, terminal, *booked in _rows(conn, _DECIDED):
        if _approved(decision, terminal) != (raw, *booked):
            yield Discrepancy(what=NOT_DECIDED, row=str(TransferId(raw)))
    for leaf, *row in _rows(conn, _ACTED):
        if not _is_asked(leaf, tuple(row)):
            yield Discrepancy(what=NOT_ACTED, row=str(TransferId(row[0])))


def _name(kind: AccountKind, owner: bytes) -> str:
    """As the commands name its owner."""
    named = _OWNERS.get(kind)
    return f"{kind} {named(owner) if named else owner[-3:].decode()}"


_OWNERS: dict[AccountKind, type[Id]] = {
    AccountKind.WALLET: AccountId,
    AccountKind.MERCHANT: MerchantId,
    AccountKind.CASSETTE: TerminalId,
}


def _approved(decision: bytes, terminal: bytes) -> tuple[object, ...]:
    """The transfer that a decision approved: id, kind, amount, currency, who is paid."""
    try:
        said = envelope.parse(decision, Decision).message
    except WireError:
        return ()
    context = said.context
    if isinstance(context, PaymentContext):
        kind, payee = TransferKind.PAYMENT, context.payee.raw
    elif isinstance(context, WithdrawalContext):
        kind, payee = TransferKind.WITHDRAWAL, terminal
    else:
        return ()
    return said.result, kind, context.amount_minor, context.currency, payee


def _is_asked(leaf: bytes, row: Row) -> bool:
    """Whether a leaf of the log is the act that asked for this very transfer."""
    said = cbor2.loads(leaf)
    raw, kind, debit_kind, debit, credit_kind, credit, amount_minor, currency, refers_to = row
    booked = Transfer(
        transfer=TransferId(raw),
        kind=TransferKind(kind),
        debit=Party(AccountKind(debit_kind), debit),
        credit=Party(AccountKind(credit_kind), credit),
        money=Money(amount_minor=amount_minor, currency=currency),
        refers_to=TransferId(refers_to) if refers_to else None,
    )
    return (said.get(LEAF_TRANSFER), said.get(LEAF_CONTENT)) == (raw, booked.content)


def _rows(conn: Connection[Row], query: str) -> Iterator[Row]:
    """Row by row, however many there are."""
    with conn.cursor(name="ledger_check") as cursor:
        cursor.execute(query.encode())
        yield from cursor


_OF_TRANSFERS = {
    "postings of a transfer do not sum to zero": """
        SELECT transfer_id FROM postings GROUP BY transfer_id HAVING sum(amount_minor) <> 0""",
    "a posted transfer is not in its two accounts": """
        SELECT transfer_id FROM transfers t WHERE state = 'posted' AND (
            SELECT array_agg((ledger_account_id, amount_minor) ORDER BY amount_minor)
            FROM postings p WHERE p.transfer_id = t.transfer_id
        ) IS DISTINCT FROM ARRAY[(debit, -coalesce(posted_minor, amount_minor)),
            (credit, coalesce(posted_minor, amount_minor))]""",
    "a transfer that was not posted has postings": """
        SELECT transfer_id FROM transfers t WHERE state <> 'posted'
        AND EXISTS (SELECT FROM postings p WHERE p.transfer_id = t.transfer_id)""",
    "a transfer between two currencies": """
        SELECT transfer_id FROM transfers JOIN ledger_accounts d ON d.ledger_account_id = debit
        JOIN ledger_accounts c ON c.ledger_account_id = credit WHERE d.currency <> c.currency""",
    "refunds of more than was posted": """
        SELECT p.transfer_id FROM transfers p JOIN transfers r ON r.refers_to = p.transfer_id
        WHERE r.kind = 'refund' GROUP BY p.transfer_id
        HAVING sum(r.amount_minor) > coalesce(p.posted_minor, p.amount_minor)
            OR p.state <> 'posted'""",
}
_OF_ACCOUNTS = {
    "a wallet's balance differs from its postings": """
        SELECT kind, owner FROM ledger_accounts LEFT JOIN postings USING (ledger_account_id)
        WHERE kind = 'wallet' GROUP BY ledger_account_id
        HAVING balance_minor <> coalesce(sum(amount_minor), 0)""",
    "a wallet's held money differs from its holds": """
        SELECT a.kind, owner FROM ledger_accounts a
        LEFT JOIN transfers ON debit = ledger_account_id AND state = 'pending'
        WHERE a.kind = 'wallet' GROUP BY ledger_account_id
        HAVING held_minor <> coalesce(sum(amount_minor), 0)""",
}
_OF_ORIGINS = {
    "a transfer that neither an attempt nor an act explains": """
        SELECT transfer_id FROM transfers LEFT JOIN attempts ON attempt_id = transfer_id
        WHERE attempt_id IS NULL AND act IS NULL AND NOT (state <> 'posted'
            AND EXISTS (SELECT FROM reservations r WHERE r.attempt_id = transfer_id))""",
    "a transfer that both an attempt and an act explain": """
        SELECT transfer_id FROM transfers JOIN attempts ON attempt_id = transfer_id
        WHERE act IS NOT NULL""",
    "a transfer of an attempt that was denied": """
        SELECT transfer_id FROM transfers JOIN attempts a ON attempt_id = transfer_id
        WHERE denial IS NOT NULL AND NOT (state IN ('voided', 'expired')
            AND EXISTS (SELECT FROM reservations r WHERE r.attempt_id = a.attempt_id))""",
    "a transfer from another account's wallet than was verified": """
        SELECT transfer_id FROM transfers JOIN attempts ON attempt_id = transfer_id
        JOIN ledger_accounts ON ledger_account_id = debit
        WHERE denial IS NULL AND owner IS DISTINCT FROM account_id""",
    "cash was handed out, but its hold is not posted": """
        SELECT transfer_id FROM transfers t JOIN attempts ON attempt_id = transfer_id
        WHERE purpose = 2 AND completion = 1 AND state <> 'posted' AND NOT EXISTS (
            SELECT FROM transfers c WHERE c.refers_to = attempt_id AND c.kind = 'correction')""",
    "another amount of a hold is posted than was handed out": """
        SELECT transfer_id FROM transfers t JOIN attempts ON attempt_id = transfer_id
        WHERE purpose = 2 AND completion = 1 AND state = 'posted'
        AND coalesce(posted_minor, amount_minor) <> coalesce(completed_minor, amount_minor)""",
    "no cash was handed out, but its hold is posted": """
        SELECT transfer_id FROM transfers t JOIN attempts ON attempt_id = transfer_id
        WHERE purpose = 2 AND completion = 2 AND state = 'posted' AND NOT EXISTS (
            SELECT FROM transfers c WHERE c.refers_to = attempt_id
            AND c.kind IN ('refund', 'correction'))""",
}
# While something is still to be asked, sides may differ; not for ever: TRIES_NAMED.
_OF_PROCESSORS = {
    "a transfer that its processor was not told of": """
        SELECT t.transfer_id FROM transfers t
        JOIN ledger_accounts ON ledger_account_id IN (debit, credit)
        LEFT JOIN processor_entries e USING (transfer_id)
        WHERE ledger_accounts.kind = 'source' AND t.kind <> 'correction'
        AND e.transfer_id IS NULL""",
    "posted, but not taken at the processor": """
        SELECT transfer_id FROM transfers JOIN processor_entries USING (transfer_id)
        WHERE kind <> 'refund' AND state = 'posted' AND (due_at_ms IS NULL OR tries >= 10)
        AND (side <> 'captured' OR confirmed_minor <> coalesce(posted_minor, amount_minor))""",
    "not posted, but not released at the processor": """
        SELECT transfer_id FROM transfers JOIN processor_entries USING (transfer_id)
        WHERE state IN ('voided', 'expired') AND (due_at_ms IS NULL OR tries >= 10)
        AND side NOT IN ('declined', 'released')""",
    "refunded, but not by the processor": """
        SELECT transfer_id FROM transfers JOIN processor_entries USING (transfer_id)
        WHERE kind = 'refund' AND (due_at_ms IS NULL OR tries >= 10)
        AND (side <> 'refunded' OR confirmed_minor <> amount_minor)""",
}
_OF_ATTEMPTS = {
    "an approved attempt without its transfer": """
        SELECT attempt_id FROM attempts LEFT JOIN transfers ON transfer_id = attempt_id
        WHERE denial IS NULL AND purpose IN (1, 2) AND transfer_id IS NULL""",
}
_DECIDED = """SELECT transfer_id, decision, terminal_id, t.kind, amount_minor, currency, owner
    FROM transfers t JOIN attempts ON attempt_id = transfer_id
    JOIN ledger_accounts ON ledger_account_id = credit WHERE denial IS NULL"""
_ACTED = """SELECT leaf, transfer_id, t.kind, d.kind, d.owner, c.kind, c.owner, amount_minor,
        c.currency, refers_to
    FROM transfers t JOIN audit_entries ON leaf_hash = act
    JOIN ledger_accounts d ON d.ledger_account_id = debit
    JOIN ledger_accounts c ON c.ledger_account_id = credit"""
