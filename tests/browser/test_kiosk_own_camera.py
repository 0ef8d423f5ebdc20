"""A browser's own camera, which Chromium fakes: its pictures reach the terminal, and nobody
else's do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest
from playwright.sync_api import expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.verification.policy import default_policy
from terminal_client.kiosk.browser_camera import FRAME_BYTES_MAX, BrowserCamera
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.screen import Left, Screen, View
from terminal_client.kiosk.server import KioskServer
from terminal_client.kiosk.visit import Visit
from terminal_client.kiosk.web import Sides
from terminal_client.kiosk.words import Subject
from tests.browser.conftest import DESKTOP, PageAt
from wire.messages import Source


@pytest.fixture
def camera() -> Iterator[BrowserCamera]:
    with BrowserCamera() as opened:
        yield opened


def test_its_pictures_reach_the_terminal_while_it_looks(
    camera: BrowserCamera, page_at: PageAt
) -> None:
    screen, feed = Screen(lambda: View(name="offline", values={"name": "Shop"})), Feed(camera)
    with KioskServer(Sides(screen=screen, feed=feed, camera_url=camera.url), 0) as server:
        camera.is_own = server.is_own
        page = page_at(DESKTOP, permissions=["camera"])
        page.goto(server.url)
        visit = Visit(screen=screen, feed=feed, subject=Subject("Shop", 500, "EUR"))
        claims: list[str] = []

        def ask() -> None:
            try:
                claims.append(visit.claim(face=True))
            except Left:
                claims.append("left")

        asking = Thread(target=ask)
        asking.start()
        expect(page.locator("#preview[data-at]")).to_be_visible()
        assert page.locator("#preview").evaluate("canvas => canvas.width") == 480
        page.keyboard.press("Escape")
        asking.join()
        assert claims == ["left"]


def test_nobody_else_sends_pictures(camera: BrowserCamera) -> None:
    camera.is_own = lambda origin: origin == "http://127.0.0.1:1"
    path, own = camera.url, "http://127.0.0.1:1"
    for place, origin in ((path, "http://127.0.0.1:2"), (path, None), (path + "x", own)):
        with pytest.raises(InvalidStatus):
            connect(place, origin=origin)  # type: ignore[arg-type]
    with connect(path, origin=own) as connection:  # type: ignore[arg-type]
        connection.send(b"x" * (FRAME_BYTES_MAX + 1))
        with pytest.raises(Exception, match="1009"):
            connection.recv(timeout=5)


def test_what_is_no_picture_is_left_out(
    camera: BrowserCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terminal_client.kiosk.browser_camera.WAIT_S", 0.5)
    camera.is_own = lambda _origin: True
    with connect(camera.url) as connection:
        connection.send(b"no picture")
        connection.send("text")
        with pytest.raises(Exception, match="sends no pictures"):
            list(camera.frames())


def test_a_production_policy_refuses_it() -> None:
    policy = default_policy()
    assert not policy.accepts(Source.BROWSER)
    with pytest.raises(Exception, match="cameras only"):
        replace(policy, sources=(*policy.sources, "browser")).check_for_production()
