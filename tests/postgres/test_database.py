from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum

import psycopg
import pytest
from psycopg.errors import (
    DivisionByZero,
    FeatureNotSupported,
    UndefinedTable,
    UniqueViolation,
)

from service.db import Database
from service.errors import Unavailable

_BEGAN = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"""


@pytest.fixture
def one_connection(url: str) -> Iterator[Database]:
    """What is prepared belongs to a connection, and a pool may grow at any time."""
    opened = Database.open(url, size=1)
    yield opened
    opened.close()


def test_a_burst_is_sent_when_its_first_answer_is_read(database: Database, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        with database.transaction(pipelined=True) as conn:
            answers = [conn.execute("SELECT %s::int", (number,)) for number in range(30)]
            assert other.execute(_BEGAN).fetchone() == (0,)
            assert answers[7].fetchone() == (7,)
            assert other.execute(_BEGAN).fetchone() == (1,)
            assert [answer.fetchone() for answer in answers[8:]] == [(n,) for n in range(8, 30)]
        assert other.execute(_BEGAN).fetchone() == (0,)


def test_a_burst_answers_as_a_cursor_does(database: Database) -> None:
    """Parameters by place and by name, of every type that is sent, and rows of all that come."""
    values = (b"\x00%s", None, True, 7, 2**15, 2**31, -1, "é%", Kind.HOT, [1, 2**40], 0.5)
    query = """SELECT %s::bytea, %s::text, %s::bool, %s::bigint, %s::bigint, %s::bigint,
        %s::bigint, %s::text, %s::text, %s::bigint[], %s::float8, 5 %% 3"""
    named = "SELECT %(two)s::int - %(one)s::int, %(two)s::int FROM generate_series(1, %(two)s)"
    answers = []
    for pipelined in (False, True, True):
        with database.transaction(pipelined=pipelined) as conn:
            row = conn.execute(query, values).fetchone()
            rows = conn.execute(named, {"one": 1, "two": 3})
            first, rest = rows.fetchone(), list(rows)
            none = conn.execute("SELECT 1 WHERE false").fetchone()
            gone = conn.execute("DELETE FROM policies WHERE false").rowcount
            answers.append((row, first, rest, none, gone))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][1:] == ((2, 3), [(2, 3), (2, 3)], None, 0)


class Kind(StrEnum):
    HOT = "hot"


def test_what_needs_no_answer_is_done_at_the_end(database: Database) -> None:
    with database.transaction(pipelined=True) as conn:
        conn.execute("CREATE TABLE kept (number int)")
        for number in range(30):
            conn.execute("INSERT INTO kept VALUES (%s)", (number,))
    with database.transaction() as conn:
        assert conn.execute("SELECT count(*), sum(number) FROM kept").fetchone() == (30, 435)


def test_more_than_the_sockets_hold_goes_both_ways(database: Database) -> None:
    with database.transaction(pipelined=True) as conn:
        answers = [conn.execute("SELECT %s::bytea", (bytes(200_000),)) for _ in range(40)]
        assert all(answer.fetchone() == (bytes(200_000),) for answer in answers)


@pytest.mark.parametrize("read", [True, False])
def test_an_error_within_a_burst_undoes_all_of_it(database: Database, read: bool) -> None:
    with database.transaction() as conn:
        conn.execute("CREATE TABLE kept (number int)")
    with (  # noqa: PT012
        pytest.raises(DivisionByZero),
        database.transaction(pipelined=True) as conn,
    ):
        conn.execute("INSERT INTO kept VALUES (1)")
        conn.execute("SELECT 1 / 0")
        after = conn.execute("INSERT INTO kept VALUES (2) RETURNING number")
        if read:
            after.fetchone()
    with database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_what_a_burst_prepared_outlives_its_rollback(database: Database) -> None:
    for number, pipelined in enumerate((True, False) * 3):
        with suppress(ZeroDivisionError), database.transaction(pipelined=pipelined) as conn:
            assert conn.execute("SELECT %s::int", (number,)).fetchone() == (number,)
            raise ZeroDivisionError


def test_a_statement_that_cannot_be_prepared_is_tried_anew(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(UndefinedTable), database.transaction(pipelined=True) as conn:
            conn.execute("SELECT count(*) FROM missing").fetchone()
    with database.transaction() as conn:
        conn.execute("CREATE TABLE missing (number int)")
    with database.transaction(pipelined=True) as conn:
        assert conn.execute("SELECT count(*) FROM missing").fetchone() == (0,)


def test_a_plan_that_is_stale_is_gone_after_one_error(one_connection: Database) -> None:
    """A migration changed a column's type under a service that runs."""
    with one_connection.transaction() as conn:
        conn.execute("CREATE TABLE kept (number int)")
    with one_connection.transaction(pipelined=True) as conn:
        conn.execute("SELECT number FROM kept").fetchall()
    with one_connection.transaction() as conn:
        conn.execute("ALTER TABLE kept ALTER COLUMN number TYPE text")
    with (
        pytest.raises(FeatureNotSupported),
        one_connection.transaction(pipelined=True) as conn,
    ):
        conn.execute("SELECT number FROM kept").fetchall()
    with one_connection.transaction(pipelined=True) as conn:
        assert conn.execute("SELECT number FROM kept").fetchall() == []


def test_more_statements_than_are_kept_prepared(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.burst.STATEMENTS_MAX", 3)
    with database.transaction(pipelined=True) as conn:
        answers = [conn.execute(f"SELECT {number}, %s::int", (number,)) for number in range(9)]
        assert [answer.fetchone() for answer in answers] == [(n, n) for n in range(9)]


def test_an_error_of_a_burst_does_not_quote_a_row(database: Database) -> None:
    with database.transaction() as conn:
        conn.execute("CREATE TABLE kept (name text PRIMARY KEY)")
    with pytest.raises(UniqueViolation) as raised:  # noqa: SIM117, PT012
        with database.transaction(pipelined=True) as conn:
            for _ in range(2):
                conn.execute("INSERT INTO kept VALUES (%s)", ("a secret",))
    assert "secret" not in repr(raised.value)


def test_a_burst_does_not_wait_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hurried:
        hurried.setattr("service.burst.ANSWER_TIMEOUT_S", 0.2)
        with pytest.raises(Unavailable), database.transaction(pipelined=True) as conn:
            conn.execute("SELECT pg_sleep(2)").fetchone()
    with database.transaction(pipelined=True) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
