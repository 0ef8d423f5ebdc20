"""A transaction whose statements travel together: psycopg's pq layer with as little on top.

psycopg's own pipeline sends each statement in a system call of its own and makes a cursor for
it, which together cost more processor time than all else in a decision (docs/performance.md).
Here a statement is prepared the first time a connection sees it; after that it is its parameters,
handed to libpq, which keeps them until an answer is read or the burst ends.

Guarantees: BEGIN and COMMIT travel with the rest; the answers come in order; the first error
undoes the whole burst, and is raised where the next answer is read, at the latest at the end,
as psycopg's class for its SQLSTATE and without its text, which may quote a row; every wait has
a bound. After an error that is not about other transactions the connection is closed, so that no
stale plan outlives it.

The caller must still use ``execute`` alone, and nothing else of the connection meanwhile.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any

import psycopg
from psycopg import DatabaseError, Error, OperationalError
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation, lookup
from psycopg.pq import DiagnosticField, ExecStatus, Format, PipelineStatus
from psycopg.pq.abc import PGresult

# A statement is one for each combination of its parameters' types: an int is 2, 4 or 8 bytes.
STATEMENTS_MAX = 512
ANSWER_TIMEOUT_S = 30.0
OTHERS = (DeadlockDetected, SerializationFailure, UniqueViolation)
_GOOD = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})

Row = tuple[Any, ...]
Parameters = Sequence[Any] | dict[str, Any]
Key = tuple[bytes, tuple[int, ...]]


class Connection(psycopg.Connection[Row]):
    """Knows what bursts prepared on it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.statements: dict[Key, bytes] = {}
        self.names = count()
        self.adapter = Transformer(self)


class Answer:
    """Of one statement: what a cursor has of it."""

    __slots__ = ("_burst", "_rows", "result")

    def __init__(self, burst: Burst) -> None:
        self._burst = burst
        self._rows: Iterator[Row] | None = None
        self.result: PGresult | None = None

    def __iter__(self) -> Iterator[Row]:
        if self._rows is None:
            self._rows = iter(self._burst.rows(self._read()))
        return self._rows

    def fetchone(self) -> Row | None:
        return next(iter(self), None)

    def fetchall(self) -> list[Row]:
        return list(self)

    @property
    def rowcount(self) -> int:
        return self._read().command_tuples or 0

    def _read(self) -> PGresult:
        return self.result or self._burst.read(self)


