"""What a page is asked for: ids, cursors, and the fields of search forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import abort, request

from service.operators.pages import FIRST, Cursor
from wire.errors import MalformedError
from wire.ids import Id

ROWS = 50
TEXT_MAX = 200
T = TypeVar("T")


def parsed(kind: type[Id], text: str | None) -> Any:
    """The id, or 404: whoever makes up an id learns nothing from how it is refused."""
    try:
        return kind.parse(text or "")
    except MalformedError:
        abort(404)


def after() -> Cursor:
    text = request.args.get("after")
    try:
        return Cursor.parse(text) if text else FIRST
    except MalformedError:
        abort(404)


@dataclass(slots=True)
class Filters:
    """The search form of the page; ``wrong`` names the fields that could not be read, which do
    not narrow."""

    wrong: list[str] = field(default_factory=list)

    @property
    def given(self) -> dict[str, str]:
        return {name: value for name, value in request.args.items() if name != "after" and value}

    def read(self, name: str, reader: Callable[[str], T]) -> T | None:
        text = request.args.get(name, "").strip()
        if not text:
            return None
        try:
            return reader(text)
        except (MalformedError, ValueError, KeyError):
            self.wrong.append(name)
            return None

    def span(self) -> dict[str, int]:
        """``from_ms`` and ``until_ms``, of the fields from and until in UTC."""
        return {
            "from_ms": self.read("from", moment) or 0,
            "until_ms": self.read("until", moment) or 2**62,
        }


def moment(text: str) -> int:
    """Unix milliseconds of what a browser's field for a moment says, in UTC; or ValueError."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def line(name: str, most: int = TEXT_MAX) -> str | None:
    """A form's field of one printable line, or None where it is none."""
    text = request.form.get(name, "").strip()
    return text if 1 <= len(text) <= most and text.isprintable() else None
