"""The pictures in README and docs, made anew from the running demo, so that they stay true.

``python -m tests.pictures`` (``make pictures``) plays the demo on a service of its own, opens its
pages in Debian's Chromium, and writes PNGs of few colours to ``docs/images``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from countenance import demo
from countenance.house import House
from countenance.stage import set_stage
from countenance.yesterday import Yesterday
from face_engine.engine import Engine
from service.customers import acts as customers
from service.operators import records, staff
from service.operators.pages import FIRST
from service.operators.people import Role
from service.operators.records import Wanted
from tests.browser.conftest import ARGUMENTS

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PICTURES_MAX, BYTES_MAX, COLOURS = 8, 100_000, 64
DESKTOP, PHONE = (1120, 720), (390, 844)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--output", type=Path, default=IMAGES)
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="countenance-pictures-"))
    home.chmod(0o711)
    out = Console(file=sys.stderr)
    try:
        engine = Engine.open("pip")
        people = [portrait for _, portrait in demo.sample_portraits(engine)]

        def before(house: House) -> None:
            Yesterday(house, engine, home / "terminals", people).pass_by()

        with set_stage(home, level=None, worker=True, before=before) as stage, browser() as opened:
            shop = demo.Shop(stage, engine, home / "terminals")
            try:
                demo.MainJob(shop, out).run()
            finally:
                shop.close()
            for name, picture in take(stage.house, opened):
                (output / f"{name}.png").write_bytes(picture)
                out.print(f"{name}.png {len(picture)} bytes", highlight=False)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield opened
        opened.close()


def take(house: House, opened: Browser) -> Iterator[tuple[str, bytes]]:
    """(name, PNG) of each page."""
    origin = str(house.settings.console_origin)
    with house.database.transaction() as conn:
        found = records.list_attempts(conn, Wanted(approved=True), after=FIRST, limit=20).items
        account = records.list_accounts(conn, after=FIRST, limit=10).items[-1].account
    paid = next(each for each in found if each.purpose == "payment")
    page = open_page(opened, DESKTOP)
    enter(page, f"{origin}/console/join/{invite(house)}")
    for name, path in (
        ("console-overview", ""),
        ("console-attempt", f"/attempts/{paid.attempt}"),
        ("console-account", f"/accounts/{account}"),
        ("console-doors", "/doors"),
        ("console-terminals", "/terminals"),
        ("console-calibration", "/calibration"),
    ):
        page.goto(f"{origin}/console{path}")
        yield name, shot(page)
    page.goto(f"{origin}/console/audit")
    page.locator("form[action$=verify] button").first.click()
    page.wait_for_selector(".note")
    yield "console-audit", shot(page)
    own = open_page(opened, PHONE)
    own.goto(f"{origin}/me/enter#{customers.of(house.operations).make_link(account)}")
    own.locator("form[data-code] button").click()
    own.wait_for_url(f"{origin}/me")
    yield "me", shot(own)


def invite(house: House) -> str:
    _, code = staff.of(house.operations).add_operator("Ada", {Role.ADMIN})
    return code


def open_page(opened: Browser, size: tuple[int, int]) -> Page:
    context = opened.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="en-GB", color_scheme="light"
    )
    return context.new_page()


def enter(page: Page, link: str) -> None:
    """Makes a passkey by the invitation, and signs in with it."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    page.goto(link)
    page.locator("main form button").click()
    page.locator("[data-passkey=create] button").click()
    page.locator("main a.button.primary").click()
    page.locator("[data-passkey=get] button").click()
    page.wait_for_url(re.compile(r"/console$"))


def shot(page: Page) -> bytes:
    """What the window shows, in few colours."""
    with Image.open(BytesIO(page.screenshot(animations="disabled"))) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    written = BytesIO()
    few.save(written, "PNG", optimize=True)
    return written.getvalue()


if __name__ == "__main__":
    main()
