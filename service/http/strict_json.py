"""JSON in which a document has one meaning (RFC 8259 section 4 leaves repeated names open)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask.json.provider import DefaultJSONProvider


class StrictJson(DefaultJSONProvider):
    """Refuses repeated names, NaN, infinities, and nesting too deep to read."""

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Raises ValueError."""
        try:
            return json.loads(s, object_pairs_hook=_unique, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("nested too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
