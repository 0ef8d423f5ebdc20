"""A kiosk that not all goes well with: a camera without its cable, a service that is gone, names
that are long or run from right to left."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import pytest
from playwright.sync_api import Page, expect

from countenance.stage import trial_policy
from terminal_client.outbox import ATTEMPT
from tests.browser.conftest import DESKTOP, PHONE, PageAt
from tests.browser.console_house import LONG, RIGHT_TO_LEFT
from tests.browser.kiosk_house import CARD, OWNER, Kiosks
from tests.browser.pictures import look
from tests.browser.test_kiosk import at, begin, do, simulate
from wire.messages import Level

SETTLED_MS = 40_000
DELAY_MS_MAX = 100
SAMPLES = 12
DELAYS = """async (samples) => {
  const canvas = document.getElementById("preview");
  const delays = [];
  let seen = canvas.dataset.at;
  while (delays.length < samples) {
    await new Promise((painted) => requestAnimationFrame(painted));
    if (canvas.dataset.at !== seen) {
      seen = canvas.dataset.at;
      delays.push(Date.now() - Number(seen));
    }
  }
  return delays;
}"""
"""How long after the terminal had a picture it is on the canvas, as a frame is painted."""


def test_a_camera_that_is_unplugged_and_comes_back(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None]
) -> None:
    kiosks.house.publish(trial_policy(None))
    with kiosks.store() as store:
        page, cashier = page_at(DESKTOP, reduced_motion="reduce"), page_at(DESKTOP)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        at(page, "attract")
        begin(cashier, "12.50")
        at(page, "choose")
        with page.expect_request("**/answer") as answered:
            do(page, "face")
        assert answered.value.post_data_json["do"] == "calm"
        at(page, "claim")
        simulate(page, CARD)
        at(page, "face")
        expect(page.locator("#preview[data-at]")).to_be_visible()
        delays = page.evaluate(DELAYS, SAMPLES)
        simulate(page, "unplugged")
        at(page, "camera")
        wrong = look(page, "kiosk-camera", axe)
        expect(cashier.locator(".current .state")).to_contain_text("waits for the camera")
        simulate(page, OWNER)
        at(page, "face")
        page.keyboard.press("Escape")
        at(page, "attract")
        expect(cashier.locator(".current.bad .state")).to_have_text("not charged: cancelled")
    assert not wrong, "\n".join(wrong)
    print("preview delays", delays)
    assert median(delays) < DELAY_MS_MAX


def test_a_service_that_is_gone_before_and_after_the_answer(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None]
) -> None:
    """Nothing is said to be charged or not while nobody can know; it comes back by itself."""
    kiosks.house.publish(trial_policy(Level.NONE))
    with kiosks.store() as store:
        page, cashier = page_at(PHONE), page_at(PHONE)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        at(page, "attract")
        kiosks.line.down = True
        pay_by_face(page, cashier)
        at(page, "result")
        expect(page.locator(".result.bad h1")).to_have_text("Nothing was done")
        wrong = look(page, "kiosk-no-connection", axe)
        do(page, "done")
        at(page, "offline")
        wrong += look(page, "kiosk-offline", axe)
        kiosks.line.down = False
        at(page, "attract")
        kiosks.line.lose_answers_of = ATTEMPT
        pay_by_face(page, cashier)
        at(page, "undecided")
        expect(cashier.locator(".current.open .state")).to_contain_text("deciding")
        wrong += look(page, "kiosk-undecided", axe)
        wrong += look(cashier, "kiosk-cashier-undecided", axe)
        kiosks.line.lose_answers_of = ""
        kiosks.line.down = False
        expect(cashier.locator(".current.good .state")).to_have_text("approved", timeout=SETTLED_MS)
        at(page, "result")
        expect(page.locator(".result.good h1")).to_have_text("Paid")
    assert not wrong, "\n".join(wrong)


def pay_by_face(page: Page, cashier: Page) -> None:
    begin(cashier, "5")
    at(page, "choose")
    do(page, "face")
    at(page, "claim")
    simulate(page, CARD)


@pytest.mark.parametrize(
    ("name", "called"), [(LONG, "long"), (RIGHT_TO_LEFT, "rtl")], ids=["long", "rtl"]
)
def test_names_of_any_length_and_direction(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None], name: str, called: str
) -> None:
    with kiosks.store(name) as store:
        page, cashier = page_at(PHONE), page_at(PHONE)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        at(page, "attract")
        wrong = look(page, f"kiosk-{called}-attract", axe)
        cashier.locator("[name=order]").fill(name[:80].strip())
        begin(cashier, "1234567.89")
        at(page, "choose")
        assert page.locator(".payee bdi").inner_text() == name
        wrong += look(page, f"kiosk-{called}-choose", axe)
        wrong += look(cashier, f"kiosk-{called}-cashier", axe)
        page.locator("[data-tool=contrast]").click()
        wrong += look(page, f"kiosk-{called}-contrast", axe)
        do(page, "leave")
        at(page, "attract")
    assert not wrong, "\n".join(wrong)
