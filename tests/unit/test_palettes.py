"""The console and the kiosk are of one colour, though neither can have the other's stylesheet."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHEETS = ("service/console/static/console.css", "terminal_client/kiosk/static/kiosk.css")


def palettes(sheet: str) -> list[dict[str, str]]:
    """The colours by day and by night."""
    blocks = re.findall(r":root \{(.*?)\}", (ROOT / sheet).read_text(), re.DOTALL)[:2]
    return [dict(re.findall(r"--([a-z-]+): (#\w{6});", block)) for block in blocks]


def test_console_and_kiosk_have_one_palette() -> None:
    console, kiosk = map(palettes, SHEETS)
    assert [len(each) for each in console] == [14, 14]
    assert console == kiosk
