from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import DivisionByZero, PipelineAborted

from service.db import Database

_BEGAN = "SELECT xact_start IS NOT NULL FROM pg_stat_activity WHERE pid = %s"


def test_a_burst_is_sent_when_its_first_answer_is_read(database: Database, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        with database.transaction(pipelined=True) as conn:
            pid = conn.info.backend_pid
            answers = [conn.execute("SELECT %s::int", (number,)) for number in range(30)]
            assert other.execute(_BEGAN, (pid,)).fetchone() == (False,)
            assert answers[7].fetchone() == (7,)
            assert other.execute(_BEGAN, (pid,)).fetchone() == (True,)
            assert [answer.fetchone() for answer in answers[8:]] == [(n,) for n in range(8, 30)]
        assert other.execute(_BEGAN, (pid,)).fetchone() == (False,)


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
        pytest.raises((DivisionByZero, PipelineAborted)),
        database.transaction(pipelined=True) as conn,
    ):
        conn.execute("INSERT INTO kept VALUES (1)")
        conn.execute("SELECT 1 / 0")
        after = conn.execute("INSERT INTO kept VALUES (2) RETURNING number")
        if read:
            after.fetchone()
    with database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
