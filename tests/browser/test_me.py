"""The customer's page in a browser: by a link and by a passkey, at two widths, and in Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from service.db import Database
from tests.browser.conftest import DESKTOP, PHONE, Authenticator, PageAt, each_view
from tests.browser.console_house import Busy
from tests.browser.pictures import look
from tests.ceremony.house import House


@pytest.fixture
def busy(database: Database, serve: Callable[..., str]) -> Busy:
    return Busy.open(House(database), serve)


def press(page: Page, action: str) -> None:
    """The button of a form, by keyboard alone."""
    page.locator(f"form[action='{action}'] button").focus()
    page.keyboard.press("Enter")


@each_view
def test_from_the_link_to_the_erasure(
    busy: Busy,
    page_at: PageAt,
    axe: Callable[[Page], None],
    authenticator: Authenticator,
    width: int,
    language: str,
) -> None:
    page, asked, wrong = page_at(width, language=language), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    authenticator(page)
    address = busy.customer_link(busy.account)
    page.goto(address)
    wrong += look(page, f"me-enter-{language}", axe)
    assert "#" not in page.url
    expect(page.locator("input[name=code]")).to_be_hidden()
    press(page, "/me/enter")
    page.wait_for_url(f"{busy.url}/me")
    assert not any(address.partition("#")[2] in each for each in asked)
    wrong += look(page, f"me-{language}", axe)
    assert page.locator("html").get_attribute("lang") == language

    press(page, "/me/passkeys")
    page.wait_for_url(re.compile("done=passkey"))
    press(page, "/me/sign-out")
    page.wait_for_url(re.compile("/me/enter"))
    page.locator("[data-passkey=get] button").press("Enter")
    page.wait_for_url(f"{busy.url}/me")

    press(page, "/me/pause")
    expect(page.locator(".tag.warn").first).to_be_visible()
    wrong += look(page, f"me-paused-{language}", axe)
    press(page, "/me/resume")
    page.wait_for_url(re.compile("done=resumed"))
    page.goto(f"{busy.url}/me/uses")
    wrong += look(page, f"me-uses-{language}", axe)
    page.goto(f"{busy.url}/me")
    with page.expect_download() as begun:
        page.locator("a[download]").press("Enter")
    assert str(busy.account) in begun.value.path().read_text()

    press(page, "/me/consent/withdraw")
    page.wait_for_url(re.compile("done=withdrawn"))
    wrong += look(page, f"me-withdrawn-{language}", axe)
    press(page, "/me/erase")
    assert page.url.endswith("done=withdrawn"), "it is erased without a tick"
    page.locator("input[name=meant]").press("Space")
    press(page, "/me/erase")
    page.wait_for_url(f"{busy.url}/me")
    busy.integrate()
    page.reload()
    with page.expect_download() as begun:
        page.locator("a[download]").press("Enter")
    assert begun.value.path().read_text().startswith("c2sp.org/tlog-proof@v1")
    wrong += look(page, f"me-erased-{language}", axe)
    assert not wrong, "\n".join(wrong)


def test_without_scripts_the_code_is_typed(busy: Busy, page_at: PageAt) -> None:
    page, address = page_at(PHONE, java_script_enabled=False), busy.customer_link(busy.account)
    page.goto(address)
    page.locator("input[name=code]").fill(address.partition("#")[2])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{busy.url}/me")
    press(page, "/me/pause")
    expect(page.locator(".tag.warn").first).to_be_visible()


def test_who_was_away_too_long_is_told_what_became_of_the_form(busy: Busy, page_at: PageAt) -> None:
    page = page_at(DESKTOP)
    page.goto(busy.customer_link(busy.account))
    press(page, "/me/enter")
    page.wait_for_url(f"{busy.url}/me")
    busy.house.clock.now_ms += 3_600_000
    press(page, "/me/pause")
    expect(page.get_by_role("status")).to_contain_text("What you had not sent was not changed")
