"""Somebody without a pointer at a kiosk of each kind: each step is reached by Tab, where the focus
is can be seen, and Enter, Space, arrows and letters do the rest."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from countenance.stage import trial_policy
from terminal_client.enrolment import CONSENT_VERSION
from tests.browser.conftest import DESKTOP, PHONE, PageAt
from tests.browser.keyboard import Keyboard
from tests.browser.kiosk_house import PIN, Kiosks
from tests.browser.test_kiosk import LONG_CONSENT, agreed_to, at, past_the_camera
from tests.ceremony.house import enrol_without_face
from wire.ids import AccountId
from wire.messages import Level

BADGE = "0815"
each_width = pytest.mark.parametrize("width", [DESKTOP, PHONE])


def opened(page_at: PageAt, url: str, width: int, name: str = "attract") -> tuple[Page, Keyboard]:
    page = page_at(width)
    page.goto(url)
    at(page, name)
    return page, Keyboard(page)


def enter_pin(page: Page, keyboard: Keyboard, name: str = "pin") -> None:
    at(page, name)
    keyboard.write("[name=pin]", PIN)
    page.keyboard.press("Enter")


@each_width
def test_pays(kiosks: Kiosks, page_at: PageAt, width: int) -> None:
    with kiosks.store() as store:
        page, keyboard = opened(page_at, store.url, width)
        cashier = page_at(width)
        cashier.goto(store.cashier_url)
        at_till = Keyboard(cashier)
        at_till.write("[name=amount]", "7,50")
        at_till.press("#begin button.primary")
        at(page, "choose")
        keyboard.press("[data-do=no_face]")
        at(page, "claim")
        keyboard.write("[name=value]", "0001")
        page.keyboard.press("Enter")
        enter_pin(page, keyboard)
        at(page, "result")
        expect(page.locator(".result.good .amount")).to_have_text("€7.50")
        keyboard.press("[data-do=done]")
        at(page, "attract")
        at_till.write("[name=amount]", "8")
        cashier.keyboard.press("Enter")
        at(page, "choose")
        at_till.press("[data-cancel]")
        at(page, "attract")


@each_width
def test_draws_cash(kiosks: Kiosks, page_at: PageAt, width: int) -> None:
    """The PIN is entered by the keys on the screen, too."""
    kiosks.house.publish(trial_policy(Level.PASSIVE))
    with kiosks.atm(lambda: None) as atm:
        page, keyboard = opened(page_at, atm.url, width)
        keyboard.press("[data-do=start]")
        at(page, "claim")
        keyboard.write("[name=value]", "0001")
        keyboard.press(".form .primary")
        at(page, "amount")
        keyboard.write("[name=amount]", "35")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert].note")).to_be_visible()
        keyboard.press("[data-send=amount][value='80.00']", "Space")
        at(page, "choose")
        keyboard.press("[data-do=face]")
        at(page, "face")
        past_the_camera(page, "pin")
        for digit in PIN:
            keyboard.press(f"[data-key='{digit}']", "Space")
        keyboard.press(".pad .primary")
        at(page, "result")
        expect(page.locator(".result.good")).to_be_visible()
        keyboard.press("[data-do=done]")
        at(page, "attract")


@each_width
def test_enters(kiosks: Kiosks, page_at: PageAt, width: int) -> None:
    kiosks.house.grant(enrol_without_face(kiosks.house, 3, PIN, claim=f"badge:{BADGE}"))
    with kiosks.door() as door:
        page, keyboard = opened(page_at, door.url, width, "door")
        keyboard.write("[name=value]", BADGE)
        keyboard.press("button[value=no_face]")
        enter_pin(page, keyboard)
        at(page, "passage")
        expect(page.locator(".passage.good")).to_be_visible()
        keyboard.press("[data-do=done]")
        at(page, "door")
        keyboard.write("[name=value]", BADGE)
        page.keyboard.press("Enter")
        at(page, "face")
        page.keyboard.press("Escape")
        at(page, "door")


@each_width
def test_enrols(kiosks: Kiosks, page_at: PageAt, width: int) -> None:
    """Without help the text is read to its end, another language is taken, and the focus stays."""
    kiosks.house.publish(trial_policy(Level.NONE))
    with kiosks.desk(LONG_CONSENT) as desk:
        page, keyboard = opened(page_at, desk.url, width)
        keyboard.press("[data-do=start]")
        at(page, "choose")
        keyboard.press("[data-language=es]")
        expect(page.locator("html")).to_have_attribute("lang", "es")
        expect(page.locator("[data-language=es]")).to_be_focused()
        keyboard.press("[data-do=face]")
        at(page, "agree")
        expect(page.locator("[data-do=agree]")).to_be_disabled()
        keyboard.press("[data-read]", "End")
        expect(page.locator("[data-do=agree]")).to_be_enabled()
        keyboard.press("[data-do=agree]")
        at(page, "claim")
        keyboard.press("[data-language=en]")
        expect(page.locator("html")).to_have_attribute("lang", "en")
        keyboard.to("[name=kind]:checked")
        page.keyboard.press("ArrowDown")
        expect(page.locator("[name=kind][value=phone]")).to_be_checked()
        keyboard.write("[name=value]", f"+34 600 000 {width}")
        page.keyboard.press("Enter")
        past_the_camera(page, "pin_new")
        first = page.locator("h1").inner_text()
        enter_pin(page, keyboard, "pin_new")
        expect(page.locator("h1")).not_to_have_text(first)
        enter_pin(page, keyboard, "pin_new")
        at(page, "funding")
        keyboard.to("[name=funding]:checked")
        page.keyboard.press("ArrowDown")
        keyboard.press(".form .primary")
        at(page, "summary")
        keyboard.press("[data-do=enrol]")
        at(page, "copy")
        account = AccountId.parse(page.locator(".facts .id").inner_text())
        assert agreed_to(kiosks, account) == f"{CONSENT_VERSION}/es", "as it was read"
        expect(page.locator(".facts")).to_contain_text("until the staff adds your bank card")
        keyboard.to("[data-tool=print]")
        keyboard.press("[data-do=done]")
        at(page, "attract")
