"""Pages: rows by (time, id), newest first, a bounded number at once.

Guarantee: a page costs the same however far back it is, since it goes on after the (time, id)
of the last row, by an index; rows that come in meanwhile make none appear twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, TypeVar

from psycopg import Connection

from service.db import Row
from wire.errors import MalformedError
from wire.ids import ID_BYTES

PAGE_MAX = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """After which row the next page begins. Text: milliseconds, a dot, the id's 32 hex digits."""

    at_ms: int
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises :class:`MalformedError`."""
        at_ms, _, body = text.partition(".")
        if not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) <= 18):
            raise MalformedError("not a cursor")
        try:
            found = cls(int(at_ms), bytes.fromhex(body))
        except ValueError as error:
            raise MalformedError("not a cursor") from error
        if len(found.raw) != ID_BYTES or str(found) != text:
            raise MalformedError("not a cursor")
        return found

    def __str__(self) -> str:
        return f"{self.at_ms}.{self.raw.hex()}"


FIRST = Cursor(2**62, b"\xff" * ID_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """``next`` is None on the last page."""

    items: Sequence[T]
    next: Cursor | None


def page(
    conn: Connection[Row],
    query: LiteralString,
    wanted: Mapping[str, Any],
    *,
    after: Cursor,
    limit: int,
    read: Callable[[Row], T],
) -> Page[T]:
    """The first two columns are the time and id that the rows are sorted by."""
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"a page has 1 to {PAGE_MAX} rows")
    rows = conn.execute(
        query, {**wanted, "at": after.at_ms, "id": after.raw, "limit": limit + 1}
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=[read(row) for row in rows],
        next=Cursor(rows[-1][0], bytes(rows[-1][1])) if more else None,
    )


def walk(read: Callable[[Cursor], Page[T]]) -> Iterator[T]:
    """The items of all pages; ``read`` gets the page after a cursor."""
    after: Cursor | None = FIRST
    while after is not None:
        found = read(after)
        yield from found.items
        after = found.next
