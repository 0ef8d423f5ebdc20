from __future__ import annotations

from gettext import NullTranslations

import pytest

from service.console.frame import TEXTS
from service.db import Database
from tests.catalogues import TRANSLATED
from tests.ceremony.house import House
from tests.postgres.conftest import database, server, template, url
from texts import catalogue

__all__ = ["database", "server", "template", "url"]


class Untranslated(NullTranslations):
    """A page that says what no catalogue has fails its test."""

    def gettext(self, message: str) -> str:
        raise AssertionError(f"no catalogue has {message!r}")


@pytest.fixture(autouse=True)
def _every_text_is_in_the_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    for language in TRANSLATED:
        monkeypatch.setattr(catalogue(TEXTS, language), "_fallback", Untranslated())


@pytest.fixture
def house(database: Database) -> House:
    return House(database)
