"""What is wrong with a page as somebody sees it: axe-core's findings, and what runs out of its
window. With COUNTENANCE_PICTURES=folder, each is kept there as a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

PICTURES = os.environ.get("COUNTENANCE_PICTURES")
BESIDE = 1
"""How many pixels a page may be wider than its window: none, but for rounding."""


def look(page: Page, name: str, axe: Callable[[Page], None]) -> list[str]:
    if PICTURES:
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
    wrong = []
    try:
        axe(page)
    except AssertionError as error:
        wrong.append(f"{name}: {error}")
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > BESIDE:
        wrong.append(f"{name} runs out of its window by {wide} pixels")
    return wrong
