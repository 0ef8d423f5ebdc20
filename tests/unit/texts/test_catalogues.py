"""Every text that is said has a translation, with the same places for values."""

from __future__ import annotations

import re

import pytest

from tests.catalogues import CATALOGUES, TRANSLATED, kept, said
from texts import catalogue, choose, translator

PLACE = re.compile(r"%\(\w+\)[a-z]|%%")


@pytest.fixture(params=[(package, lang) for package in CATALOGUES for lang in TRANSLATED], ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def test_every_text_is_in_the_catalogue_and_nothing_else(pair: tuple[str, str]) -> None:
    wanted = {message.id for message in said(pair[0]) if message.id}
    assert len(wanted) > 20
    assert {message.id for message in kept(*pair) if message.id} == wanted


def test_every_text_is_translated_and_none_is_a_guess(pair: tuple[str, str]) -> None:
    for message in kept(*pair):
        if not message.id:
            continue
        strings = [message.string] if isinstance(message.string, str) else list(message.string)
        assert strings, message.id
        assert all(strings), message.id
        assert not message.fuzzy, message.id


def test_the_places_for_values_are_the_same(pair: tuple[str, str]) -> None:
    for message in kept(*pair):
        texts = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string] if isinstance(message.string, str) else list(message.string)
        # "One entry" may say its number in words; what is said of many names it.
        wanted = sorted(PLACE.findall(texts[-1]))
        for string in strings[-1:]:
            assert sorted(PLACE.findall(string)) == wanted, message.id
            string % dict.fromkeys(re.findall(r"%\((\w+)\)", string), 1)


class Browser:
    def __init__(self, *wanted: str) -> None:
        self._wanted = wanted

    def best_match(self, matches: object, default: None = None) -> str | None:
        return next((each for each in self._wanted if each in list(matches)), default)  # type: ignore[call-overload]


def test_what_the_reader_chose_goes_before_what_the_browser_asks_for() -> None:
    assert choose("es", Browser("zh")) == "es"
    assert choose("xx", Browser("zh")) == "zh"
    assert choose(None, Browser("fr")) == "en"


def test_values_are_written_as_the_language_writes_them() -> None:
    package = next(iter(CATALOGUES))
    assert translator(package, "en")["money"](123456, "EUR") == "€1,234.56"
    assert translator(package, "es")["money"](123456, "EUR") == "1.234,56\xa0€"
    assert translator(package, "en")["ago"](0, 3_600_000) == "1 hour ago"
    assert translator(package, "zh")["ago"](0, 3_600_000) == "1小时前"


def test_what_no_catalogue_has_is_english() -> None:
    package = next(iter(CATALOGUES))
    assert catalogue(package, "es").gettext("never said anywhere") == "never said anywhere"
    assert translator(package, "en")["word"]("no_match") == "no match"
