"""Debian's Chromium, driven by Playwright; without one these tests are skipped.

``page_at(width)`` opens a page of its own context at a desktop's or a phone's size. A page that
raises an error, or asks for what its Content-Security-Policy forbids, fails its test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Page, sync_playwright
from werkzeug.serving import make_server

from face_engine.engine import Engine
from service.db import Database
from tests.browser.kiosk_house import Kiosks, portraits
from tests.postgres.conftest import database, server, template, url

__all__ = ["database", "server", "template", "url"]

HEIGHTS = {1280: 800, 390: 844}
DESKTOP, PHONE = HEIGHTS
each_view = pytest.mark.parametrize(
    ("width", "language"), [(DESKTOP, "en"), (PHONE, "en"), (PHONE, "zh")]
)
WAIT_MS = 15_000
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
LOCALES = {"en": "en-GB", "es": "es-ES", "zh": "zh-CN"}
AXE = {"resultTypes": ["violations"]}


class PageAt(Protocol):
    def __call__(self, width: int, *, language: str = "en", **context: Any) -> Page: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each file: Playwright's event loop would be in the way of other tests' own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium (.ci/browser does)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page_at(browser: Browser) -> Iterator[PageAt]:
    """``context`` goes to Playwright's ``new_context``: ``reduced_motion``, ``color_scheme``, …"""
    contexts, wrong = [], list[str]()

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            wrong.append(message.text)

    def open_page(width: int, *, language: str = "en", **context: Any) -> Page:
        made = browser.new_context(
            viewport={"width": width, "height": HEIGHTS[width]},
            locale=LOCALES[language],
            **context,
        )
        made.set_default_timeout(WAIT_MS)
        contexts.append(made)
        page = made.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", hear)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """``axe(page)``: axe-core finds nothing on the page as it is now."""

    def check(page: Page) -> None:
        found = Axe().run(page, options=AXE)
        assert found.violations_count == 0, found.generate_report()

    return check


class Authenticator(Protocol):
    def __call__(self, page: Page, *, of: Page | None = None) -> None: ...


@pytest.fixture
def authenticator() -> Authenticator:
    """``authenticator(page)`` gives the page a device for passkeys that always says yes; ``of``
    another tab: with the passkeys of that one, as one device has them."""
    plugged: dict[Page, tuple[CDPSession, str]] = {}

    def plug_in(page: Page, *, of: Page | None = None) -> None:
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        made = devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        plugged[page] = devtools, str(made["authenticatorId"])
        if of is None:
            return
        before, name = plugged[of]
        found = before.send("WebAuthn.getCredentials", {"authenticatorId": name})
        for each in found["credentials"]:
            wanted = {"authenticatorId": plugged[page][1], "credential": each}
            devtools.send("WebAuthn.addCredential", wanted)

    return plug_in


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """``serve(app)`` listens on a free loopback port, and returns ``http://localhost:PORT``."""
    running = []

    def start(app: Flask) -> str:
        listening = make_server("127.0.0.1", 0, app, threaded=True)
        thread = Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        running.append((listening, thread))
        return f"http://localhost:{listening.port}"

    yield start
    for listening, thread in running:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture
def kiosks(database: Database, tmp_path: Path, engine: Engine) -> Kiosks:
    return Kiosks(database, tmp_path, engine, portraits(engine))
