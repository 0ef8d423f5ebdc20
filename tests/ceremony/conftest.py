from __future__ import annotations

import pytest

from service.db import Database
from tests.ceremony.house import House
from tests.postgres.conftest import database, server, template, url

__all__ = ["database", "server", "template", "url"]


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
