"""Doors: how they stand, who may open them, and what a guard does about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.access import places
from service.console import doors
from service.operators import people, releases
from service.operators.people import Role
from tests.ceremony.house import House, enrol, entry, probe
from tests.ceremony.lone_door import LoneDoor
from tests.ceremony.test_door_events import records, send
from tests.console.visitor import Visitor, text_of
from wire.codec import decode
from wire.ids import AccountId, AlarmId, DoorId, GroupId, ReleaseId, SiteId, ZoneId
from wire.messages import DoorEventKind, TerminalKind

OPENED, CLOSED, FORCED = DoorEventKind.OPENED, DoorEventKind.CLOSED, DoorEventKind.FORCED


@pytest.fixture
def guard(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.GUARD)


@pytest.fixture
def admin(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.ADMIN)


@pytest.fixture
def door(house: House, tmp_path: Path) -> Iterator[LoneDoor]:
    made = LoneDoor(house, tmp_path / "door")
    yield made
    made.stop()


def report(house: House, *kinds: DoorEventKind) -> None:
    terminal = house.add_terminal(TerminalKind.DOOR)
    told = [
        replace(record, event=kind) for record, kind in zip(records(len(kinds)), kinds, strict=True)
    ]
    assert send(terminal, told, 0, len(told)).status_code == 200


def place_of(house: House) -> tuple[SiteId, ZoneId]:
    with house.database.transaction() as conn:
        row = conn.execute("SELECT site_id, zone_id FROM zones").fetchone()
    assert row is not None
    return SiteId(row[0]), ZoneId(row[1])


def test_a_door_stands_as_its_contact_said_last(house: House, guard: Visitor) -> None:
    assert "no terminal yet" in text_of(guard.get("/console/doors"))
    report(house, OPENED)
    assert "stands open" in text_of(guard.get("/console/doors"))
    report(house, OPENED, CLOSED)
    shown = text_of(guard.get("/console/doors"))
    assert "shut" in shown
    assert "stands open" not in shown


def test_an_alarm_waits_until_somebody_looks_after_it(house: House, guard: Visitor) -> None:
    report(house, FORCED)
    shown = guard.get("/console/doors")
    assert "One alarm waits" in text_of(shown)
    alarm = re.search(r"/console/alarms/(alm_\w+)/acknowledge", shown.text)
    assert alarm is not None
    assert guard.post(alarm[0]).status_code == 303
    assert "alarm waits" not in text_of(guard.get("/console/doors"))
    assert guard.post(f"/console/alarms/{AlarmId.new()}/acknowledge").status_code == 303


@pytest.mark.parametrize("whole_site", [True, False])
def test_a_lockdown_keeps_people_out_until_it_ends(
    house: House, guard: Visitor, whole_site: bool
) -> None:
    house.grant(enrol(house, 1))
    door = house.add_terminal(TerminalKind.DOOR)
    place = place_of(house)[0 if whole_site else 1]
    path = f"/console/places/{place}/mode"
    assert guard.post(path, {"mode": "lockdown"}).status_code == 303
    assert "lockdown" in text_of(guard.get("/console/doors"))
    denied = door.attempt(entry(house), probe(1))
    assert house.denial_of(denied.attempt) == "lockdown"
    guard.post(path, {"mode": "normal"})
    assert door.attempt(entry(house), probe(1)).approved
    assert guard.post(path, {"mode": "open"}).status_code == 400
    for unknown in (SiteId(bytes(16)), ZoneId(bytes(16))):
        lost = guard.post(f"/console/places/{unknown}/mode", {"mode": "normal"})
        assert lost.status_code == 404


def opens_by_hand(guard: Visitor, house: House, reason: str = "A delivery") -> int:
    return guard.post(f"/console/doors/{house.door}/release", {"reason": reason}).status_code


def test_a_guard_opens_a_door_by_hand_once_and_says_why(
    house: House, guard: Visitor, door: LoneDoor
) -> None:
    page = f"/console/doors/{house.door}"
    door.beat()
    assert "Nobody has opened this door by hand." in text_of(guard.get(page))
    assert opens_by_hand(guard, house, "<b>Ana</b> forgot her badge") == 303
    shown = guard.get(page)
    assert "&lt;b&gt;Ana&lt;/b&gt; forgot her badge" in shown.text
    assert "waits" in text_of(shown)
    lost = guard.post(f"{page}/release", {"reason": "A <delivery>"})
    assert lost.status_code == 409
    assert 'value="A &lt;delivery&gt;"' in lost.text
    door.link.turn()
    assert door.released == []
    house.clock.now_ms += 1_000
    door.link.turn()
    (release,) = door.released
    assert "commanded" in text_of(guard.get(page))
    door.standalone.happened(OPENED, offline=False, attempt=release)
    door.beat()
    assert door.released == [release]
    shown = text_of(guard.get(page))
    assert "opened" in shown
    assert str(release) not in shown
    assert "by hand" in text_of(guard.get("/console/doors"))
    with house.database.transaction() as conn:
        leaves = str([decode(leaf) for (leaf,) in conn.execute("SELECT leaf FROM audit_entries")])
    assert f"{house.door} {ReleaseId(release.raw)}" in leaves
    assert "forgot" not in leaves


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "a\nb", "a\x00b"], ids=repr)
def test_no_door_opens_without_a_reason(house: House, guard: Visitor, reason: str) -> None:
    assert opens_by_hand(guard, house, reason) == 400
    with house.database.transaction() as conn:
        assert releases.list_newest(conn, house.door, limit=9) == []


def test_a_release_that_no_door_asks_for_in_time_opens_nothing(
    house: House, guard: Visitor, door: LoneDoor
) -> None:
    assert opens_by_hand(guard, house) == 303
    house.clock.now_ms += releases.WAITS_MS
    door.link.turn()
    assert door.released == []
    assert "not fetched" in text_of(guard.get(f"/console/doors/{house.door}"))
    assert opens_by_hand(guard, house) == 303
    door.cable.spoil = lambda path, raw: raw[:-1] + bytes([raw[-1] ^ 1])
    house.clock.now_ms += 1_000
    door.link.turn()
    door.cable.spoil = lambda path, raw: raw
    door.beat()
    assert door.released == []
    house.clock.now_ms += releases.ANSWERS_MS
    assert "no word" in text_of(guard.get(f"/console/doors/{house.door}"))
    unknown = guard.post(f"/console/doors/{DoorId(bytes(16))}/release", {"reason": "x"})
    assert unknown.status_code == 404


def test_who_writes_rows_alone_opens_no_door(house: House, guard: Visitor, door: LoneDoor) -> None:
    other = house.operations.add_door("Bicycles")
    asked = guard.post(f"/console/doors/{other}/release", {"reason": "A bicycle"})
    assert asked.status_code == 303
    with house.database.transaction() as conn:
        conn.execute("UPDATE releases SET door_id = %s", (house.door.raw,))
    door.link.turn()
    assert door.released == []


def test_another_door_says_nothing_of_a_release(house: House, guard: Visitor) -> None:
    opens_by_hand(guard, house)
    with house.database.transaction() as conn:
        release = releases.hand_over(conn, house.door, key=house.keys.signing, now_ms=house.clock())
        assert release is not None
        releases.close(conn, release, DoorId.new(), opened=True, at_ms=house.clock())
        releases.close(conn, release, house.door, opened=False, at_ms=house.clock())
        releases.close(conn, release, house.door, opened=True, at_ms=house.clock())
        (found,) = releases.list_newest(conn, house.door, limit=9)
    assert found.opened is False


def week(**more: str) -> dict[str, str]:
    return {"time_zone": "Europe/Berlin", "Mon-0-from": "08:00", "Mon-0-until": "18:00", **more}


def test_a_grant_is_given_changed_and_taken_back(house: House, admin: Visitor) -> None:
    account = enrol(house, 1)
    door, zone = house.door, place_of(house)[1]
    begun = admin.post(f"/console/places/{door}/grants", {"account": f" {account} "})
    editor = begun.headers["Location"]
    assert admin.get(editor).status_code == 200
    assert admin.post(editor, week()).headers["Location"] == f"/console/doors/{door}"
    shown = text_of(admin.get(f"/console/doors/{door}"))
    assert "Mon 08:00-18:00 Europe/Berlin" in shown
    assert 'value="08:00"' in admin.get(editor).text
    admin.post(editor, {"time_zone": "UTC", "always": "1", "through_lockdown": "1"})
    shown = text_of(admin.get(f"/console/doors/{door}"))
    assert "always UTC through a lockdown" in shown
    with house.database.transaction() as conn:
        kept = places.find_grant(conn, account, door)
    assert kept is not None
    assert kept.through_lockdown
    assert admin.post(f"{editor}/revoke").status_code == 303
    assert "Nobody: there is no grant" in text_of(admin.get(f"/console/doors/{door}"))
    assert admin.post(f"{editor}/revoke").status_code == 404
    admin.post(f"/console/places/{zone}/grants/{account}", week())
    assert "the whole zone" in text_of(admin.get(f"/console/doors/{door}"))


@pytest.mark.parametrize(
    "form",
    [
        {"time_zone": "UTC"},
        week(time_zone="Mars/Base"),
        week(time_zone="../../etc/passwd"),
        {**week(), "Mon-0-until": "25:00"},
        {**week(), "Mon-0-until": ""},
        week(until="never"),
        week(until="1900-01-01T00:00"),
        {**week(), "from": "2030-01-02T00:00", "until": "2030-01-01T00:00"},
    ],
    ids=str,
)
def test_what_is_no_grant_is_not_kept_and_stays_typed(
    house: House, admin: Visitor, form: dict[str, str]
) -> None:
    account = enrol(house, 1)
    answer = admin.post(f"/console/places/{house.door}/grants/{account}", form)
    assert answer.status_code == 400
    assert "Not kept" in answer.text
    if "Mon-0-from" in form:
        assert 'name="Mon-0-from" value="08:00"' in answer.text
    with house.database.transaction() as conn:
        assert places.find_grant(conn, account, house.door) is None


def test_nobody_is_let_in_who_is_not_there(house: House, admin: Visitor) -> None:
    gone = enrol(house, 1)
    house.operations.erase_account(gone)
    for subject in (AccountId(bytes(16)), GroupId(bytes(16)), gone):
        path = f"/console/places/{house.door}/grants/{subject}"
        assert admin.get(path).status_code == 404
        assert admin.post(path, week()).status_code == 404
    account = enrol(house, 2)
    assert admin.get(f"/console/places/{DoorId(bytes(16))}/grants/{account}").status_code == 404


def test_a_door_explains_itself(house: House, guard: Visitor) -> None:
    account = enrol(house, 1)
    path = f"/console/doors/{house.door}"
    asked = f"{path}?account={account}&direction=in"
    assert "It stays shut: grant missing" in text_of(guard.get(asked))
    house.grant(account)
    assert "It opens." in text_of(guard.get(asked))
    assert "It opens." in text_of(guard.get(f"{asked}&at=2026-01-01T00:00"))
    for wrong in (AccountId(bytes(16)), "x"):
        assert "Not understood" in text_of(guard.get(f"{path}?account={wrong}"))


def test_changes_are_told_as_they_come(house: House, guard: Visitor) -> None:
    answer = guard.get("/console/doors/changes")
    assert answer.content_type.startswith("text/event-stream")
    with answer:
        told = (str(part, "ascii") for part in answer.response)
        assert next(told).startswith("retry:")
        first = next(told)
        assert first.startswith("data: ")
        assert next(told) == ":\n\n"
        report(house, OPENED)
        assert next(told) not in (":\n\n", first)


def test_no_more_listen_than_may_and_who_leaves_makes_room(house: House, guard: Visitor) -> None:
    listening = [guard.get("/console/doors/changes") for _ in range(doors.LISTENERS_MAX)]
    assert guard.get("/console/doors/changes").status_code == 503
    assert guard.get("/console/doors/live").status_code == 200
    for each in listening:
        each.close()
    with guard.get("/console/doors/changes") as again:
        assert again.status_code == 200


def test_a_stream_ends_by_itself(
    house: House, guard: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STREAM_S", 0.0)
    assert guard.get("/console/doors/changes").text == "retry: 1000\n\n"
    assert guard.get("/console/doors/changes").status_code == 200


def test_a_page_that_refreshes_itself_keeps_nobody_signed_in(house: House, guard: Visitor) -> None:
    for _ in range(3):
        house.clock.now_ms += people.IDLE_MS // 2
        last = guard.get("/console/doors/live")
    assert last.status_code == 303
    assert guard.get("/console/doors").headers["Location"].startswith("/console/sign-in")


def test_the_page_is_whole_without_scripts(house: House, guard: Visitor) -> None:
    report(house, OPENED)
    part = guard.get("/console/doors/live").text.strip()
    assert part in guard.get("/console/doors").text
    assert "<html" not in part
