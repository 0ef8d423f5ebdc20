"""Holds the API's pages to one cost: far back and of rare merchants as the newest of all.

    python -m benchmarks.pages

Fills an embedded PostgreSQL with 200,000 attempts and payments of 300 merchants, one of which
has only the 99 oldest; prints the median time of a page of 50 as a ratio to the newest page's,
and exits 1 when one is above ``RATIO_MAX``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import psycopg
from psycopg import Connection

from service.db import Database, Row
from service.embedded import open_embedded
from service.keys import KeyRing
from service.migrate import migrate
from service.operators import records
from service.operators.pages import FIRST, Cursor
from service.operators.records import Wanted
from wire import envelope
from wire.ids import AttemptId, MerchantId
from wire.messages import Decision, Outcome, PaymentContext

RATIO_MAX = 5.0
ROUNDS = 40
OLD = Cursor(60_000, b"\xff" * 16)
FILL = """
SET session_replication_role = replica;
INSERT INTO merchants SELECT decode(lpad(to_hex(i), 32, '0'), 'hex'), 'm', 'EUR', i
    FROM generate_series(1, 300) i;
INSERT INTO ledger_accounts (kind, owner, currency) SELECT 'merchant', merchant_id, 'EUR'
    FROM merchants;
INSERT INTO terminals (terminal_id, kind, name, merchant_id, created_at_ms)
    SELECT merchant_id, 1, 't', merchant_id, 1 FROM merchants;
INSERT INTO attempts SELECT decode(md5(i::text), 'hex'),
    decode(lpad(to_hex(CASE WHEN i < 100 THEN 300 ELSE i % 299 + 1 END), 32, '0'), 'hex'), 1,
    sha256(i::text::bytea), NULL, CASE WHEN i % 5 = 0 THEN 'no_match' END, DECISION,
    sha256(('leaf' || i)::bytea), i, 0 FROM generate_series(1, 200000) i;
INSERT INTO transfers (transfer_id, kind, state, debit, credit, amount_minor, created_at_ms,
    closed_at_ms) SELECT attempt_id, 'payment', 'posted', 0, ledger_account_id, 5,
    decided_at_ms, 1 FROM attempts JOIN ledger_accounts ON owner = terminal_id;
ANALYZE;
"""
Read = Callable[[Connection[Row]], object]


@click.command()
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        home.chmod(0o711)
        with open_embedded(home, durable=False) as url:
            migrate(url)
            with psycopg.connect(url) as conn:
                conn.execute(FILL.replace("DECISION", f"'\\x{decision().hex()}'"))
            database = Database.open(url, size=1)
            try:
                sys.exit(0 if measure(database) else 1)
            finally:
                database.close()


def decision() -> bytes:
    """One signed decision on a payment: they all have it."""
    said = Decision(
        attempt=AttemptId.new(),
        evidence_digest=bytes(32),
        context=PaymentContext(amount_minor=5, currency="EUR", payee=MerchantId.new(), order="A"),
        outcome=Outcome.APPROVED,
        reason=None,
        result=bytes(16),
        decided_at_ms=1,
        expires_at_ms=1,
        leaf_hash=bytes(32),
    )
    return envelope.sign(said, KeyRing.ephemeral().signing).raw


def payments(merchant: int, after: Cursor = FIRST) -> Read:
    found = MerchantId(merchant.to_bytes(16, "big"))
    return lambda conn: records.list_payments(conn, found, after=after, limit=50)


def attempts(merchant: int | None, after: Cursor = FIRST) -> Read:
    return lambda conn: records.list_attempts(
        conn,
        Wanted(merchant=MerchantId(merchant.to_bytes(16, "big")) if merchant else None),
        after=after,
        limit=50,
    )


def measure(database: Database) -> bool:
    held = True
    for name, newest, others in (
        (
            "attempts",
            attempts(None),
            {"far back": attempts(None, OLD), "busy": attempts(7), "rare": attempts(300)},
        ),
        ("payments", payments(7), {"far back": payments(7, OLD), "rare": payments(300)}),
    ):
        newest_s = median_s(database, newest)
        print(f"{name}: the newest page takes {newest_s * 1e3:.2f} ms")
        for which, read in others.items():
            ratio = median_s(database, read) / newest_s
            held = held and ratio <= RATIO_MAX
            print(f"  {which:10} {ratio:5.2f} x that, at most {RATIO_MAX}")
    return held


def median_s(database: Database, read: Read) -> float:
    times = []
    for _ in range(ROUNDS):
        with database.transaction() as conn:
            began = time.perf_counter()
            read(conn)
            times.append(time.perf_counter() - began)
    return median(times)


if __name__ == "__main__":
    main()
