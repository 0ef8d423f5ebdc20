from __future__ import annotations

import pytest

from service.db import Database
from service.me.frame import TEXTS
from tests.catalogues import TRANSLATED
from tests.ceremony.house import House
from tests.console.conftest import Untranslated
from tests.postgres.conftest import database, server, template, url
from texts import catalogue

__all__ = ["database", "server", "template", "url"]


@pytest.fixture(autouse=True)
def _every_text_is_in_the_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    for language in TRANSLATED:
        monkeypatch.setattr(catalogue(TEXTS, language), "_fallback", Untranslated())


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
