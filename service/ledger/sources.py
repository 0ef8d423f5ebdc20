"""Customers' accounts at processors, and what these have of our transfers, in PostgreSQL.

Guarantees: an account has one funding source; a transfer that a source pays or gets back has one
entry, made in the transfer's own transaction, with a trace number that no other of the day has.
One at a time holds an entry's lease.

The caller must seal a source before it is stored, speak with the processor only under the lease
and for less time than it lasts, and record what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from psycopg import Connection

from service.db import Row
from service.errors import Unavailable
from service.ledger.rules import AccountKind, Party, Transfer, TransferKind
from wire.ids import AccountId, TransferId
from wire.money import Money

RESERVED_MS = 60_000
"""How long a transfer may wait for its processor's word, and for who asks for it again."""
TRACE_MAX = 999_999
TRACE_TRIES_MAX = 64
EVENTS_KEPT_MS = 30 * 24 * 3_600_000
RECONCILE_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    processor: str
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A transfer and its processor's side. ``posted_minor`` is 0 unless it is posted; ``told``
    says that the processor was heard since something was last said to have changed.
    """

    transfer: TransferId
    kind: TransferKind
    state: str
    account: AccountId
    payee: bytes
    money: Money
    posted_minor: int
    expires_at_ms: int
    refers_to: TransferId | None
    processor: str
    trace: int
    asked_at_ms: int
    side: str
    reference: str | None
    confirmed_minor: int
    tries: int
    told: bool


def attach(
    conn: Connection[Row],
    account: AccountId,
    source: StoredSource,
    currency: str,
    *,
    now_ms: int,
) -> None:
    """Makes it the account's funding source, in place of another.

    ``currency`` is the wallet's, so it is always the same.
    """
    party = Party.source(account)
    conn.execute(
        """INSERT INTO ledger_accounts (kind, owner, currency) VALUES (%s, %s, %s)
        ON CONFLICT (owner, kind) DO NOTHING""",
        (party.kind, party.owner, currency),
    )
    conn.execute(
        """INSERT INTO funding_sources (account_id, processor, sealed, attached_at_ms)
        VALUES (%s, %s, %s, %s) ON CONFLICT (account_id) DO UPDATE SET
        processor = excluded.processor, sealed = excluded.sealed,
        attached_at_ms = excluded.attached_at_ms""",
        (account.raw, source.processor, source.sealed, now_ms),
    )


def detach(conn: Connection[Row], account: AccountId) -> bool:
    """The account's own wallet pays from now on; what was begun is brought to its end."""
    done = conn.execute("DELETE FROM funding_sources WHERE account_id = %s", (account.raw,))
    return done.rowcount == 1


def find_source(conn: Connection[Row], account: AccountId) -> StoredSource | None:
    row = conn.execute(
        "SELECT processor, sealed FROM funding_sources WHERE account_id = %s", (account.raw,)
    ).fetchone()
    return StoredSource(processor=row[0], sealed=bytes(row[1])) if row else None


def trace_of(transfer: TransferId, place: int) -> int:
    """The trace number to try in this place: from the transfer's id, 1 to ``TRACE_MAX``."""
    start = int.from_bytes(sha256(b"trace" + transfer.raw).digest()[:8], "big")
    return (start + place) % TRACE_MAX + 1


def enter(conn: Connection[Row], wanted: Transfer, *, now_ms: int) -> None:
    """Opens the entry of a transfer that was just made, where one of its sides is a source.

    A pending one is due when who made it has had time to ask the processor itself.
    """
    sides = {wanted.debit.kind, wanted.credit.kind}
    if AccountKind.SOURCE not in sides or AccountKind.SUSPENSE in sides:
        return
    query, of = _ENTER, wanted.debit.owner
    if wanted.refers_to is not None:
        query, of = _ENTER_REFUND, wanted.refers_to.raw
    due_at_ms = now_ms + (RESERVED_MS if wanted.lives_ms else 0)
    for place in range(TRACE_TRIES_MAX):
        trace = trace_of(wanted.transfer, place)
        done = conn.execute(query, (wanted.transfer.raw, trace, now_ms, due_at_ms, of))
        if done.fetchone() is not None:
            return
    raise Unavailable("no trace number is free, or the source is gone")


_ENTER = """INSERT INTO processor_entries (transfer_id, processor, trace, asked_at_ms, due_at_ms)
    SELECT %s, processor, %s, %s, %s FROM funding_sources WHERE account_id = %s
    ON CONFLICT (processor, day, trace) DO NOTHING RETURNING trace"""
_ENTER_REFUND = """INSERT INTO processor_entries
    (transfer_id, processor, trace, asked_at_ms, due_at_ms)
    SELECT %s, processor, %s, %s, %s FROM processor_entries WHERE transfer_id = %s
    ON CONFLICT (processor, day, trace) DO NOTHING RETURNING trace"""
_DUE = """FROM processor_entries JOIN transfers USING (transfer_id)
    WHERE due_at_ms <= %(now)s AND leased_until_ms <= %(now)s
    AND (state <> 'pending' OR side = 'asked' OR expires_at_ms <= %(now)s)"""
_ENTRY = """SELECT t.transfer_id, t.kind, t.state, s.owner, p.owner, t.amount_minor, s.currency,
        CASE WHEN state = 'posted' THEN coalesce(posted_minor, amount_minor) ELSE 0 END,
        coalesce(expires_at_ms, 0), refers_to, processor, trace, asked_at_ms, side, reference,
        confirmed_minor, tries, told_at_ms IS NOT NULL
    FROM processor_entries e JOIN transfers t USING (transfer_id)
    JOIN ledger_accounts s ON s.ledger_account_id IN (debit, credit) AND s.kind = 'source'
    JOIN ledger_accounts p ON p.ledger_account_id IN (debit, credit) AND p.kind <> 'source' """