class Burst:
    """In place of a connection, for one transaction; made by :func:`burst`."""

    def __init__(self, conn: Connection) -> None:
        self._conn, self._pg = conn, conn.pgconn
        self._adapter: Any = conn.adapter
        # What was sent and not answered: a statement, or the key of one that is to be prepared.
        self._waiting: deque[Answer | Key] = deque()
        self._asked = False
        self._error: Error | None = None

    def execute(self, query: str, params: Parameters | None = None) -> Answer:
        """As psycopg's, but for what is sent when."""
        text, values = _translated(query, params)
        dumped, types, formats = self._dump(values)
        key = (text, types)
        name = self._conn.statements.get(key)
        if name is None and len(self._conn.statements) < STATEMENTS_MAX:
            name = self._prepare(key)
        if name is None:
            self._pg.send_query_params(text, dumped, types, formats, Format.BINARY)
        else:
            self._pg.send_query_prepared(name, dumped, formats, Format.BINARY)
        answer = Answer(self)
        self._waiting.append(answer)
        self._asked = True
        return answer

    def read(self, answer: Answer) -> PGresult:
        """Waits for an answer, and for all before it."""
        if self._asked:
            self._pg.send_flush_request()
            self._flush()
        while answer.result is None:
            if self._error is None:
                self._take()
            if self._error is not None:
                raise self._error
        return answer.result

    def rows(self, result: PGresult) -> list[Row]:
        self._adapter.set_pgresult(result)
        rows: list[Row] = self._adapter.load_rows(0, result.ntuples, tuple)
        return rows

    def settle(self) -> None:
        """Waits for all answers; afterwards the connection is an ordinary one again."""
        if self._pg.pipeline_status == PipelineStatus.OFF:
            return
        self._pg.pipeline_sync()
        self._flush()
        while self._waiting:
            self._take()
        self._fetch()
        self._pg.exit_pipeline_mode()
        if self._error is not None:
            raise self._error

    def _dump(
        self, values: Sequence[Any]
    ) -> tuple[Sequence[Any] | None, tuple[int, ...], Sequence[Format] | None]:
        if not values:
            return None, (), None
        dumped = self._adapter.dump_sequence(values, (PyFormat.AUTO,) * len(values))
        return dumped, self._adapter.types, self._adapter.formats

    def _prepare(self, key: Key) -> bytes:
        text, types = key
        name = b"burst_%d" % next(self._conn.names)
        self._pg.send_prepare(name, text, types)
        self._waiting.append(key)
        self._conn.statements[key] = name
        return name

    def _take(self) -> None:
        """The next answer."""
        waiting, result = self._waiting.popleft(), self._fetch()
        # What ends each command's results.
        self._fetch()
        good = result is not None and result.status in _GOOD
        if good and isinstance(waiting, Answer):
            waiting.result = result
        elif not good:
            if not isinstance(waiting, Answer):
                del self._conn.statements[waiting]
            self._error = self._error or _error_of(result)

    def _fetch(self) -> PGresult | None:
        while self._pg.is_busy():
            self._wait(POLLIN)
            self._pg.consume_input()
        return self._pg.get_result()

    def _flush(self) -> None:
        self._asked = False
        while self._pg.flush():
            # The server may wait for us to read before it reads.
            if self._wait(POLLIN | POLLOUT) & POLLIN:
                self._pg.consume_input()

    def _wait(self, events: int) -> int:
        ready = poll()
        ready.register(self._pg.socket, events)
        found = ready.poll(ANSWER_TIMEOUT_S * 1000)
        if not found:
            raise OperationalError("no answer in time")
        return found[0][1]


@contextmanager
def burst(conn: Connection) -> Iterator[Burst]:
    """One transaction; raises what psycopg would."""
    made = Burst(conn)
    conn.pgconn.enter_pipeline_mode()
    try:
        made.execute("BEGIN")
        yield made
        made.execute("COMMIT")
        made.settle()
    except BaseException as error:
        # Whoever lent the connection rolls it back, or finds it closed.
        if _leaves_usable(error):
            _give_up(conn, made)
        else:
            conn.close()
        raise


def _leaves_usable(error: BaseException) -> bool:
    return not isinstance(error, Error) or isinstance(error, OTHERS)


def _give_up(conn: Connection, made: Burst) -> None:
    try:
        made.settle()
    except Error as error:
        if not _leaves_usable(error):
            conn.close()


def _error_of(result: PGresult | None) -> Error:
    state = result.error_field(DiagnosticField.SQLSTATE) if result is not None else None
    try:
        return lookup(state.decode() if state else "")("a statement failed")
    except KeyError:
        return DatabaseError("a statement failed")


_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|(s)|(%))")


def _translated(query: str, params: Parameters | None) -> tuple[bytes, Sequence[Any]]:
    if params is None:
        return query.encode(), ()
    text, names = _translate(query)
    if isinstance(params, dict):
        return text, [params[name] for name in names]
    return text, params


@lru_cache(maxsize=STATEMENTS_MAX)
def _translate(query: str) -> tuple[bytes, tuple[str, ...]]:
    """PostgreSQL's placeholders for psycopg's, and the names of the parameters in order."""
    names: list[str] = []
    positions = count(1)

    def number(found: re.Match[str]) -> str:
        name, positional, _ = found.groups()
        if positional:
            return f"${next(positions)}"
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACEHOLDER.sub(number, query).encode(), tuple(names)
