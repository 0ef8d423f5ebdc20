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
from typing import Any, TypeVar

from psycopg import Connection, InterfaceError, OperationalError
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

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

Row = tuple[Any, ...]
T = TypeVar("T")


class Database:
    """A pool of connections; safe to share between threads, not between processes."""

    def __init__(self, pool: ConnectionPool[Connection[Row]]) -> None:
        self._pool = pool

    @classmethod
    def open(cls, url: str, *, size: int = 8) -> Database:
        """Does not wait for the database: a service starts, and is not ready, without it."""
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            max_waiting=WAITING_MAX,
            timeout=POOL_TIMEOUT_S,
            reconnect_timeout=POOL_TIMEOUT_S,
            check=ConnectionPool.check_connection,
            kwargs={"connect_timeout": CONNECT_TIMEOUT_S, "options": options},
            open=True,
        )
        return cls(pool)

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        """Yields a connection inside one READ COMMITTED transaction; raises Unavailable,
        :class:`Collided` where it may be run again at once.
        """
        try:
            with self._pool.connection() as conn:
                yield conn
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

    def run(self, work: Callable[[Connection[Row]], T]) -> T:
        """Does ``work`` in a transaction of its own, at most ``TRIES_MAX`` times.

        Again after a deadlock, a serialization failure, and a unique violation: a row that
        another transaction was faster to insert is there to be seen by the next try. The last
        one's error comes out. ``work`` must have no effect but on its connection.
        """
        for again in range(TRIES_MAX - 1):
            try:
                with self.transaction() as conn:
                    return work(conn)
            except (Collided, UniqueViolation):
                time.sleep(random.uniform(0, PAUSE_S * 2**again))  # noqa: S311 (spreads load)
        with self.transaction() as conn:
            return work(conn)

    def close(self) -> None:
        self._pool.close()
