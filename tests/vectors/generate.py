"""Writes the vectors: ``python -m tests.vectors.generate``.

Always the same from fixed seeds. Two things cannot be: HPKE draws a fresh key for each box, and
the last place of a sum depends on the machine. Both are kept as they stand for as long as they
are right, so a second run changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.vectors import audit, encodings, envelopes, rules
from tests.vectors.shared import Document

FOLDER = Path(__file__).parent
BUILDERS: dict[str, Callable[[Document | None], Document]] = {
    "cbor": lambda _: encodings.cbor(),
    "messages": lambda _: encodings.messages(),
    "ids": lambda _: encodings.ids(),
    "money": lambda _: encodings.money(),
    "cose": lambda _: envelopes.cose(),
    "hpke": envelopes.hpke,
    "plans": lambda _: rules.plans(),
    "denials": lambda _: rules.denials(),
    "hashes": lambda _: rules.hashes(),
    "storage": rules.storage,
    "merkle": lambda _: audit.merkle(),
    "log": lambda _: audit.log(),
}


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def read(name: str) -> Document:
    found: Document = json.loads(path_of(name).read_text())
    return found


def build(name: str) -> str:
    """The text of one file, as it must stand."""
    kept = read(name) if path_of(name).exists() else None
    return json.dumps(BUILDERS[name](kept), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    for name in BUILDERS:
        path_of(name).write_text(build(name))


if __name__ == "__main__":
    main()
