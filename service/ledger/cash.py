"""One cash machine and day: what the books say was handed out, beside what its journal says.

Guarantees: every withdrawal of the day and every attempt of the journal is compared, by its id
and not by its time, so the two clocks need not agree; what differs is named to the row.

The caller must bring what the journal says (``countenance ledger atm`` reads its files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection

from service.db import Row
from service.ledger.limits import DAY_MS
from wire.ids import AttemptId, TerminalId


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """``booked_minor`` is what the cassette's account got for it: the posted part, and cash that
    was booked late."""

    attempt: AttemptId
    decided_at_ms: int
    state: str
    completion: int | None
    booked_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CashDay:
    """``cassette_minor`` is the sum of the cassette account's postings of that day, refunds
    included; ``mismatches`` pair an attempt with what differs."""

    approved: int
    booked_minor: int
    journal_minor: int
    cassette_minor: int
    mismatches: tuple[tuple[AttemptId, str], ...]


# A row for each approved withdrawal of the terminal: of the day, or named by the journal.
_WITHDRAWALS = """SELECT attempt_id, decided_at_ms, state, completion,
        CASE WHEN state = 'posted' THEN coalesce(posted_minor, t.amount_minor) ELSE 0 END
        + (SELECT coalesce(sum(amount_minor), 0)::bigint FROM transfers late
            WHERE late.refers_to = t.transfer_id AND late.kind = 'correction'
            AND late.credit = t.credit)
    FROM attempts JOIN transfers t ON transfer_id = attempt_id
    WHERE terminal_id = %(terminal)s AND purpose = 2 AND denial IS NULL
    AND (decided_at_ms >= %(since)s AND decided_at_ms < %(until)s
        OR attempt_id = ANY(%(attempts)s))
    ORDER BY decided_at_ms, attempt_id"""
_CASSETTE = """SELECT coalesce(sum(p.amount_minor), 0)::bigint FROM postings p
    JOIN ledger_accounts USING (ledger_account_id) JOIN transfers USING (transfer_id)
    WHERE owner = %(terminal)s AND ledger_accounts.kind = 'cassette'
    AND closed_at_ms >= %(since)s AND closed_at_ms < %(until)s"""


def compare_day(
    conn: Connection[Row], terminal: TerminalId, *, day_ms: int, given: Mapping[AttemptId, int]
) -> CashDay:
    """``day_ms`` is when the day of UTC begins; ``given`` what the journal says was handed out
    for each attempt that it names, 0 for nothing."""
    asked = {
        "terminal": terminal.raw,
        "since": day_ms,
        "until": day_ms + DAY_MS,
        "attempts": [attempt.raw for attempt in given],
    }
    known = {
        AttemptId(raw): Withdrawal(
            attempt=AttemptId(raw),
            decided_at_ms=decided,
            state=state,
            completion=completion,
            booked_minor=booked,
        )
        for raw, decided, state, completion, booked in conn.execute(_WITHDRAWALS, asked).fetchall()
    }
    cassette = conn.execute(_CASSETTE, asked).fetchone()
    of_day = [each for each in known.values() if day_ms <= each.decided_at_ms < day_ms + DAY_MS]
    return CashDay(
        approved=len(of_day),
        booked_minor=sum(each.booked_minor for each in of_day),
        journal_minor=sum(given.values()),
        cassette_minor=cassette[0] if cassette else 0,
        mismatches=(
            *_of_journal(known, given),
            *((each.attempt, _MISSING) for each in of_day if _is_missing(each, given)),
        ),
    )


_MISSING = "the books say it was handed out, and the journal does not have it"


def _is_missing(withdrawal: Withdrawal, given: Mapping[AttemptId, int]) -> bool:
    return withdrawal.booked_minor > 0 and withdrawal.attempt not in given


def _of_journal(
    known: Mapping[AttemptId, Withdrawal], given: Mapping[AttemptId, int]
) -> list[tuple[AttemptId, str]]:
    found = []
    for attempt, given_minor in given.items():
        booked = known.get(attempt)
        if booked is None:
            found.append((attempt, "the journal has it, and no withdrawal was approved"))
        elif booked.state == "pending":
            found.append((attempt, "the hold is still pending: the machine has not confirmed"))
        elif booked.booked_minor != given_minor:
            what = f"booked {booked.booked_minor}, handed out {given_minor} minor units"
            found.append((attempt, what))
    return found
