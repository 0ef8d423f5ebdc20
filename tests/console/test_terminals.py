"""Terminals: how they are, the one-time code, and the end of one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from service.operators.people import Role
from service.operators.terminal_health import SILENT_MS
from service.terminals import registration
from service.terminals.health import SILENT_MS as DOOR_SILENT_MS
from tests.ceremony.devices import publish_easy
from tests.ceremony.house import Device, House, enrol, entry, payment, probe
from tests.ceremony.lone_door import LoneDoor
from tests.ceremony.test_door_events import records, send
from tests.console.visitor import Visitor, text_of
from wire.ids import TerminalId
from wire.messages import DoorEventKind, TerminalKind

PAGE = "/console/terminals"


@pytest.fixture
def admin(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.ADMIN)


def healths(visitor: Visitor, query: str = "") -> dict[str, str]:
    """Health by name, as the list shows it."""
    rows = re.findall(r"<tr><td><a [^>]*><bdi>(.*?)</bdi>.*?class=\"tag \w+\">(.*?)</span>",
                      visitor.get(f"{PAGE}{query}").text)  # fmt: skip
    return dict(rows)


def test_the_list_says_how_each_terminal_is(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    store.attempt(payment(house), probe(1))
    house.add_terminal(TerminalKind.ATM)
    house.operations.add_terminal(TerminalKind.ENROLMENT, "new")
    assert healths(admin)["STORE"] == "heard"
    assert healths(admin)["ATM"] == "idle"
    assert healths(admin)["new"] == "waiting"
    house.clock.now_ms += SILENT_MS + 1
    assert healths(admin)["STORE"] == "silent"
    house.clock.now_ms += registration.CODE_TTL_MS
    admin = Visitor.signed_in(house, Role.ADMIN)
    assert healths(admin)["new"] == "lapsed"
    assert admin.post(f"{PAGE}/{store.terminal}/revoke").status_code == 303
    assert healths(admin)["STORE"] == "revoked"
    assert store.ask(payment(house)).status_code != 201
    counted = text_of(admin.get(PAGE))
    assert re.search(r"Revoked 1\b", counted)
    assert re.search(r"Not registered yet 1\b", counted)


def test_the_list_is_narrowed(house: House, admin: Visitor) -> None:
    for name, site in (("A", "north"), ("B", "south")):
        house.operations.add_terminal(TerminalKind.ENROLMENT, name, site=site)
    house.add_terminal(TerminalKind.ATM)
    assert set(healths(admin)) == {"A", "B", "ATM"}
    assert set(healths(admin, "?site=north")) == {"A"}
    assert set(healths(admin, "?kind=atm")) == {"ATM"}
    assert set(healths(admin, "?health=waiting&site=south")) == {"B"}
    assert "Nothing matches" in admin.get(f"{PAGE}?health=revoked").text
    assert "Not understood" in admin.get(f"{PAGE}?health=fine&kind=toaster").text


def test_alarms_stand_beside_their_terminal(house: House, admin: Visitor) -> None:
    door = house.add_terminal(TerminalKind.DOOR)
    told = [replace(each, event=DoorEventKind.FORCED) for each in records(1)]
    assert send(door, told, 0, 1).status_code == 200
    assert '<span class="tag bad">1</span>' in admin.get(PAGE).text


def test_a_door_says_how_it_is(house: House, admin: Visitor, tmp_path: Path) -> None:
    publish_easy(house)
    door = LoneDoor(house, tmp_path / "door")
    page = f"{PAGE}/{door.identity.terminal}"
    assert "Beat none yet" in text_of(admin.get(page))
    door.beat()
    house.clock.now_ms += 3_000
    for path in (PAGE, page):
        shown = text_of(admin.get(path))
        assert "Beat 3 seconds ago Lock answers Camera answers Clock +0.0 s Bundle" in shown
        assert "Records waiting 0" in shown
    assert healths(admin)["DOOR"] == "heard"
    door.camera, door.skew_ms = False, -200_000
    door.beat()
    answer = admin.get(PAGE)
    assert "Camera does not answer Clock -200.0 s" in text_of(answer)
    assert '<span class="tag bad">-200.0 s</span>' in answer.text
    house.clock.now_ms += DOOR_SILENT_MS + 1
    shown = text_of(admin.get(PAGE))
    assert "Beat 15 seconds ago" in shown
    assert "Camera" not in shown
    assert healths(admin)["DOOR"] == "silent"
    assert "Which terminals went silent? DOOR" in text_of(admin.get("/console"))
    door.stop()


def code_in(shown: str) -> str:
    found = re.search(r"<code class=\"wrap\">([A-Z2-7-]{17}\.[A-Z2-7]{16})</code>", shown)
    assert found is not None
    return found[1]


def test_a_terminal_registers_by_the_newest_code_alone(house: House, admin: Visitor) -> None:
    added = admin.post(f"{PAGE}/new", {"kind": "atm", "name": "Cash", "site": "Hall"})
    assert 'class="qr"' in added.text
    first = code_in(added.text)
    page = re.search(rf"{PAGE}/(ter_\w+)", added.text)
    assert page is not None
    house.clock.now_ms += registration.CODE_TTL_MS
    admin = Visitor.signed_in(house, Role.ADMIN)
    renewed = admin.post(f"{PAGE}/{page[1]}/code")
    second = code_in(renewed.text)
    with pytest.raises(AssertionError):
        Device.register(house, TerminalKind.ATM, first)
    device = Device.register(house, TerminalKind.ATM, second)
    assert str(device.terminal) == page[1]
    assert admin.post(f"{PAGE}/{page[1]}/code").status_code == 404
    assert "New registration code" not in admin.get(f"{PAGE}/{page[1]}").text
    with house.database.transaction() as conn:
        stored = conn.execute("SELECT registration_code_hash FROM terminals").fetchall()
    assert second.encode() not in bytes(stored[0][0])


def test_another_merchants_terminals_are_not_there(house: House) -> None:
    store = house.add_terminal(TerminalKind.STORE)
    stranger = house.operations.add_merchant("Elsewhere", "EUR")
    own = Visitor.signed_in(house, Role.MERCHANT, merchant=house.merchant)
    other = Visitor.signed_in(house, Role.MERCHANT, merchant=stranger)
    assert set(healths(own)) == {"STORE"}
    assert healths(other) == {}
    assert re.search(r"10 minutes 0\b", text_of(other.get(PAGE)))
    for path in ("/revoke", "/code"):
        assert other.post(f"{PAGE}/{store.terminal}{path}").status_code == 404
    assert other.get(f"{PAGE}/{TerminalId(bytes(16))}").status_code == 404


def test_a_door_shows_its_last_decision(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    house.add_terminal(TerminalKind.DOOR).attempt(entry(house), probe(1))
    house.clock.now_ms += 120_000
    assert "2 minutes ago" in text_of(admin.get(f"{PAGE}?kind=door"))
