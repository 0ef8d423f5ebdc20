"""The kiosk in a real browser: who stands there is a rendered customer, and presses its buttons."""

from __future__ import annotations

import re
from collections.abc import Callable
from threading import Event

import pytest
from playwright.sync_api import Page, expect

from countenance.demo import VISITS_MAX
from countenance.stage import trial_policy
from terminal_client.enrolment import CONSENT_VERSION, Consent
from terminal_client.kiosk.words import shipped_consent
from tests.browser.conftest import DESKTOP, PHONE, PageAt
from tests.browser.kiosk_house import CARD, CLAIMS, OTHER, PIN, Kiosks
from tests.browser.pictures import look
from wire.ids import AccountId
from wire.messages import Level

LONG_CONSENT = Consent(
    version=CONSENT_VERSION,
    texts={name: f"{text}\n\n" * 12 for name, text in shipped_consent().texts.items()},
)
FACE_MS, WAIT_MS = 60_000, 15_000
PAID = {"en": "Paid", "zh": "已付款"}
NOT_VERIFIED = {"en": "do not belong together", "zh": "不相符"}


def at(page: Page, name: str, timeout_ms: int = WAIT_MS) -> None:
    """Waits for the view of this name."""
    expect(page.locator(f"#stage[data-name={name}]")).to_be_visible(timeout=timeout_ms)


def past_the_camera(page: Page, name: str) -> None:
    """As :func:`at`; whoever is asked again looks again, as some live people must
    (docs/liveness.md)."""
    stage = page.locator("#stage")
    for _ in range(VISITS_MAX):
        expect(stage).to_have_attribute("data-name", re.compile(f"^({name}|again)$"),
                                        timeout=FACE_MS)  # fmt: skip
        if stage.get_attribute("data-name") == name:
            return
        do(page, "again")
        at(page, "face")
    at(page, name, FACE_MS)


def do(page: Page, what: str) -> None:
    page.locator(f"[data-do={what}]").click()


def simulate(page: Page, what: str) -> None:
    page.locator(f".simulation [value='{what}']").click()


