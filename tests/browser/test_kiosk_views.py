"""Every view of the kiosk in every state that it has, at both widths and in each language: one in
light, one in the dark, one in high contrast; without a service, so that all are always shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from countenance.demo import sample_portraits
from face_engine.engine import Engine
from liveness.challenge import Move
from terminal_client.camera import Stills
from terminal_client.enrolment import Consent
from terminal_client.exchange import Ended, Ending
from terminal_client.kiosk import words
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.joining import BANK_CARD, WALLET
from terminal_client.kiosk.receipt import square
from terminal_client.kiosk.screen import Instruction, Screen, View
from terminal_client.kiosk.server import KioskServer
from terminal_client.kiosk.web import Sides
from terminal_client.kiosk.words import Subject
from terminal_client.payments import Payment, State, Way
from tests.browser.conftest import DESKTOP, PHONE, PageAt
from tests.browser.pictures import look
from tests.browser.test_kiosk import at
from wire.denial import Reason
from wire.ids import AccountId, AttemptId
from wire.money import Money

SHOP, DESK = Subject("Corner Shop", 1_250, "EUR", "A-1"), Subject("Reception")
CASH, DOOR = Subject("Lobby", 8_000, "EUR"), Subject("Front door")
NOTES = {5_000: 1, 1_000: 3}
RECEIPT = square("Countenance\nCorner Shop\n12.50 EUR\nA-1\n" + "leaf " + "5e" * 32)
ACCOUNT = str(AccountId(bytes(16)))
REFUSED = words.reason(Reason.INSUFFICIENT_FUNDS)
ENDED = {"receipt": None, "why": None}
SUMMARY = {"subject": DESK, "kind": "card", "ends": "4711", "version": "2026-11/es"}
COPY = {"subject": DESK, "account": ACCOUNT, "version": "2026-11/es", "receipt": RECEIPT}

STATES: dict[str, dict[str, dict[str, Any]]] = {
    "again": {"": {"subject": SHOP, "why": words.why(Ended(ending=Ending.NOT_LIVE))}},
    "agree": {
        "": {"subject": DESK, "consent": words.shipped_consent()},
        "foreign": {"subject": DESK, "consent": Consent(version="1", texts={"fr": "Voici."})},
    },
    "amount": {"": {"subject": CASH, "possible": [2_000, 5_000, 8_000], "currency": "EUR"}},
    "attract": {
        kind: {"name": "Corner Shop", "kind": kind} for kind in ("store", "atm", "enrolment")
    },
    "camera": {"": {"subject": SHOP}},
    "choose": {"pay": {"subject": SHOP}, "enrol": {"subject": DESK}},
    "claim": {
        "reader": {"subject": SHOP, "kinds": ("card",), "scans": False},
        "scanning": {"subject": SHOP, "kinds": ("card", "phone", "qr", "badge"), "scans": True},
    },
    "copy": {
        "face": {**COPY, "face": True, "funding": WALLET},
        "card": {**COPY, "face": False, "funding": BANK_CARD},
    },
    "door": {"": {"name": "Front door"}},
    "face": {"pay": {"subject": SHOP}, "door": {"subject": DOOR}},
    "funding": {"": {"subject": DESK}},
    "notes": {"": {"subject": CASH, "notes": NOTES}},
    "offline": {"": {"name": "Corner Shop"}},
    "passage": {
        "open": {"subject": DOOR, "good": True, "title": "Please go in", "why": None},
        "sorry": {"subject": DOOR, "good": False, "title": "Sorry", "why": REFUSED},
    },
    "pin": {"": {"subject": CASH}},
    "pin_new": {
        "first": {"subject": DESK, "again": False},
        "again": {"subject": DESK, "again": True},
    },
    "result": {
        "good": {**ENDED, "subject": SHOP, "good": True, "title": "Paid", "receipt": RECEIPT},
        "bad": {**ENDED, "subject": SHOP, "good": False, "title": "Not approved", "why": REFUSED},
        "cash": {
            "subject": CASH,
            "good": True,
            "title": "Paid out",
            "notes": NOTES,
            "receipt": RECEIPT,
            "why": None,
        },
    },
    "summary": {
        "face": {**SUMMARY, "face": True, "funding": WALLET},
        "card": {**SUMMARY, "face": False, "funding": BANK_CARD},
    },
    "undecided": {"": {"subject": SHOP}},
    "wait": {"": {"subject": SHOP}, "enrol": {"subject": DESK}},
}
"""What the terminal shows, by the template's name and by what else tells one from another."""
IDLE = View(name="offline", values={"name": "Corner Shop"})
ASKS = ("amount", "claim", "door", "pin", "pin_new")
"""Views that say what was wrong with an answer."""
INSTRUCTION = Instruction(text=Move.LEFT.instruction, fraction=0.4, move=Move.LEFT.value)
PARTS = {"frame", "page", "parts", "cashier", "cashier_page"}


