from __future__ import annotations

import pytest

from service.db import Database
from service.funding.iso8583.host import Host
from service.funding.iso8583.line import Address
from service.funding.processor import ProcessorName
from service.http.models import example_id
from service.operators.tokens import Scope
from tests.api.client import Client
from tests.ceremony.house import House
from tests.postgres.conftest import database, server, template, url
from wire.ids import DoorId, MerchantId

__all__ = ["database", "server", "template", "url"]

NOWHERE = Address(host="127.0.0.1", port=9, tls=False)
"""A card is attached without a word to the bank."""


@pytest.fixture
def house(database: Database) -> House:
    """The merchant and the door have the ids of the document's examples."""
    return House(
        database,
        merchant=example_id(MerchantId),
        door=example_id(DoorId),
        processors={ProcessorName.ISO8583: Host(NOWHERE, acquirer="1")},
    )


@pytest.fixture
def api(house: House) -> Client:
    """An operator with every scope."""
    return Client.of(house, *Scope)