def find_entry(conn: Connection[Row], transfer: TransferId) -> Entry | None:
    row = conn.execute(_ENTRY + "WHERE t.transfer_id = %s", (transfer.raw,)).fetchone()
    if row is None:
        return None
    raw, kind, state, account, payee, amount_minor, currency, posted_minor, *rest = row
    (
        expires_at_ms,
        refers_to,
        processor,
        trace,
        asked_at_ms,
        side,
        reference,
        confirmed_minor,
        tries,
        told,
    ) = rest
    return Entry(
        transfer=TransferId(raw),
        kind=TransferKind(kind),
        state=state,
        account=AccountId(account),
        payee=payee,
        money=Money(amount_minor=amount_minor, currency=currency),
        posted_minor=posted_minor,
        expires_at_ms=expires_at_ms,
        refers_to=TransferId(refers_to) if refers_to else None,
        processor=processor,
        trace=trace,
        asked_at_ms=asked_at_ms,
        side=side,
        reference=reference,
        confirmed_minor=confirmed_minor,
        tries=tries,
        told=told,
    )


def lease(conn: Connection[Row], transfer: TransferId, *, now_ms: int, for_ms: int) -> int | None:
    """Makes the entry the caller's alone from now on, for so long; None where it is another's.

    What it returns is shown when something is recorded: a lease that ran out records nothing.
    """
    row = conn.execute(
        """UPDATE processor_entries SET leased_until_ms = %s, tries = tries + 1
        WHERE transfer_id = %s AND leased_until_ms <= %s RETURNING leased_until_ms""",
        (now_ms + for_ms, transfer.raw, now_ms),
    ).fetchone()
    return row[0] if row else None


def record(
    conn: Connection[Row],
    transfer: TransferId,
    lease: int,
    *,
    side: str,
    reference: str | None,
    confirmed_minor: int,
    refusal: str | None,
    due_at_ms: int | None,
    now_ms: int,
) -> bool:
    """What the processor said; gives the lease back. False where that had run out."""
    done = conn.execute(
        """UPDATE processor_entries SET side = %s, reference = coalesce(%s, reference),
        confirmed_minor = %s, refusal = %s, told_at_ms = %s, tries = 0, leased_until_ms = 0,
        due_at_ms = %s WHERE transfer_id = %s AND leased_until_ms = %s""",
        (
            side,
            reference,
            confirmed_minor,
            refusal,
            now_ms,
            due_at_ms,
            transfer.raw,
            lease,
        ),
    )
    return done.rowcount == 1


def postpone(
    conn: Connection[Row], transfer: TransferId, lease: int, *, due_at_ms: int | None
) -> None:
    """Nothing was heard, or there is nothing to do; gives the lease back."""
    conn.execute(
        """UPDATE processor_entries SET due_at_ms = %s, leased_until_ms = 0
        WHERE transfer_id = %s AND leased_until_ms = %s""",
        (due_at_ms, transfer.raw, lease),
    )


def count_due(conn: Connection[Row], *, now_ms: int) -> int:
    """How many :func:`list_due` would find without a limit."""
    row = conn.execute(f"SELECT count(*) {_DUE}", {"now": now_ms}).fetchone()
    return int(row[0]) if row else 0


def list_due(conn: Connection[Row], *, now_ms: int, limit: int) -> list[TransferId]:
    """Entries with something to do, the longest due first. What a processor holds waits until
    its transfer is closed."""
    rows = conn.execute(
        f"SELECT transfer_id {_DUE} ORDER BY due_at_ms, transfer_id LIMIT %(limit)s",
        {"now": now_ms, "limit": limit},
    ).fetchall()
    return [TransferId(raw) for (raw,) in rows]


def note_event(
    conn: Connection[Row], event: str, transfer: TransferId | None, *, now_ms: int
) -> bool:
    """Has the transfer's entry looked at anew; False for an event that was taken before."""
    taken = conn.execute(
        """INSERT INTO processor_events (event_id, received_at_ms) VALUES (%s, %s)
        ON CONFLICT DO NOTHING""",
        (event, now_ms),
    )
    if taken.rowcount == 1 and transfer is not None:
        conn.execute(
            """UPDATE processor_entries SET due_at_ms = least(due_at_ms, %s), told_at_ms = NULL
            WHERE transfer_id = %s""",
            (now_ms, transfer.raw),
        )
    return taken.rowcount == 1


def look_again(
    conn: Connection[Row], processors: Sequence[str], *, since_ms: int, now_ms: int
) -> int:
    """Has closed entries since then looked at anew, at most ``RECONCILE_MAX``, the one that was
    looked at longest ago first; returns how many. Forgets old events.
    """
    conn.execute(
        "DELETE FROM processor_events WHERE received_at_ms < %s", (now_ms - EVENTS_KEPT_MS,)
    )
    done = conn.execute(
        """UPDATE processor_entries SET due_at_ms = %s, told_at_ms = NULL
        WHERE transfer_id IN (SELECT transfer_id FROM processor_entries
            WHERE processor = ANY(%s) AND asked_at_ms >= %s AND due_at_ms IS NULL
            ORDER BY told_at_ms NULLS FIRST LIMIT %s)""",
        (now_ms, list(processors), since_ms, RECONCILE_MAX),
    )
    return done.rowcount
