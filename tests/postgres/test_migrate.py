from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import psycopg
import pytest

from service.errors import Unavailable
from service.migrate import migrate

ALL = tuple(
    sorted(
        path.name[:4]
        for path in files("migrations.versions").iterdir()
        if path.name[:1] == "0" and path.name.endswith(".py")
    )
)
ATTEMPT = """INSERT INTO attempts (attempt_id, terminal_id, purpose, evidence_digest, decision,
    leaf_hash, decided_at_ms, expires_at_ms)
    VALUES (decode(repeat('01', 16), 'hex'), decode(repeat('02', 16), 'hex'), 1,
    decode(repeat('03', 32), 'hex'), '', decode(repeat('04', 32), 'hex'), 1, 2)"""


def test_an_empty_database_is_brought_up_to_date_once(empty_url: str) -> None:
    assert migrate(empty_url) == ALL
    assert migrate(empty_url) == ()


def test_processes_that_migrate_at_once_wait_for_each_other(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty_url] * 4))
    assert sorted(applied) == [(), (), (), ALL]


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/none"
    with pytest.raises(Unavailable) as refused:
        migrate(url)
    assert "secret" not in str(refused.value)


def test_a_decision_never_changes(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(ATTEMPT)
        for statement in (
            "UPDATE attempts SET denial = 'no_match'",
            "UPDATE attempts SET decision = 'x', completion = 1, confirmed_at_ms = 3",
            "DELETE FROM attempts",
            "TRUNCATE attempts",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
                conn.execute(statement)
        conn.execute("UPDATE attempts SET completion = 1, confirmed_at_ms = 3")
        with pytest.raises(psycopg.errors.RaiseException, match="never changes"):
            conn.execute("UPDATE attempts SET completion = 2, confirmed_at_ms = 3")


def test_an_erased_account_has_no_key_and_others_have_one(url: str) -> None:
    insert = """INSERT INTO accounts (account_id, state, wrapped_key, created_at_ms)
        VALUES (decode(repeat('01', 16), 'hex'), %s, %s, 1)"""
    with psycopg.connect(url, autocommit=True) as conn:
        for state, key in (("erased", b"key"), ("active", None)):
            with pytest.raises(psycopg.errors.CheckViolation):
                conn.execute(insert, (state, key))