def begin(cashier: Page, amount: str) -> None:
    cashier.locator("[name=amount]").fill(amount)
    cashier.locator("#begin button.primary").click()


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_pays_by_face_and_the_cashier_sees_it(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None], width: int, language: str
) -> None:
    kiosks.house.publish(trial_policy(None))
    wrong = []
    with kiosks.store() as store:
        page, cashier = opened(page_at, store.url, width, language), page_at(width)
        cashier.goto(store.cashier_url)
        wrong += look(page, f"kiosk-attract-{language}", axe)
        wrong += look(cashier, "kiosk-cashier-empty", axe)
        begin(cashier, "12.50")
        at(page, "choose")
        expect(page.locator(".amount")).to_have_text("€12.50")
        expect(page.locator(".payee")).to_have_text("Corner Shop")
        wrong += look(page, f"kiosk-choose-{language}", axe)
        do(page, "face")
        at(page, "claim")
        wrong += look(page, f"kiosk-claim-{language}", axe)
        simulate(page, CARD)
        at(page, "face")
        expect(page.locator("#preview[data-at]")).to_be_visible()
        expect(page.locator("#arrow:not([data-move=''])")).to_have_count(1, timeout=FACE_MS)
        wrong += look(page, f"kiosk-face-{language}", axe)
        expect(page.locator("#flash")).to_be_visible(timeout=FACE_MS)
        wrong += look(page, f"kiosk-flash-{language}", axe)
        past_the_camera(page, "result")
        expect(page.locator(".result.good h1")).to_have_text(PAID[language])
        expect(page.locator(".square svg")).to_be_visible()
        wrong += look(page, f"kiosk-result-good-{language}", axe)
        expect(cashier.locator(".current.good .state")).to_have_text("approved")
        wrong += look(cashier, "kiosk-cashier-approved", axe)
        do(page, "done")
        at(page, "attract")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_an_impostor_with_anothers_card_is_refused(
    kiosks: Kiosks, page_at: PageAt, width: int, language: str
) -> None:
    kiosks.house.publish(trial_policy(Level.NONE))
    with kiosks.store() as store:
        page, cashier = opened(page_at, store.url, width, language), page_at(width)
        cashier.goto(store.cashier_url)
        simulate(page, OTHER)
        begin(cashier, "12.50")
        at(page, "choose")
        do(page, "face")
        at(page, "claim")
        simulate(page, CARD)
        at(page, "result")
        expect(page.locator(".result.bad .lead")).to_have_text(re.compile(NOT_VERIFIED[language]))
        expect(cashier.locator(".current.bad .state")).to_have_text("refused: not verified")
        assert page.locator(".square").count() == 0


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_pays_without_the_face_halfway_through(
    kiosks: Kiosks, page_at: PageAt, width: int, language: str
) -> None:
    """Somebody looks at the camera, and then takes the other way."""
    kiosks.house.publish(trial_policy(None))
    with kiosks.store() as store:
        page, cashier = opened(page_at, store.url, width, language), page_at(width)
        cashier.goto(store.cashier_url)
        begin(cashier, "8")
        at(page, "choose")
        do(page, "face")
        at(page, "claim")
        page.locator("[name=value]").fill("0001")
        page.keyboard.press("Enter")
        at(page, "face")
        do(page, "no_face")
        at(page, "pin")
        for digit in PIN:
            page.locator(f"[data-key='{digit}']").click()
        page.locator(".pad .primary").click()
        at(page, "result")
        expect(page.locator(".result.good h1")).to_have_text(PAID[language])
        expect(cashier.locator(".current.good .state")).to_have_text("approved")
        assert not page.locator("#preview").count()


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_draws_cash_by_face_and_pin(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None], width: int, language: str
) -> None:
    kiosks.house.publish(trial_policy(Level.PASSIVE))
    wrong, taken = [], Event()
    with kiosks.atm(lambda: taken.wait(WAIT_MS / 1000)) as atm:
        page = opened(page_at, atm.url, width, language)
        wrong += look(page, f"kiosk-atm-{language}", axe)
        do(page, "start")
        at(page, "claim")
        simulate(page, CARD)
        at(page, "amount")
        page.locator("[name=amount]").fill("35")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert].note")).to_be_visible()
        wrong += look(page, f"kiosk-amount-{language}", axe)
        page.locator("[data-send=amount][value='80.00']").click()
        at(page, "choose")
        do(page, "face")
        at(page, "face")
        past_the_camera(page, "pin")
        page.keyboard.type(PIN)
        wrong += look(page, f"kiosk-pin-{language}", axe)
        page.keyboard.press("Enter")
        at(page, "notes")
        wrong += look(page, f"kiosk-notes-{language}", axe)
        taken.set()
        at(page, "result")
        expect(page.locator(".notes li")).to_have_text(re.compile("^4 "))
        expect(page.locator(".result.good")).to_be_visible()
        wrong += look(page, f"kiosk-cash-{language}", axe)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_a_door_opens_to_its_owner_and_to_nobody_else(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None], width: int, language: str
) -> None:
    kiosks.house.publish(trial_policy(Level.NONE))
    kiosks.house.grant(kiosks.accounts[CLAIMS[CARD]])
    wrong = []
    with kiosks.door() as door:
        page = opened(page_at, door.url, width, language, name="door")
        wrong += look(page, f"kiosk-door-{language}", axe)
        simulate(page, CARD)
        at(page, "passage")
        expect(page.locator(".passage.good")).to_be_visible()
        wrong += look(page, f"kiosk-open-{language}", axe)
        do(page, "done")
        at(page, "door")
        simulate(page, OTHER)
        simulate(page, CARD)
        at(page, "passage")
        expect(page.locator(".passage.bad")).to_be_visible()
        wrong += look(page, f"kiosk-sorry-{language}", axe)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("width", "language"), [(DESKTOP, "en"), (PHONE, "zh")])
