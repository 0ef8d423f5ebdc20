"""A browser's own camera, which Chromium fakes from a film of a rendered person: its pictures reach
the terminal, and nobody else's do; who tries it enrols and pays, and no production takes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Thread

import cv2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from countenance.stage import trial_policy
from face_engine.engine import Engine
from liveness.rig.presentation import live_customer
from service.verification.policy import default_policy
from terminal_client.kiosk.browser_camera import FRAME_BYTES_MAX, BrowserCamera
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.screen import Left, Screen, View
from terminal_client.kiosk.server import KioskServer
from terminal_client.kiosk.visit import Visit
from terminal_client.kiosk.web import Sides
from terminal_client.kiosk.words import Subject
from tests.browser.conftest import ARGUMENTS, DESKTOP, PageAt
from tests.browser.kiosk_house import OWNER, PIN, Kiosks, portraits
from tests.browser.pictures import look
from tests.browser.test_kiosk import at, begin, do, past_the_camera
from wire.messages import Level, Source

BUT_BROWSER = tuple(each.name.lower() for each in Source if each is not Source.BROWSER)
FILM_MS, FRAME_MS = 3_000, 100


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Browser]:
    """One whose camera sees the owner, over and over."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium")
    person = live_customer(*portraits(engine)[OWNER], seed=1)
    film = tmp_path_factory.mktemp("film") / "owner.mjpeg"
    with film.open("wb") as file:
        for at_ms in range(0, FILM_MS, FRAME_MS):
            person.follow(None, at_ms, None)
            file.write(cv2.imencode(".jpg", person.frame(at_ms).pixels)[1].tobytes())
    arguments = [*ARGUMENTS, f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


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


def test_a_visitor_enrols_and_pays_where_a_browsers_camera_is_accepted(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None]
) -> None:
    """Without moves, which a film does not follow."""
    kiosks.house.publish(trial_policy(Level.NONE))
    page, wrong = page_at(DESKTOP, permissions=["camera"]), []
    with kiosks.desk(camera=BrowserCamera()) as desk:
        page.goto(desk.url)
        at(page, "attract")
        do(page, "start")
        at(page, "choose")
        do(page, "face")
        at(page, "agree")
        page.locator("[data-read]").evaluate("text => text.scrollTo(0, text.scrollHeight)")
        do(page, "agree")
        at(page, "claim")
        expect(page.locator("#preview[data-at]")).to_be_visible()
        wrong += look(page, "own-claim", axe)
        page.locator("[name=value]").fill("visitor")
        page.keyboard.press("Enter")
        past_the_camera(page, "pin_new")
        for again in (False, True):
            expect(page.locator("h1")).to_contain_text("once more" if again else "Choose")
            page.keyboard.type(PIN)
            page.keyboard.press("Enter")
        at(page, "funding")
        page.keyboard.press("Enter")
        at(page, "summary")
        do(page, "enrol")
        at(page, "copy")
    with kiosks.store(camera=BrowserCamera()) as store:
        cashier = page_at(DESKTOP)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        pay(page, cashier)
        wrong += look(page, "own-paid", axe)
        expect(page.locator(".result.good h1")).to_have_text("Paid")
        do(page, "done")
        kiosks.house.publish(replace(trial_policy(Level.NONE), sources=BUT_BROWSER))
        pay(page, cashier)
        expect(page.locator(".result.bad .lead")).to_contain_text("camera is not accepted")
    assert not wrong, "\n".join(wrong)


def pay(page: Page, cashier: Page) -> None:
    at(page, "attract")
    begin(cashier, "4.20")
    at(page, "choose")
    do(page, "face")
    at(page, "claim")
    page.locator("[name=value]").fill("visitor")
    page.keyboard.press("Enter")
    past_the_camera(page, "result")


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
