"""``docs/protocol.md`` names every message, label and field, with its key."""

from __future__ import annotations

from dataclasses import fields
from inspect import getmembers, isclass
from pathlib import Path

import pytest

from wire import messages
from wire.codec import Message

DOCUMENT = Path(__file__).parents[3].joinpath("docs", "protocol.md").read_text()
MESSAGES = [
    kind
    for _, kind in getmembers(messages, isclass)
    if issubclass(kind, Message) and kind is not Message
]


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_document_names_every_field_with_its_key(kind: type[Message]) -> None:
    section = DOCUMENT.partition(f"### {kind.__name__}\n")[2].partition("\n### ")[0]
    assert section
    assert f"label `{getattr(kind, 'LABEL', '')}`" in section or not hasattr(kind, "LABEL")
    rows = [line for line in section.splitlines() if line.startswith("| ") and "`" in line]
    assert [row.split("`")[0:2] for row in rows] == [
        [f"| {each.metadata['key']} | ", each.name]
        for each in fields(kind)  # type: ignore[arg-type]
    ]