def test_enrols_after_reading_and_gets_a_copy(
    kiosks: Kiosks, page_at: PageAt, axe: Callable[[Page], None], width: int, language: str
) -> None:
    """With the moves of a real enrolment at the desktop's width."""
    kiosks.house.publish(trial_policy(None if language == "en" else Level.NONE))
    wrong = []
    with kiosks.desk(LONG_CONSENT) as desk:
        page = opened(page_at, desk.url, width, language)
        wrong += look(page, f"kiosk-desk-{language}", axe)
        do(page, "start")
        at(page, "choose")
        do(page, "calm")
        at(page, "agree")
        agree = page.locator("[data-do=agree]")
        expect(agree).to_be_disabled()
        wrong += look(page, f"kiosk-agree-{language}", axe)
        page.locator("[data-read]").evaluate("text => text.scrollTo(0, text.scrollHeight)")
        agree.click()
        at(page, "claim")
        page.locator("[name=value]").fill(f"77-{language}")
        page.keyboard.press("Enter")
        past_the_camera(page, "pin_new")
        first = page.locator("h1").inner_text()
        page.keyboard.type("13579")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).not_to_have_text(first)
        page.keyboard.type("11111")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert].note")).to_be_visible()
        wrong += look(page, f"kiosk-pin-new-{language}", axe)
        page.keyboard.type("13579")
        page.keyboard.press("Enter")
        at(page, "funding")
        wrong += look(page, f"kiosk-funding-{language}", axe)
        page.keyboard.press("Enter")
        at(page, "summary")
        wrong += look(page, f"kiosk-summary-{language}", axe)
        do(page, "enrol")
        at(page, "copy")
        expect(page.locator(".facts .id")).to_have_text(re.compile("^acc_"))
        account = AccountId.parse(page.locator(".facts .id").inner_text())
        assert agreed_to(kiosks, account) == f"{CONSENT_VERSION}/{language}"
        wrong += look(page, f"kiosk-copy-{language}", axe)
    assert not wrong, "\n".join(wrong)


def test_enrols_and_enters_without_the_face(kiosks: Kiosks, page_at: PageAt) -> None:
    """No text to agree to, since nothing of the body is measured; and no camera is opened."""
    with kiosks.desk() as desk:
        desk.simulation.who = "unplugged"
        page = opened(page_at, desk.url, PHONE, "es")
        do(page, "start")
        at(page, "choose")
        do(page, "no_face")
        at(page, "claim")
        page.locator("[name=value]").fill("4711")
        page.keyboard.press("Enter")
        for again in (False, True):
            at(page, "pin_new")
            expect(page.locator("h1")).to_contain_text("otra vez" if again else "Elija")
            page.keyboard.type(PIN)
            page.keyboard.press("Enter")
        at(page, "funding")
        page.keyboard.press("Enter")
        at(page, "summary")
        expect(page.locator(".facts")).to_contain_text("sin su rostro")
        do(page, "enrol")
        at(page, "copy")
        account = AccountId.parse(page.locator(".facts .id").inner_text())
        assert agreed_to(kiosks, account) is None
        expect(page.locator(".facts")).to_contain_text("Monedero")
    kiosks.house.grant(kiosks.accounts[CLAIMS[CARD]])
    with kiosks.door() as door:
        door.simulation.who = "unplugged"
        page = opened(page_at, door.url, DESKTOP, "en", name="door")
        page.locator("[name=value]").fill("0001")
        page.locator("[name=kind]").evaluate("field => { field.value = 'card'; }")
        page.locator("button[value=no_face]").click()
        at(page, "pin")
        page.keyboard.type(PIN)
        page.keyboard.press("Enter")
        at(page, "passage")
        expect(page.locator(".passage.good")).to_be_visible()


@pytest.mark.parametrize(
    ("width", "language", "wrong", "doing"),
    [
        (DESKTOP, "es", "mayor que cero", "elige cómo pagar"),
        (PHONE, "zh", "大于零", "正在选择付款方式"),
    ],
)
def test_the_cashiers_side_in_another_language_than_the_browsers(
    kiosks: Kiosks, page_at: PageAt, width: int, language: str, wrong: str, doing: str
) -> None:
    """What is wrong with an amount is said in it, too."""
    with kiosks.store() as store:
        page, cashier = page_at(width), page_at(width)
        page.goto(store.url)
        cashier.goto(store.cashier_url)
        cashier.locator(f".languages [lang={language}]").click()
        expect(cashier.locator("html")).to_have_attribute("lang", language)
        begin(cashier, "nothing")
        expect(cashier.locator("#wrong")).to_contain_text(wrong)
        begin(cashier, "3")
        at(page, "choose")
        expect(cashier.locator(".current.open .state")).to_contain_text(doing)


def agreed_to(kiosks: Kiosks, account: AccountId) -> str | None:
    """The consent text, as the service has it."""
    with kiosks.database.transaction() as conn:
        row = conn.execute(
            "SELECT consent_version FROM accounts WHERE account_id = %s", (account.raw,)
        ).fetchone()
    assert row is not None
    return row[0]


def opened(page_at: PageAt, url: str, width: int, language: str, name: str = "attract") -> Page:
    page = page_at(width, language=language)
    page.goto(url)
    at(page, name)
    page.locator(f"[data-language={language}]").click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    return page
