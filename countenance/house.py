"""Opens a service's own parts on this machine: database, keys, operators' acts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from countenance.output import fail
from service.db import Database
from service.embedded import open_embedded
from service.errors import Misconfigured, Unavailable
from service.funding.processor import Processors
from service.keys import KeyRing
from service.migrate import migrate
from service.operators.acts import Operations
from service.processors import open_processors
from service.server import open_keys
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    url: str = field(repr=False)
    database: Database
    keys: KeyRing

    @property
    def operations(self) -> Operations:
        return Operations(self.database, self.keys)

    @property
    def processors(self) -> Processors:
        return open_processors(self.settings)


@contextmanager
def open_database() -> Iterator[Settings]:
    """Yields settings whose database answers and is up to date; starts the embedded one."""
    try:
        settings = Settings.from_env()
        if settings.database_url is not None:
            migrate(settings.database_url)
            yield settings
            return
        with open_embedded(settings.home) as url:
            migrate(url)
            # Processes that are started from here find the same database.
            os.environ["COUNTENANCE_DATABASE_URL"] = url
            yield replace(settings, database_url=url)
    except Misconfigured as error:
        fail("This cannot be started", why=str(error), exit_code=2)
    except Unavailable as error:
        fail(
            "The database is not available",
            why=str(error),
            todo="check COUNTENANCE_DATABASE_URL, or unset it for the embedded one",
            exit_code=4,
        )


@contextmanager
def open_house() -> Iterator[House]:
    with open_database() as settings:
        url = str(settings.database_url)
        database = Database.open(url, size=2)
        try:
            yield House(settings, url, database, open_keys(settings))
        finally:
            database.close()
