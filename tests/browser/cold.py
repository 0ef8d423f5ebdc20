"""A page as a browser gets it that was never here: an empty cache, a connection of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from playwright.sync_api import Browser

from benchmarks.fill import fill
from tests.ceremony.house import NOW_MS

LOADED_MS = "performance.getEntriesByType('navigation')[0].loadEventEnd"

UNNUMBERED = """
SET LOCAL session_replication_role = replica;
UPDATE audit_entries SET position = NULL;
"""


def crowd(url: str, *, accounts: int, transfers: int, merchants: int) -> None:
    """Fills an empty database; the log's entries wait for their tree."""
    fill(url, accounts=accounts, transfers=transfers, merchants=merchants, now_ms=NOW_MS)
    with psycopg.connect(url) as conn:
        conn.execute(UNNUMBERED)


@dataclass(frozen=True, slots=True)
class Load:
    """``sent_bytes`` is all that came over the network, heads included; ``ms`` until it stood."""

    sent_bytes: int
    ms: float


def load(browser: Browser, url: str, state: Any) -> Load:
    """``state`` is the storage of a context that is signed in."""
    context = browser.new_context(storage_state=state, viewport={"width": 1280, "height": 800})
    try:
        page, requests = context.new_page(), list[Any]()
        # Playwright takes no method of a builtin.
        page.on("requestfinished", lambda request: requests.append(request))  # noqa: PLW0108
        answer = page.goto(url, wait_until="load")
        if answer is None or answer.status != 200 or page.url != url:
            raise RuntimeError(f"{url} does not stand there")
        ms = float(page.evaluate(LOADED_MS))
        sizes = [each.sizes() for each in requests]
        heads = sum(each["responseHeadersSize"] for each in sizes)
        return Load(heads + sum(each["responseBodySize"] for each in sizes), ms)
    finally:
        context.close()