def test_none_is_left_out() -> None:
    """A view that is new is looked at here, too."""
    folder = files("terminal_client.kiosk") / "templates" / "kiosk"
    names = {each.name.removesuffix(".html") for each in folder.iterdir()}
    assert names - PARTS == set(STATES)


@dataclass
class ShownTill:
    """The cashier's side, with nothing behind it."""

    current: State | None = None
    reason: str | None = None
    stuck: bool = False
    name: str = "Corner Shop"

    def state(self) -> dict[str, Any]:
        earlier = [_payment(State.APPROVED, 1), _payment(State.NOT_CHARGED, 2, "cancelled")]
        return {
            "name": self.name,
            "current": _payment(self.current, 3, self.reason) if self.current else None,
            "earlier": earlier if self.current else [],
            "doing": words.DOING["face"] if self.current is State.CAPTURING else None,
            "stuck": self.stuck,
        }


def _payment(state: State, number: int, reason: str | None = None) -> Payment:
    return Payment(
        payment=f"K-{number:06}",
        money=Money(amount_minor=1_250 * number, currency="EUR"),
        order=f"A-{number}",
        way=Way.FACE,
        attempt=AttemptId(bytes(16)),
        state=state,
        reason=reason,
        transfer=None,
        created_at_ms=0,
        updated_at_ms=0,
    )


@dataclass
class Shown:
    screen: Screen
    till: ShownTill
    server: KioskServer


@pytest.fixture
def kiosk(engine: Engine) -> Iterator[Shown]:
    """A screen that shows what it is told, and a camera that sees somebody."""
    screen = Screen(lambda: IDLE)
    (_, (portrait, _)), *_ = sample_portraits(engine)
    feed, till = Feed(Stills(portrait, portrait)), ShownTill()
    sides = Sides(screen=screen, feed=feed, cashier=till)  # type: ignore[arg-type]
    with KioskServer(sides, 0) as server, closing(feed.frames()) as frames:  # type: ignore[type-var]
        next(frames)
        yield Shown(screen, till, server)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize(
    ("language", "dress"), [("en", "light"), ("es", "contrast"), ("zh", "dark")]
)
def test_axe_finds_nothing_on_any(
    kiosk: Shown,
    page_at: PageAt,
    axe: Callable[[Page], None],
    width: int,
    language: str,
    dress: str,
) -> None:
    scheme = "dark" if dress == "dark" else "light"
    page = page_at(width, language=language, color_scheme=scheme, reduced_motion="reduce")
    kiosk.screen.own_language(language)
    wrong = []

    page.goto(kiosk.server.url)

    def look_at(view: View, state: str) -> None:
        for each in (IDLE, view):  # or else a view would be taken for the one of its name before
            kiosk.screen.show(each)
            at(page, each.name)
        if view.name == "face":
            kiosk.screen.prompt(INSTRUCTION)
            expect(page.locator(".arrow[data-move=left]")).to_be_visible()
        contrast = page.locator("[data-tool=contrast]")
        if dress == "contrast" and contrast.get_attribute("aria-pressed") == "false":
            contrast.click()
        if page.locator("#preview").count():
            expect(page.locator("#preview[data-at]")).to_be_visible()
        named = "-".join(part for part in ("view", view.name, state, language, dress) if part)
        wrong.extend(look(page, named, axe))

    for name, states in STATES.items():
        for state, values in states.items():
            look_at(View(name=name, values=values), state)
        if name in ASKS:
            told = words.reason(Reason.LIMIT_EXCEEDED)
            look_at(View(name=name, values=values, wrong=told), "wrong")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("es", "light"), ("zh", "dark")])
def test_axe_finds_nothing_on_the_cashiers_side(
    kiosk: Shown,
    page_at: PageAt,
    axe: Callable[[Page], None],
    width: int,
    language: str,
    scheme: str,
) -> None:
    page, wrong = page_at(width, language=language, color_scheme=scheme), []
    states = {
        "empty": ShownTill(),
        "open": ShownTill(State.CAPTURING),
        "stuck": ShownTill(State.DECIDING, stuck=True),
        "approved": ShownTill(State.APPROVED),
        "refused": ShownTill(State.REFUSED, "insufficient_funds"),
    }
    for state, till in states.items():
        vars(kiosk.till).update(vars(till))
        page.goto(str(kiosk.server.cashier_url))
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("#state section").first).to_be_visible()
        wrong += look(page, f"view-cashier-{state}-{language}-{scheme}", axe)
    assert not wrong, "\n".join(wrong)
