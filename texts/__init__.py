"""What people read, in their language: gettext catalogues, and values as each language writes them.

Guarantees: a catalogue is read from its ``.po`` file, which lies in the package whose texts it
holds, so none is stale and there is nothing to build. A text that a catalogue lacks comes out in
English.

The caller must extract its texts with ``make texts``, and translate what that adds.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO
from typing import Any, Protocol

from babel import Locale
from babel.dates import format_datetime, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, format_percent

from wire.money import MINOR_DIGITS

LANGUAGES = {"en": "English", "es": "Español", "zh": "中文"}


class Accepted(Protocol):
    """What a browser asks for: werkzeug's ``LanguageAccept``."""

    def best_match(self, matches: Any) -> str | None: ...


def choose(wanted: str | None, accepted: Accepted) -> str:
    """What the reader chose here, or else the best that the browser asks for."""
    if wanted in LANGUAGES:
        return str(wanted)
    return accepted.best_match(LANGUAGES) or "en"


def later(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


def spoken(value: object) -> str:
    """A value's name as people write it: ``no_match`` is "no match"."""
    return str(value).replace("_", " ")


@cache
def catalogue(package: str, language: str) -> NullTranslations:
    """The texts of ``package``, whose folder holds ``<language>.po``."""
    source = files(package) / f"{language}.po"
    if not source.is_file():
        return NullTranslations()
    with source.open("rb") as file:
        read = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return GNUTranslations(compiled)


def translator(package: str, language: str) -> dict[str, Callable[..., str]]:
    """What templates call: the texts of ``package``, and values as this language writes them."""
    locale, texts = Locale.parse(language), catalogue(package, language)

    def say(text: str, **values: Any) -> str:
        translated = texts.gettext(text) if text else ""
        return translated % values if values else translated

    def say_many(one: str, many: str, number: int, **values: Any) -> str:
        return texts.ngettext(one, many, number) % {"number": figure(number), **values}

    def word(value: object) -> str:
        return say(spoken(value))

    def figure(number: float) -> str:
        return format_decimal(number, locale=locale)

    def share(part: float) -> str:
        return format_percent(part, format="0.0 %", locale=locale)

    def money(amount_minor: int, currency: str) -> str:
        amount = Decimal(amount_minor).scaleb(-MINOR_DIGITS[currency])
        return format_currency(amount, currency, locale=locale)

    def moment(at_ms: int) -> str:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        return format_datetime(at, "medium", locale=locale)

    def ago(at_ms: int, now_ms: int) -> str:
        # What is of this very moment would be "in 0 seconds".
        seconds = max((now_ms - at_ms) // 1000, 1)
        return format_timedelta(-seconds, add_direction=True, locale=locale)

    return {
        "_": say,
        "_n": say_many,
        "word": word,
        "figure": figure,
        "share": share,
        "money": money,
        "moment": moment,
        "ago": ago,
    }
