"""``terminal.toml`` in the terminal's home: where the service is, and what the device has.

Guarantees: every key is known and every value in its range, or one :class:`UsageError` names
the key. The file is written once, by the registration; a person edits it from then on.

The caller must keep the file from others: a camera's URL may hold a password.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from terminal_client.drivers.settings import DoorConfig
from terminal_client.enrolment import CONSENT_VERSION
from terminal_client.errors import StorageError, UsageError
from wire.errors import WireError
from wire.money import MINOR_DIGITS, Money

FILE_NAME = "terminal.toml"
FILE_BYTES_MAX = 64 * 1024
TEXT_CHARS_MAX = 1000
CONSENT_VERSION_CHARS_MAX = 40 - len("/en")
NOTES_IN_CASSETTE_MAX = 10_000
KINDS_OF_NOTES_MAX = 8
TILL_PORT, KIOSK_PORT = 8440, 8441
NAME_CHARS_MAX = 200

LANGUAGE = re.compile("[a-z]{2}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``successor`` is the better pack that faces are enrolled by on the way; ``till_port`` is on
    the loopback, as is ``kiosk_port``; ``keypad_currency`` that of amounts typed at the terminal;
    ``notes`` maps a note's value in minor units of ``currency`` to how many were loaded;
    ``consent_files`` has the consent text by language, the terminal's own first, and is empty for
    the text that comes along; ``kiosk_name`` is what people know the store, machine, door or desk
    by; ``kiosk_colours``: whether its screen lights the face before it well enough for the flash.
    """

    service: str
    ca_file: str | None = None
    camera: str = "0"
    pack: str = "pip"
    successor: str | None = None
    door: DoorConfig = field(default_factory=DoorConfig)
    till_port: int = TILL_PORT
    keypad_currency: str = "EUR"
    currency: str | None = None
    notes: Mapping[int, int] = field(default_factory=dict)
    consent_version: str = CONSENT_VERSION
    consent_files: Mapping[str, str] = field(default_factory=dict)
    kiosk_port: int = KIOSK_PORT
    kiosk_name: str = "Countenance"
    kiosk_language: str = "en"
    kiosk_colours: bool = True

    @classmethod
    def load(cls, home: Path) -> Config | None:
        """None where there is no file; raises :class:`UsageError` or :class:`StorageError`."""
        path = home / FILE_NAME
        try:
            with path.open("rb") as file:
                raw = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        try:
            return cls.parse(raw)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, raw: bytes) -> Config:
        """Raises :class:`UsageError`."""
        if len(raw) > FILE_BYTES_MAX:
            raise UsageError(f"more than {FILE_BYTES_MAX >> 10} KiB")
        try:
            top = Table("", tomllib.loads(raw.decode()))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"not TOML: {_first_line(error)}") from error
        store, atm, enrolment, kiosk = (
            top.table(name) for name in ("store", "atm", "enrolment", "kiosk")
        )
        currency, notes = _notes(atm.take("notes", dict, {}))
        language = kiosk.text("language", "en", longest=8)
        if not LANGUAGE.fullmatch(language):
            raise UsageError("kiosk.language is a language: en, es, zh")
        config = cls(
            service=top.text("service", None),
            ca_file=top.text("ca_file", "") or None,
            camera=top.text("camera", "0"),
            pack=top.text("pack", "pip"),
            successor=top.text("successor", "") or None,
            door=DoorConfig.take(top.table("door")),
            till_port=store.number("till_port", TILL_PORT, 1024, 65_535),
            keypad_currency=_currency(store.text("currency", "EUR")),
            currency=currency,
            notes=notes,
            consent_version=enrolment.text(
                "consent_version", CONSENT_VERSION, longest=CONSENT_VERSION_CHARS_MAX
            ),
            consent_files=_consent_files(enrolment, language),
            kiosk_port=kiosk.number("port", KIOSK_PORT, 1024, 65_535),
            kiosk_name=kiosk.text("name", "Countenance", longest=NAME_CHARS_MAX),
            kiosk_language=language,
            kiosk_colours=kiosk.take("colours", bool, True),
        )
        for table in (top, store, atm, enrolment, kiosk):
            table.close()
        return config


def write_config(home: Path, config: Config) -> None:
    """Writes what the registration chose, unless there is a file: that one is kept.

    Raises :class:`UsageError` for values that could not be read back, or :class:`StorageError`.
    """
    lines = ["# The settings of this terminal: docs/terminals.md says what may stand here."]
    for name in ("service", "ca_file", "camera", "pack"):
        value = getattr(config, name)
        if value is not None:
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    text = "\n".join(lines) + "\n"
    Config.parse(text.encode())
    path = home / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


class Table:
    """Takes keys out of a TOML table; what is left at the end is unknown."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self._prefix = f"{name}." if name else ""
        self._values = dict(values)

    def take(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._values.pop(key, default)
        if value is None:
            raise UsageError(f"{self._prefix}{key} is missing")
        if type(value) is not kind:
            raise UsageError(f"{self._prefix}{key} is a {kind.__name__}")
        return value

    def table(self, key: str) -> Table:
        return Table(f"{self._prefix}{key}", self.take(key, dict, {}))

    def text(self, key: str, default: str | None, *, longest: int = TEXT_CHARS_MAX) -> str:
        value = self.take(key, str, default)
        if value != default and not (value.isprintable() and 0 < len(value) <= longest):
            raise UsageError(f"{self._prefix}{key} is a text of 1 to {longest} characters")
        return value

    def number(self, key: str, default: int, least: int, most: int) -> int:
        value = self.take(key, int, default)
        if not least <= value <= most:
            raise UsageError(f"{self._prefix}{key} is a number from {least} to {most}")
        return value

    def close(self) -> None:
        unknown = sorted(self._values)
        if unknown:
            raise UsageError(f"unknown key {self._prefix}{unknown[0]!s:.40}")


def _currency(text: str) -> str:
    if text not in MINOR_DIGITS:
        raise UsageError("store.currency is an ISO 4217 code")
    return text


def _notes(values: dict[str, Any]) -> tuple[str | None, dict[int, int]]:
    """``{"50 EUR": 100}`` to the currency and ``{5000: 100}``."""
    currency: str | None = None
    notes = {}
    if len(values) > KINDS_OF_NOTES_MAX:
        raise UsageError(f"atm.notes has at most {KINDS_OF_NOTES_MAX} kinds of notes")
    for text, number in values.items():
        try:
            money = Money.parse(text)
        except WireError as error:
            raise UsageError(f"atm.notes: {error}") from error
        if currency not in (None, money.currency):
            raise UsageError("atm.notes are of one currency")
        if type(number) is not int or not 0 <= number <= NOTES_IN_CASSETTE_MAX:
            raise UsageError(f"atm.notes: 0 to {NOTES_IN_CASSETTE_MAX} notes of a kind")
        currency, notes[money.amount_minor] = money.currency, number
    return currency, notes


def _consent_files(enrolment: Table, own: str) -> dict[str, str]:
    """One file in the terminal's own language, or one for each language."""
    one = enrolment.text("consent_file", "")
    table = enrolment.take("consent_files", dict, {})
    if one and table:
        raise UsageError("enrolment names consent_file or consent_files, not both")
    if not all(LANGUAGE.fullmatch(language) for language in table):
        raise UsageError("enrolment.consent_files are named by languages: en, es, zh")
    files = Table("enrolment.consent_files", table)
    named = {language: files.text(language, None) for language in table}
    return {own: one} if one else dict(sorted(named.items(), key=lambda each: each[0] != own))


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
