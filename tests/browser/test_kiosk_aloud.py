"""What a kiosk says aloud: what is shown, in the reader's language, to who asked for it and to
nobody else. The browser's voice is a list here."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from countenance.stage import trial_policy
from liveness.challenge import Move
from terminal_client.enrolment import CONSENT_TEXT
from terminal_client.kiosk.words import TEXTS
from tests.browser.conftest import DESKTOP, PageAt
from tests.browser.kiosk_house import CARD, PIN, Kiosks
from tests.browser.test_kiosk import at, begin, do, past_the_camera, simulate
from texts import translator
from wire.messages import Level

VOICE = """window.spoken = [];
window.hushed = 0;
speechSynthesis.speak = (each) => spoken.push([each.lang, each.text]);
speechSynthesis.cancel = () => { hushed += 1; };"""
SETTLED_MS = 900
Said = list[list[str]]


@pytest.fixture
def page(page_at: PageAt) -> Page:
    opened = page_at(DESKTOP)
    opened.add_init_script(VOICE)
    return opened


def heard(page: Page) -> Said:
    """All that was said since the last time, once the page had time to say it."""
    page.wait_for_timeout(SETTLED_MS)
    said: Said = page.evaluate("spoken.splice(0)")
    return said


def in_language(language: str, *texts: str) -> Said:
    return [[language, translator(TEXTS, language)["_"](text)] for text in texts]


def test_says_what_is_shown_to_who_asked(kiosks: Kiosks, page_at: PageAt, page: Page) -> None:
    kiosks.house.publish(trial_policy(None))
    with kiosks.store() as store:
        cashier = page_at(DESKTOP)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        at(page, "attract")
        begin(cashier, "12.50")
        at(page, "choose")
        assert heard(page) == [], "nobody asked"
        page.locator("[data-tool=speak]").click()
        about = [["en", "€12.50"], ["en", "Corner Shop"]]
        assert heard(page) == [*about, *in_language("en", "How do you want to pay?")]
        page.locator("[data-language=zh]").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh")
        expect(page.locator("[data-tool=speak]")).to_have_attribute("aria-pressed", "true")
        assert heard(page)[-1:] == in_language("zh", "How do you want to pay?")
        do(page, "calm")
        at(page, "claim")
        heard(page)
        simulate(page, CARD)
        at(page, "face")
        past_the_camera(page, "result")
        said = heard(page)
        told = [move.instruction for move in Move]
        assert [each for each in said if each in in_language("zh", *told)]
        assert {language for language, _ in said} == {"zh"}
        assert in_language("zh", "Paid")[0] in said
        hushed = page.evaluate("hushed")
        do(page, "done")
        at(page, "attract")
        assert page.evaluate("hushed") > hushed
        begin(cashier, "3")
        at(page, "choose")
        assert heard(page) == [], "another person stands here now"


def test_says_the_consent_text_and_the_summary_but_no_pin(kiosks: Kiosks, page: Page) -> None:
    kiosks.house.publish(trial_policy(Level.NONE))
    with kiosks.desk() as desk:
        page.goto(desk.url)
        at(page, "attract")
        page.locator("[data-tool=speak]").click()
        page.locator("[data-language=es]").click()
        expect(page.locator("html")).to_have_attribute("lang", "es")
        do(page, "start")
        at(page, "choose")
        do(page, "face")
        at(page, "agree")
        assert in_language("es", CONSENT_TEXT)[0] in heard(page)
        page.locator("[data-tool=speak]").click()
        page.locator("[data-read]").evaluate("text => text.scrollTo(0, text.scrollHeight)")
        do(page, "agree")
        at(page, "claim")
        assert heard(page) == [], "it was enough"
        page.locator("[data-tool=speak]").click()
        page.locator("[name=value]").fill("990011")
        page.keyboard.press("Enter")
        past_the_camera(page, "pin_new")
        for again in (False, True):
            expected = "Enter the PIN once more" if again else "Choose a PIN of 4 to 12 digits"
            expect(page.locator("h1")).to_have_text(in_language("es", expected)[0][1])
            page.keyboard.type(PIN)
            said = heard(page)
            assert in_language("es", expected)[0] in said
            assert not [text for _, text in said if PIN in text or "9900" in text]
            page.keyboard.press("Enter")
        at(page, "funding")
        page.keyboard.press("Enter")
        at(page, "summary")
        assert [text for _, text in heard(page) if text.endswith("…0011")]


def test_nobody_is_spoken_to_at_a_door_for_the_one_before(kiosks: Kiosks, page: Page) -> None:
    with kiosks.door() as door:
        page.goto(door.url)
        at(page, "door")
        page.locator("[data-tool=speak]").click()
        assert heard(page)
        page.locator("[name=value]").fill("1")
        page.locator("button[value=no_face]").click()
        at(page, "pin")
        assert in_language("en", "Enter your PIN")[0] in heard(page)
        do(page, "leave")
        at(page, "door")
        assert heard(page) == []
        expect(page.locator("[data-tool=speak]")).to_have_attribute("aria-pressed", "false")
