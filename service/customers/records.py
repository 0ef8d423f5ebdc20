"""What customers may read of their own: uses, movements of money, doors, what is stored of them.

Guarantees: everything is of one account; no claim, embedding, PIN or key is among the columns, nor
whether there is a duress PIN, since somebody may be looking over the customer's shoulder. Of a
denial there is the reason that the terminal was told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import Connection

from service.db import Database, Row
from service.enrolment import accounts
from service.ledger import usage
from service.ledger.limits import Limits, Turnover
from service.ledger.rules import Party, TransferKind
from service.operators.pages import Cursor, Page, page
from service.verification.policy import Policy
from wire import envelope
from wire.denial import Denial, Reason
from wire.ids import ID_BYTES, AccountId, AttemptId, TransferId
from wire.messages import Decision, PaymentContext, Purpose, WithdrawalContext

DOORS_SHOWN = 200
MOVEMENTS_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The account as it is kept. ``paused``: by the customer; ``processor`` has the money that
    pays where the wallet does not; ``references`` are (model, number, made); ``erasure`` is the
    leaf hash of the entry that proves it."""

    account: AccountId
    state: str
    paused: bool
    created_at_ms: int
    consent_version: str | None
    consented_at_ms: int | None
    has_pin: bool
    holder_mode: bool
    claims: int
    currency: str | None
    available_minor: int | None
    held_minor: int | None
    processor: str | None
    erasure: bytes | None
    references: tuple[tuple[str, int, int], ...]


