"""Brings the schema up to date, forward only.

Guarantees: each migration runs in its own transaction, in order, once; processes that start
at the same time wait for each other (an advisory lock, bounded). Alembic keeps the count; the
SQL is written by hand, in a file beside each version.
"""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from service.errors import Unavailable

LOCK_KEY = 0x636F756E74  # "count"
LOCK_TIMEOUT_MS = 60_000


def migrate(url: str) -> tuple[str, ...]:
    """Applies what is missing; returns the revisions applied, oldest first.

    Raises :class:`Unavailable` where the database does not answer.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", "migrations:")
    script = ScriptDirectory.from_config(config)
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK_KEY})"))
            connection.commit()
            before = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            missing = script.iterate_revisions("head", before or "base")
            return tuple(reversed([revision.revision for revision in missing]))
    except OperationalError as error:
        # The error's own text may quote the URL with its password.
        raise Unavailable("the database does not answer, or another migration runs") from error.orig
    finally:
        engine.dispose()
