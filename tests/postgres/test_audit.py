from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from service.audit import log
from service.audit.notes import verifier_key
from service.audit.verify import AuditError, Verified, VerifierKey, verify_log, verify_receipt
from service.db import Database
from service.keys import KeyRing

SIGNER = KeyRing.ephemeral().log
KEY = VerifierKey.parse(verifier_key(SIGNER))


def fill(database: Database, names: range) -> list[bytes]:
    with database.transaction() as conn:
        return [log.append(conn, f"leaf {name}".encode()) for name in names]


def integrate(database: Database) -> bool:
    with database.transaction() as conn:
        return log.integrate(conn, SIGNER, now_ms=1) is not None


def verify(url: str, decided: list[bytes] | None = None, kept: bytes | None = None) -> Verified:
    with psycopg.connect(url) as conn:
        return verify_log(
            conn.execute(
                "SELECT position, leaf FROM audit_entries WHERE position IS NOT NULL"
                " ORDER BY position"
            ).fetchall(),
            [row[0] for row in conn.execute("SELECT note FROM audit_checkpoints ORDER BY size")],
            KEY,
            waiting=[
                row[0]
                for row in conn.execute("SELECT leaf FROM audit_entries WHERE position IS NULL")
            ],
            decided=decided or [],
            kept=kept,
        )


def test_entries_get_positions_and_receipts(database: Database, url: str) -> None:
    digests = fill(database, range(5))
    with database.transaction() as conn:
        assert log.receipt(conn, digests[0]) is None
    assert integrate(database)
    assert not integrate(database)
    digests += fill(database, range(5, 12))
    assert integrate(database)
    fill(database, range(12, 14))
    assert verify(url, digests) == Verified(12, 2, verify(url).root, 2)
    with database.transaction() as conn:
        for position, digest in enumerate(digests):
            receipt = log.receipt(conn, digest)
            assert receipt is not None
            assert verify_receipt(receipt, KEY) == (position, f"leaf {position}".encode())
        assert log.receipt(conn, bytes(32)) is None


def test_a_transaction_that_fails_leaves_no_entry(database: Database, url: str) -> None:
    def fail() -> None:
        with database.transaction() as conn:
            log.append(conn, b"leaf")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not integrate(database)
    assert verify(url).size == 0


def test_writers_and_sequencers_at_once_lose_nothing(database: Database, url: str) -> None:
    def write(number: int) -> list[bytes]:
        return [
            digest
            for start in range(number * 1000, number * 1000 + 30, 3)
            for digest in fill(database, range(start, start + 3))
        ]

    def sequence(_: int) -> None:
        for _ in range(20):
            integrate(database)

    with ThreadPoolExecutor(8) as pool:
        sequenced = pool.map(sequence, range(3))
        written = [digest for digests in pool.map(write, range(5)) for digest in digests]
        list(sequenced)
    integrate(database)
    assert verify(url, written).size == len(written) == 150


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET leaf = 'x'",
        "UPDATE audit_entries SET position = 9 WHERE position = 1",
        "UPDATE audit_nodes SET hash = decode(repeat('00', 32), 'hex')",
        "UPDATE audit_checkpoints SET size = 99",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_nodes",
        "DELETE FROM audit_checkpoints",
        "TRUNCATE audit_entries CASCADE",
        "TRUNCATE audit_nodes",
        "TRUNCATE audit_checkpoints",
    ],
)
def test_the_database_refuses_changes(database: Database, url: str, statement: str) -> None:
    fill(database, range(4))
    integrate(database)
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.RaiseException):
        conn.execute(statement)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE audit_entries SET leaf = 'x' WHERE position = 2", "before 4 was changed"),
        ("DELETE FROM audit_entries WHERE position = 2", "entry 2 is missing"),
        ("DELETE FROM audit_entries WHERE position = 6", "6 of 7 signed ones"),
        (
            "UPDATE audit_entries SET position = CASE position WHEN 1 THEN 5 WHEN 5 THEN 1 END"
            " WHERE position IN (1, 5)",
            "before 4 was changed",
        ),
        ("DELETE FROM audit_checkpoints WHERE size = 7", "checkpoint is missing"),
        ("DELETE FROM audit_entries WHERE position IS NULL", "has no entry"),
        (
            "DELETE FROM audit_entries WHERE position > 3;"
            " DELETE FROM audit_checkpoints WHERE size = 7",
            "decision 4 has no entry",
        ),
        ("UPDATE audit_checkpoints SET note = 'x' WHERE size = 4", "checkpoint that is not one"),
    ],
)
def test_what_a_superuser_changes_is_found_and_named(
    database: Database, url: str, statement: str, finding: str
) -> None:
    digests = fill(database, range(4))
    integrate(database)
    digests += fill(database, range(4, 7))
    integrate(database)
    digests += fill(database, range(7, 9))
    verify(url, digests)
    with psycopg.connect(url) as conn:
        conn.execute("ALTER TABLE audit_entries DROP CONSTRAINT audit_entries_position_key")
        conn.execute("SET session_replication_role = replica")
        conn.execute(statement)
    with pytest.raises(AuditError, match=finding):
        verify(url, digests)


def test_a_kept_checkpoint_shows_that_the_end_was_cut_off(database: Database, url: str) -> None:
    fill(database, range(4))
    integrate(database)
    fill(database, range(4, 7))
    integrate(database)
    with database.transaction() as conn:
        kept = log.latest_checkpoint(conn)
    with psycopg.connect(url) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("DELETE FROM audit_entries WHERE position > 3")
        conn.execute("DELETE FROM audit_checkpoints WHERE size = 7")
    assert verify(url).size == 4
    with pytest.raises(AuditError, match="4 of 7 signed ones"):
        verify(url, kept=kept)
