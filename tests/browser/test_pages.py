"""Every page of the console and of /me, in all their states, as somebody sees it and by keyboard
alone: at a desktop's and a phone's width, by axe-core, and light enough. A page or template that no
tour comes to fails. With COUNTENANCE_PICTURES=folder, each is kept there as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request, template_rendered
from playwright.sync_api import Browser, Page

from service.db import Database
from service.operators.people import Role
from tests.browser import tours
from tests.browser.cold import crowd, load
from tests.browser.conftest import DESKTOP, PHONE, Authenticator, PageAt, each_view
from tests.browser.console_house import Busy, Site, join
from tests.browser.keyboard import Keyboard
from tests.browser.pictures import look
from tests.browser.tours import Tourist, full_paths
from tests.ceremony.house import House

PARTS = {"frame.html", "parts.html", "doors_live.html"}
"""Templates that are no page."""
FILES = {
    "console.static", "console.doors_live", "console.door_changes", "console.export_audit",
    "console.print_audit", "me.static", "me.data", "me.erasure",
}  # fmt: skip
"""What a GET answers with something else than a page."""


@dataclass
class Seen:
    """Which endpoints and templates were looked at."""

    app: Flask
    templates: set[str] = field(default_factory=set)
    endpoints: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        template_rendered.connect(self._note, self.app)

    def _note(self, _app: Flask, template: Any, **_: Any) -> None:
        self.templates.add(template.name)
        if request.method == "GET":
            self.endpoints.add(str(request.endpoint))

    def missed(self) -> set[str]:
        service = Path(__file__).parents[2] / "service"
        templates = {
            f"{kind}/{path.name}"
            for kind in ("console", "me")
            for path in service.glob(f"{kind}/templates/{kind}/*.html")
            if path.name not in PARTS
        }
        pages = {
            rule.endpoint
            for rule in self.app.url_map.iter_rules()
            if rule.endpoint.startswith(("console.", "me.")) and "GET" in (rule.methods or ())
        }
        assert templates
        assert pages > FILES
        return templates - self.templates | pages - FILES - self.endpoints


BYTES_MAX = 200_000


@pytest.fixture
def crowded(url: str, serve: Callable[..., str]) -> Iterator[Busy]:
    """So many that each list has more than a page."""
    crowd(url, accounts=60, transfers=300, merchants=60)
    opened = Database.open(url, size=16)
    yield Busy.open(House(opened), serve)
    opened.close()


def test_no_page_is_heavy(
    crowded: Busy, browser: Browser, page_at: PageAt, authenticator: Authenticator
) -> None:
    """From an empty cache; what takes how long, says ``python -m benchmarks.pages``."""
    page = page_at(DESKTOP)
    authenticator(page)
    join(page, crowded.invite(Role.ADMIN))
    page.goto(crowded.customer_link(crowded.account))
    page.locator("form[data-code] button").click()
    page.wait_for_url(f"{crowded.url}/me")
    state = page.context.storage_state()
    paths = full_paths(crowded) | {"me": "/me", "me-uses": "/me/uses", "me-enter": "/me/enter"}
    weights = {
        name: load(browser, crowded.url + path, state).sent_bytes for name, path in paths.items()
    }
    assert min(weights.values()) > 10_000, "what the page is made of was not counted"
    assert {name: weight for name, weight in weights.items() if weight > BYTES_MAX} == {}


def follow(
    tour: Iterator[str], tourist: Tourist, axe: Callable[[Page], None], language: str
) -> list[str]:
    """What is wrong on the way: as it stands, and once all that opens is open."""
    page, wrong = tourist.page, list[str]()
    for name in tour:
        if page.locator("html").get_attribute("lang") != language:
            wrong.append(f"{name} is not in {language}")
        wrong += look(page, f"{name}-{language}", axe)
        if page.locator("details:not([open])").count():
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            wrong += look(page, f"{name}-open-{language}", axe)
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
        if language == "en":
            wrong += [f"{name}: {each}" for each in Keyboard(page).reach_everything()]
    return wrong


@each_view
def test_every_page_and_state(
    database: Database,
    serve: Callable[..., str],
    page_at: PageAt,
    axe: Callable[[Page], None],
    authenticator: Authenticator,
    tmp_path: Path,
    width: int,
    language: str,
) -> None:
    busy = Busy.open(House(database), serve)
    seen, page, wrong = Seen(busy.house.app), page_at(width, language=language), list[str]()
    authenticator(page)
    tourist = Tourist(page, busy, tmp_path)
    for tour in (tours.getting_in, tours.full, tours.states, tours.merchants, tours.own):
        wrong += follow(tour(tourist, busy), tourist, axe, language)
    assert not wrong, "\n".join(wrong)
    assert not seen.missed()


def test_full_pages_in_the_dark(
    database: Database,
    serve: Callable[..., str],
    page_at: PageAt,
    axe: Callable[[Page], None],
    authenticator: Authenticator,
    tmp_path: Path,
) -> None:
    busy = Busy.open(House(database), serve)
    page, wrong = page_at(PHONE, color_scheme="dark"), list[str]()
    authenticator(page)
    tourist = Tourist(page, busy, tmp_path)
    for tour in (tours.getting_in, tours.full, tours.own):
        for name in tour(tourist, busy):
            wrong += look(page, f"{name}-dark", axe)
    assert not wrong, "\n".join(wrong)


@each_view
def test_every_page_where_nothing_happened(
    database: Database,
    serve: Callable[..., str],
    page_at: PageAt,
    axe: Callable[[Page], None],
    authenticator: Authenticator,
    tmp_path: Path,
    width: int,
    language: str,
) -> None:
    page = page_at(width, language=language)
    authenticator(page)
    tourist = Tourist(page, Site.serve(House(database), serve), tmp_path)
    wrong = follow(tours.empty(tourist), tourist, axe, language)
    assert not wrong, "\n".join(wrong)
