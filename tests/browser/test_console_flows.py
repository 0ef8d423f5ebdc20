"""Whole flows through the console, by passkey and without a mouse: two widths, and in Chinese."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.access import places
from service.db import Database
from service.operators import people
from service.operators.people import Role
from service.verification.policy import default_policy
from tests.browser.conftest import Authenticator, PageAt, each_view
from tests.browser.console_house import LONG, RIGHT_TO_LEFT, Busy
from tests.browser.keyboard import Keyboard
from tests.browser.pictures import look
from tests.ceremony.house import House, enrol
from wire.ids import MerchantId


@pytest.fixture
def busy(database: Database, serve: Callable[..., str]) -> Busy:
    return Busy.open(House(database), serve)


@dataclass
class Flows:
    busy: Busy
    page_at: PageAt
    authenticator: Authenticator
    axe: Callable[[Page], None]

    def enter(
        self,
        width: int,
        language: str,
        role: Role,
        *,
        name: str = "Ada",
        merchant: MerchantId | None = None,
    ) -> Keyboard:
        """A new operator, who makes a passkey by the invitation and signs in with it."""
        page = self.page_at(width, language=language)
        self.authenticator(page)
        keyboard = Keyboard(page)
        page.goto(self.busy.invite(role, name=name, merchant=merchant))
        keyboard.go("main form button")
        keyboard.go("[data-passkey=create] button")
        page.wait_for_selector(".codes")
        keyboard.go("main a.button.primary")
        keyboard.go("[data-passkey=get] button")
        page.wait_for_url(re.compile(r"/console$"))
        return keyboard

    def check(self, page: Page, name: str, language: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        wrong = look(page, f"flow-{name}-{language}", self.axe)
        assert not wrong, wrong


@pytest.fixture
def flows(
    busy: Busy,
    page_at: PageAt,
    authenticator: Authenticator,
    axe: Callable[[Page], None],
) -> Flows:
    return Flows(busy, page_at, authenticator, axe)


@each_view
def test_sign_in(flows: Flows, width: int, language: str) -> None:
    keyboard = flows.enter(width, language, Role.ADMIN, name=RIGHT_TO_LEFT)
    page = keyboard.page
    expect(page.locator(".out bdi")).to_have_text(RIGHT_TO_LEFT)
    keyboard.go(".out button")
    page.wait_for_url(re.compile("/console/sign-in"))
    page.goto(f"{flows.busy.url}/console/audit?start=0")
    assert "/console/sign-in?to=" in page.url
    keyboard.press("details summary")
    keyboard.write("input[name=code]", "a" * 24)
    keyboard.go("input[name=code]")
    expect(page.get_by_role("alert").first).to_be_visible()
    flows.check(page, "sign-in-refused", language)
    page.goto(f"{flows.busy.url}/console/sign-in?to=/console/audit%3Fstart%3D0")
    keyboard.go("[data-passkey=get] button")
    page.wait_for_url(f"{flows.busy.url}/console/audit?start=0")


@each_view
def test_an_operator_is_invited_loses_the_device_and_is_disabled(
    flows: Flows, width: int, language: str
) -> None:
    keyboard = flows.enter(width, language, Role.ADMIN)
    page = keyboard.page
    keyboard.go("nav a[href='/console/operators']")
    keyboard.write("input[name=name]", RIGHT_TO_LEFT)
    keyboard.press("input[value=auditor]", "Space")
    keyboard.go("form[action='/console/operators'] button")
    link = page.locator(".note.good code").inner_text()

    lost, other = (Keyboard(flows.page_at(width, language=language)) for _ in range(2))
    flows.authenticator(lost.page)
    lost.page.goto(link)
    lost.go("main form button")
    lost.go("[data-passkey=create] button")
    kept = lost.page.locator(".codes code").first.inner_text()

    flows.authenticator(other.page)
    other.page.goto(f"{flows.busy.url}/console/sign-in")
    other.press("details summary")
    other.write("input[name=code]", kept)
    other.go("input[name=code]")
    other.go("[data-passkey=create] button")
    assert kept not in other.page.locator(".codes").inner_text()
    other.go("main a.button.primary")
    other.go("[data-passkey=get] button")
    other.page.wait_for_url(re.compile(r"/console$"))
    flows.check(other.page, "auditor", language)

    row = page.locator("tr", has_text=RIGHT_TO_LEFT)
    action = row.locator("form[action$=disable]").get_attribute("action")
    keyboard.go(f"form[action='{action}'] button")
    expect(row.locator(".tag.bad")).to_be_visible()
    other.go("nav a[href='/console/attempts']")
    assert "/console/sign-in" in other.page.url


@each_view
def test_refund(flows: Flows, width: int, language: str) -> None:
    merchant = flows.busy.house.merchant
    keyboard = flows.enter(width, language, Role.MERCHANT, merchant=merchant)
    page, paid = keyboard.page, flows.busy.paid.intent
    keyboard.go(f"nav a[href='/console/merchants/{merchant}'], nav a[href='/console/merchants']")
    keyboard.go(f"a[href$='/payments/{paid}']")
    keyboard.press("details.act summary")
    keyboard.write("form[action$=refund] input[name=amount]", "12.345")
    keyboard.go("form[action$=refund] input[name=amount]")
    expect(page.get_by_role("alert")).to_be_visible()
    flows.check(page, "refund-refused", language)
    keyboard.press("details.act summary")
    keyboard.write("form[action$=refund] input[name=amount]", "12.50")
    keyboard.go("form[action$=refund] button")
    expect(page.locator(".timeline")).to_contain_text("12.50")
    flows.check(page, "refund", language)
    with flows.busy.house.database.transaction() as conn:
        refunds = conn.execute(
            "SELECT amount_minor FROM transfers WHERE kind = 'refund'"
        ).fetchall()
    assert refunds == [(1250,)]


@each_view
def test_a_policy_change_takes_two(flows: Flows, width: int, language: str) -> None:
    proposer = flows.enter(width, language, Role.ADMIN, name=LONG)
    page = proposer.page
    proposer.go("nav a[href='/console/policies']")
    proposer.go("a[href='/console/policies/new']")
    changed = json.loads(default_policy().to_document())
    changed["tiers"]["payment"][0]["pin"] = True
    proposer.write("input[name=reason]", "PIN für alle — 所有人")
    proposer.write("textarea[name=document]", json.dumps(changed, indent=2))
    proposer.go("form.form button")
    page.wait_for_url(re.compile(r"/console/policies/pol_\w+$"))
    expect(page.locator(".diff .plus")).to_contain_text("true")
    assert page.locator("button[name=approve][value='1']").count() == 0
    flows.check(page, "proposal-own", language)

    second = flows.enter(width, language, Role.ADMIN, name=RIGHT_TO_LEFT)
    second.page.goto(page.url)
    expect(second.page.locator("main")).to_contain_text(LONG)
    flows.check(second.page, "proposal", language)
    second.go("button[name=approve][value='1']")
    second.page.wait_for_url(f"{flows.busy.url}/console/policies")
    expect(second.page.locator("h1")).to_contain_text("2")
    flows.check(second.page, "policies", language)


@each_view
def test_doors(flows: Flows, width: int, language: str) -> None:
    """The page changes by itself; a lockdown ends; the door is opened by hand, and
    somebody is let in on Monday mornings."""
    house, door = flows.busy.house, flows.busy.house.door
    account = enrol(house, 9)
    keyboard = flows.enter(width, language, Role.ADMIN)
    page = keyboard.page
    keyboard.go("nav a[href='/console/doors']")
    assert page.locator("h2 .tag.bad").count() == 0
    flows.busy.lock_down()
    expect(page.locator("h2 .tag.bad")).to_be_visible()
    keyboard.press("section details.act summary")
    flows.check(page, "locked-down", language)
    keyboard.go("section details.act button[value=normal]")
    expect(page.locator("h2 .tag.bad")).to_have_count(0)
    alarms = page.locator(".alarms li").count()
    keyboard.go(".alarms form button")
    expect(page.locator(".alarms li")).to_have_count(alarms - 1)

    keyboard.go(f"a[href='/console/doors/{door}']")
    by_hand, let_in = (f"details.act:has(form[action$='/{act}'])" for act in ("release", "grants"))
    keyboard.press(f"{by_hand} summary")
    keyboard.write(f"{by_hand} input[name=reason]", "A delivery")
    keyboard.go(f"{by_hand} button")
    expect(page.get_by_text("A delivery")).to_be_visible()
    keyboard.press(f"{let_in} summary")
    keyboard.write(f"{let_in} input[name=account]", str(account))
    keyboard.go(f"{let_in} button")
    for field, time in (("from", "0915AM"), ("until", "1130AM")):
        keyboard.to(f"input[name=Mon-0-{field}]")
        page.keyboard.type(time)
    flows.check(page, "week", language)
    keyboard.go("form.week button")
    page.wait_for_url(f"{flows.busy.url}/console/doors/{door}")
    with house.database.transaction() as conn:
        kept = places.find_grant(conn, account, door)
    assert kept is not None
    assert str(kept.schedule) == "Mon 09:15-11:30"
    keyboard.write("input[name=account][required]", str(account))
    keyboard.go("input[name=account][required]")
    expect(page.locator(".note.bad")).to_be_visible()
    flows.check(page, "outside-schedule", language)


@each_view
def test_erasure(flows: Flows, width: int, language: str) -> None:
    keyboard, account = flows.enter(width, language, Role.SUPPORT), flows.busy.account
    page = keyboard.page
    keyboard.go("nav a[href='/console/accounts']")
    keyboard.write("input[name=account]", str(account))
    keyboard.go("input[name=account]")
    page.wait_for_url(re.compile(str(account)))
    keyboard.press("details.danger summary")
    keyboard.write("input[name=confirm]", str(account)[:-1])
    keyboard.go("input[name=confirm]")
    expect(page.get_by_role("alert")).to_be_visible()
    keyboard.press("details.danger summary")
    keyboard.write("input[name=confirm]", str(account))
    keyboard.go("details.danger button")
    expect(page.get_by_role("status")).to_be_visible()
    assert page.locator("details.danger").count() == 0
    flows.check(page, "erased", language)
    with flows.busy.house.database.transaction() as conn:
        left = conn.execute(
            "SELECT wrapped_key, (SELECT count(*) FROM face_references r"
            " WHERE r.account_id = a.account_id) FROM accounts a WHERE account_id = %s",
            (account.raw,),
        ).fetchone()
    assert left == (None, 0)


@each_view
def test_audit_verification(flows: Flows, width: int, language: str) -> None:
    keyboard = flows.enter(width, language, Role.AUDITOR)
    page = keyboard.page
    keyboard.go("nav a[href='/console/audit']")
    keyboard.go("form[action$=verify] button")
    expect(page.locator(".note.good")).to_be_visible()
    keyboard.press("details summary")
    expect(page.locator("details pre")).to_contain_text("c2sp.org/tlog-proof@v1")
    flows.check(page, "verified", language)
    page.go_back()
    with page.expect_download() as begun:
        keyboard.press("a[href$='export.jsonl']")
    lines = begun.value.path().read_text().splitlines()
    assert [json.loads(line)["position"] for line in lines] == list(range(len(lines)))


@each_view
def test_a_session_that_ends_in_the_middle_of_a_form(
    flows: Flows, width: int, language: str
) -> None:
    keyboard = flows.enter(width, language, Role.ADMIN)
    page, text = keyboard.page, "two lines\n<b>of</b> a policy 政策"
    page.goto(f"{flows.busy.url}/console/policies/new")
    keyboard.write("input[name=reason]", RIGHT_TO_LEFT)
    keyboard.write("textarea[name=document]", text)
    flows.busy.house.clock.now_ms += people.IDLE_MS + 1
    keyboard.go("form.form button")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".typed")).to_contain_text(RIGHT_TO_LEFT)
    expect(page.locator(".typed")).to_contain_text("<b>of</b> a policy 政策")
    flows.check(page, "kept", language)
    with page.context.expect_page() as opened:
        keyboard.press("main a.button.primary")
    other = Keyboard(opened.value)
    flows.authenticator(other.page, of=page)
    other.go("[data-passkey=get] button")
    other.page.wait_for_url(re.compile(r"/console$"))
    page.bring_to_front()
    keyboard.go("main form button")
    flows.check(page, "kept-signed-in", language)
    keyboard.go("main form button.primary")
    expect(page.locator("textarea[name=document]")).to_have_value(text)
    expect(page.locator("input[name=reason]")).to_have_value(RIGHT_TO_LEFT)
    expect(page.get_by_role("alert")).to_be_visible()


def read_qr(page: Page) -> str:
    """What a camera reads from the square on the page."""
    picture = np.frombuffer(page.locator("figure.square").screenshot(), np.uint8)
    seen = cv2.imdecode(picture, cv2.IMREAD_COLOR)
    for scale in (1, 2, 3, 1.5, 2.5, 0.8):  # a camera moves until it reads
        moved = cv2.resize(seen, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for reader in (cv2.QRCodeDetectorAruco(), cv2.QRCodeDetector()):
            text, *_ = reader.detectAndDecode(moved)
            if text:
                return str(text)
    return ""


@each_view
def test_a_terminal_is_added_and_revoked(flows: Flows, width: int, language: str) -> None:
    keyboard = flows.enter(width, language, Role.ENROLLER)
    page = keyboard.page
    keyboard.go("nav a[href='/console/terminals']")
    keyboard.go("a[href='/console/terminals/new']")
    keyboard.to("select[name=kind]")
    page.keyboard.press("End")
    keyboard.write("input[name=name]", RIGHT_TO_LEFT)
    keyboard.write("input[name=site]", LONG)
    keyboard.go("main form button")
    code = page.locator("code.wrap").inner_text()
    assert read_qr(page) == code
    flows.check(page, "terminal-code", language)
    keyboard.go("main a.button")
    expect(page.locator("h1")).to_contain_text(RIGHT_TO_LEFT)
    flows.check(page, "terminal-waiting", language)
    keyboard.go("form[action$='/code'] button")
    assert read_qr(page) == page.locator("code.wrap").inner_text() != code
    keyboard.go("main a.button")
    keyboard.press("details.danger summary")
    keyboard.go("details.danger button")
    expect(page.locator(".tag.bad")).to_be_visible()


@each_view
def test_a_link_for_the_customer(flows: Flows, width: int, language: str) -> None:
    keyboard, account = flows.enter(width, language, Role.ENROLLER), flows.busy.account
    page = keyboard.page
    page.goto(f"{flows.busy.url}/console/accounts/{account}")
    keyboard.go("form[action$='/link'] button")
    flows.check(page, "customer-link", language)
    link = read_qr(page)
    assert link == page.locator("code.wrap").inner_text()
    own = flows.page_at(width, language=language)
    own.goto(link)
    own.locator("form[data-code] button").press("Enter")
    own.wait_for_url(f"{flows.busy.url}/me")
    expect(own.locator("main")).to_contain_text(str(account))
