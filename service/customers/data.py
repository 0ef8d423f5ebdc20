"""All that is kept about a customer, as JSON for the customer to take along.

Guarantee: it is written as it is read, in batches, so that a long history takes no memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from service import passkeys, policies
from service.customers import records, sign_in
from service.operators.pages import PAGE_MAX, Cursor, Page, walk
from service.operators.recorder import Recorder
from wire.ids import AccountId, Id

NOTES = {
    "references": "kept encrypted under a key of this account alone; the numbers are not given out,"
    " since a face cannot be changed once they are lost",
    "claims": "cards, phones and badges are kept as keyed hashes, from which they cannot be read",
    "times": "milliseconds since 1970-01-01 UTC",
    "amounts": "minor units, such as cents",
}


def whole(acts: Recorder, account: AccountId) -> Iterator[str]:
    """One JSON document, in parts; nothing for an unknown account."""
    with acts.database.transaction() as conn:
        stored = records.find(conn, account)
        if stored is None:
            return
        _, policy = policies.latest(conn, acts.keys.signing, now_ms=acts.clock())
        limits = records.allowances(conn, stored, policy, now_ms=acts.clock())
        ways = records.list_ways(conn, account)
        keys = passkeys.list_passkeys(conn, sign_in.PASSKEYS, account)
    references = [
        {"model": model, "number": number, "made_at_ms": at_ms}
        for model, number, at_ms in stored.references
    ]
    head = {
        "made_at_ms": acts.clock(),
        "notes": NOTES,
        "account": {**_fields(stored), "references": references},
        "limits": {"currency": policy.currency, "of": limits},
        "doors": ways,
        "passkeys": [{"made_at_ms": made, "used_at_ms": used} for _, made, used in keys],
    }
    yield json.dumps(_plain(head), ensure_ascii=False, indent=1)[: -len("\n}")]
    yield ',\n "uses": ['
    yield from _listed(walk(lambda after: _uses(acts, account, after)))
    yield '],\n "movements": ['
    yield from _listed(records.walk_movements(acts.database, account))
    yield "]\n}\n"


def _uses(acts: Recorder, account: AccountId, after: Cursor) -> Page[records.Use]:
    with acts.database.transaction() as conn:
        return records.list_uses(conn, account, after=after, limit=PAGE_MAX)


def _listed(found: Iterator[Any]) -> Iterator[str]:
    comma = ""
    for each in found:
        yield f"{comma}\n  {json.dumps(_plain(each), ensure_ascii=False)}"
        comma = ","


def _plain(value: object) -> object:
    """As JSON has it: ids by their text, bytes in hex, objects by their fields."""
    match value:
        case Id() | Enum():
            return str(value)
        case bytes():
            return value.hex()
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return _plain(_fields(value)) if is_dataclass(value) else value


def _fields(value: Any) -> dict[str, object]:
    return {each.name: getattr(value, each.name) for each in fields(value)}