def find(conn: Connection[Row], account: AccountId) -> Stored | None:
    row = conn.execute(
        """SELECT state, paused, a.created_at_ms, consent_version, consented_at_ms,
        pin_hash IS NOT NULL, holder_mode,
        (SELECT count(*) FROM claims c WHERE c.account_id = a.account_id),
        currency, balance_minor - held_minor, held_minor, processor, erasure
        FROM accounts a LEFT JOIN ledger_accounts ON owner = a.account_id AND kind = 'wallet'
        LEFT JOIN funding_sources f ON f.account_id = a.account_id WHERE a.account_id = %s""",
        (account.raw,),
    ).fetchone()
    if row is None:
        return None
    return Stored(
        account=account,
        state=row[0],
        paused=row[1],
        created_at_ms=row[2],
        consent_version=row[3],
        consented_at_ms=row[4],
        has_pin=row[5],
        holder_mode=row[6],
        claims=row[7],
        currency=row[8],
        available_minor=row[9],
        held_minor=row[10],
        processor=row[11],
        erasure=bytes(row[12]) if row[12] else None,
        references=accounts.list_references(conn, account),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One attempt. ``place`` is the shop, the cash machine or the door; ``order`` what the shop
    called it; of money ``state`` says what became of it, and ``refunded_minor`` came back."""

    attempt: AttemptId
    at_ms: int
    purpose: str
    place: str
    reason: Reason | None
    amount_minor: int | None
    currency: str | None
    order: str | None
    state: str | None
    refunded_minor: int
    leaf_hash: bytes

    @property
    def approved(self) -> bool:
        return self.reason is None


_USE = """SELECT a.decided_at_ms, a.attempt_id, a.purpose, a.denial, a.decision, a.leaf_hash,
        coalesce(m.name, d.name, nullif(t.site, ''), t.name), p.state,
        (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM transfers r
            WHERE r.refers_to = p.transfer_id AND r.kind = 'refund')
    FROM attempts a JOIN terminals t USING (terminal_id)
    LEFT JOIN merchants m USING (merchant_id)
    LEFT JOIN doors d ON d.door_id = t.door_id
    LEFT JOIN transfers p ON p.transfer_id = a.attempt_id
    WHERE a.account_id = %(account)s """


def _use(row: Row) -> Use:
    at_ms, raw, purpose, denial, decision, leaf_hash, place, state, refunded_minor = row
    context = envelope.parse(bytes(decision), Decision).message.context
    moved = context if isinstance(context, PaymentContext | WithdrawalContext) else None
    return Use(
        attempt=AttemptId(raw),
        at_ms=at_ms,
        purpose=Purpose(purpose).name.lower(),
        place=place,
        reason=Denial(denial).reason if denial else None,
        amount_minor=moved.amount_minor if moved else None,
        currency=moved.currency if moved else None,
        order=context.order if isinstance(context, PaymentContext) else None,
        state=state,
        refunded_minor=refunded_minor,
        leaf_hash=bytes(leaf_hash),
    )


def list_uses(conn: Connection[Row], account: AccountId, *, after: Cursor, limit: int) -> Page[Use]:
    """The newest first."""
    query = (
        _USE + "AND (a.decided_at_ms, a.attempt_id) < (%(at)s, %(id)s)"
        " ORDER BY a.decided_at_ms DESC, a.attempt_id DESC LIMIT %(limit)s"
    )
    return page(conn, query, {"account": account.raw}, after=after, limit=limit, read=_use)


def find_use(conn: Connection[Row], account: AccountId, attempt: AttemptId) -> Use | None:
    row = conn.execute(
        _USE + "AND a.attempt_id = %(attempt)s", {"account": account.raw, "attempt": attempt.raw}
    ).fetchone()
    return _use(row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What may be moved for one purpose, and what was, in the policy's currency."""

    purpose: str
    limits: Limits
    spent: Turnover


def allowances(
    conn: Connection[Row], stored: Stored, policy: Policy, *, now_ms: int
) -> list[Allowance]:
    """Only of the purposes that have limits."""
    party = Party.source if stored.processor else Party.wallet
    found = []
    for kind in (TransferKind.PAYMENT, TransferKind.WITHDRAWAL):
        limits = policy.limits.get(kind)
        if limits is not None:
            spent = usage.spent(conn, party(stored.account), kind, now_ms=now_ms)
            found.append(Allowance(purpose=kind, limits=limits, spent=spent))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A door or zone that the account may open; ``group`` is by whose membership."""

    place: str
    group: str | None
    schedule: str
    time_zone: str
    valid_from_ms: int
    valid_until_ms: int


def list_ways(conn: Connection[Row], account: AccountId) -> list[Way]:
    rows = conn.execute(
        f"""SELECT coalesce(d.name, z.name) AS place, o.name, schedule, time_zone, valid_from_ms,
        valid_until_ms FROM grants g LEFT JOIN doors d USING (door_id)
        LEFT JOIN zones z ON z.zone_id = g.zone_id LEFT JOIN groups o USING (group_id)
        WHERE account_id = %(account)s OR group_id IN
            (SELECT group_id FROM memberships WHERE account_id = %(account)s)
        ORDER BY place, o.name LIMIT {DOORS_SHOWN}""",  # noqa: S608
        {"account": account.raw},
    ).fetchall()
    return [
        Way(
            place=place,
            group=group,
            schedule=schedule,
            time_zone=time_zone,
            valid_from_ms=from_ms,
            valid_until_ms=until_ms,
        )
        for place, group, schedule, time_zone, from_ms, until_ms in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money into the wallet (above zero) or out of it."""

    transfer: TransferId
    at_ms: int
    kind: str
    amount_minor: int
    currency: str


def walk_movements(database: Database, account: AccountId) -> Iterator[Movement]:
    """All of them, the oldest first, read in batches."""
    start = (-1, bytes(ID_BYTES))
    while True:
        with database.transaction() as conn:
            rows = conn.execute(
                f"""SELECT t.created_at_ms, t.transfer_id, t.kind, p.amount_minor, currency
                FROM postings p JOIN transfers t USING (transfer_id)
                JOIN ledger_accounts l USING (ledger_account_id)
                WHERE l.owner = %(account)s AND l.kind = 'wallet'
                AND (t.created_at_ms, t.transfer_id) > (%(at)s, %(id)s)
                ORDER BY t.created_at_ms, t.transfer_id LIMIT {MOVEMENTS_BATCH}""",  # noqa: S608
                {"account": account.raw, "at": start[0], "id": start[1]},
            ).fetchall()
        if not rows:
            return
        for at_ms, raw, kind, amount_minor, currency in rows:
            yield Movement(
                transfer=TransferId(raw),
                at_ms=at_ms,
                kind=kind,
                amount_minor=amount_minor,
                currency=currency,
            )
            start = (at_ms, bytes(raw))
