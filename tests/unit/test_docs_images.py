"""The pictures in docs: few, small, and each of them shown somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pictures import BYTES_MAX, IMAGES, PICTURES_MAX

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"!\[[^\]]+\]\(([^)]+\.png)\)")


def test_pictures_are_few_and_small() -> None:
    found = sorted(IMAGES.iterdir())
    assert 0 < len(found) <= PICTURES_MAX
    for path in found:
        assert path.read_bytes().startswith(b"\x89PNG"), path.name
        assert path.stat().st_size < BYTES_MAX, path.name


def test_every_picture_is_shown_and_every_shown_one_is_there() -> None:
    shown = set()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for name in SHOWN.findall(page.read_text()):
            path = (page.parent / name).resolve()
            assert path.is_file(), f"{page.name} shows {name}"
            shown.add(path)
    assert shown >= set(IMAGES.iterdir())
