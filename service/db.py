"""Connections to PostgreSQL: pooled, bounded, and wrapped.

Guarantees: every wait has a bound (connecting, a free connection, a statement, a lock, an idle
transaction); whatever says that the database is gone comes out as :class:`Unavailable`, and the
pool connects anew by itself. A transaction is committed when its block ends, and rolled back
by any exception.

The caller must still treat an :class:`Unavailable` that comes out of the commit as "unknown":
ask again with the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, InterfaceError, OperationalError
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from service.errors import Unavailable

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5.0
WAITING_MAX = 256
SESSION = {
    "statement_timeout": "5s",
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
}

Row = tuple[Any, ...]


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
        """Yields a connection inside one READ COMMITTED transaction; raises Unavailable."""
        try:
            with self._pool.connection() as conn:
                yield conn
        except (
            OperationalError,
            InterfaceError,
            PoolTimeout,
            PoolClosed,
            TooManyRequests,
        ) as error:
            # A psycopg error may quote a row: it is neither shown nor chained.
            raise Unavailable(f"database: {type(error).__name__}") from None

    def close(self) -> None:
        self._pool.close()
