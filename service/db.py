"""Connections to PostgreSQL: pooled, bounded, and wrapped.

Guarantees: every wait has a bound (connecting, a free connection, a statement, a lock, an idle
transaction); whatever says that the database is gone comes out as :class:`Unavailable`, and the
pool connects anew by itself. A transaction is committed when its block ends, and rolled back
by any exception. :meth:`Database.run` does work again, a bounded number of times, where only
other transactions of the same moment stood in its way.

The caller must still treat an :class:`Unavailable` that comes out of the commit as "unknown":
ask again with the same id.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLIN, poll
from typing import TypeVar, cast

from psycopg import Connection, InterfaceError, OperationalError
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from service import burst
from service.errors import Collided, Unavailable

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5.0
WAITING_MAX = 256
TRIES_MAX = 5
PAUSE_S = 0.01
SESSION = {
    "statement_timeout": "5s",
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}

Row = burst.Row
T = TypeVar("T")


class Database:
    """A pool of connections; safe to share between threads, not between processes."""

    def __init__(self, pool: ConnectionPool[burst.Connection]) -> None:
        self._pool = pool

    @classmethod
    def open(cls, url: str, *, size: int = 8) -> Database:
        """Does not wait for the database: a service starts, and is not ready, without it."""
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        pool = ConnectionPool(
            url,
            connection_class=burst.Connection,
            min_size=1,
            max_size=size,
            max_waiting=WAITING_MAX,
            timeout=POOL_TIMEOUT_S,
            reconnect_timeout=POOL_TIMEOUT_S,
            check=_check,
            # Bursts prepare; psycopg would throw that away together with what it had prepared.
            kwargs={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": options,
                "prepare_threshold": None,
            },
            open=True,
        )
        return cls(pool)

    @contextmanager
    def transaction(self, *, pipelined: bool = False) -> Iterator[Connection[Row]]:
        """Yields a connection inside one READ COMMITTED transaction; raises Unavailable,
        :class:`Collided` where it may be run again at once.

        ``pipelined``: what needs no answer does not wait for one, BEGIN and COMMIT neither, and
        travels with the next statement whose answer is read (:mod:`service.burst`). An
        error then comes out where the next answer is read, or at the end. What is yielded
        has ``execute`` alone.
        """
        try:
            with self._pool.connection() as conn:
                if not pipelined:
                    yield conn
                    return
                with burst.burst(conn) as made:
                    yield cast("Connection[Row]", made)
        except (DeadlockDetected, SerializationFailure) as error:
            raise Collided(f"database: {type(error).__name__}") from None
        except (
            OperationalError,
            InterfaceError,
            PoolTimeout,
            PoolClosed,
            TooManyRequests,
        ) as error:
            # A psycopg error may quote a row: it is neither shown nor chained.
            raise Unavailable(f"database: {type(error).__name__}") from None

    def run(self, work: Callable[[Connection[Row]], T], *, pipelined: bool = False) -> T:
        """Does ``work`` in a transaction of its own, at most ``TRIES_MAX`` times.

        Again after a deadlock, a serialization failure, and a unique violation: a row that
        another transaction was faster to insert is there to be seen by the next try. The last
        one's error comes out. ``work`` must have no effect but on its connection.
        """
        for again in range(TRIES_MAX - 1):
            try:
                with self.transaction(pipelined=pipelined) as conn:
                    return work(conn)
            except (Collided, UniqueViolation):
                time.sleep(random.uniform(0, PAUSE_S * 2**again))  # noqa: S311 (spreads load)
        with self.transaction(pipelined=pipelined) as conn:
            return work(conn)

    def close(self) -> None:
        self._pool.close()


class Joined(Database):
    """A transaction that is under way, as a database: what is done in it commits with it."""

    def __init__(self, conn: Connection[Row]) -> None:
        self._conn = conn

    @contextmanager
    def transaction(self, *, pipelined: bool = False) -> Iterator[Connection[Row]]:  # noqa: ARG002
        yield self._conn

    def run(
        self,
        work: Callable[[Connection[Row]], T],
        *,
        pipelined: bool = False,  # noqa: ARG002
    ) -> T:
        """Once: whoever began the transaction does it again."""
        return work(self._conn)

    def close(self) -> None:
        raise RuntimeError("a transaction is closed by whoever began it")


def _check(conn: burst.Connection) -> None:
    """Asks a connection whether it lives only where its socket has something to say.

    A server that ended has closed it, which can be read at once; between two transactions it
    sends nothing else.
    """
    heard = poll()
    heard.register(conn.fileno(), POLLIN)
    if heard.poll(0):
        ConnectionPool.check_connection(conn)
