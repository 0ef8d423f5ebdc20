from __future__ import annotations

import pytest

from service.db import Database
from service.http.models import example_id
from service.operators.tokens import Scope
from tests.api.client import Client
from tests.ceremony.house import House
from tests.postgres.conftest import database, server, template, url
from wire.ids import DoorId, MerchantId

__all__ = ["database", "server", "template", "url"]


@pytest.fixture
def house(database: Database) -> House:
    """The merchant and the door have the ids of the document's examples."""
    return House(database, merchant=example_id(MerchantId), door=example_id(DoorId))


@pytest.fixture
def api(house: House) -> Client:
    """An operator with every scope."""
    return Client.of(house, *Scope)
