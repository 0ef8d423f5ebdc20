"""How doors are, from their terminals' beats to the metrics and the operator's command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from countenance.cli import main
from service.access.places import Failure
from tests.ceremony.devices import publish_easy
from tests.ceremony.house import House
from tests.ceremony.lone_door import LoneDoor
from wire.ids import ZoneId
from wire.messages import DoorEventKind


@pytest.fixture
def door(house: House, tmp_path: Path) -> Iterator[LoneDoor]:
    publish_easy(house)
    found = LoneDoor(house, tmp_path / "door")
    yield found
    found.stop()


@pytest.fixture
def status(
    house: House, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[object]:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path / "service"))
    monkeypatch.setattr("countenance.commands.door.unix_ms", house.clock)
    monkeypatch.setattr("service.app.unix_ms", house.clock)

    def run(*more: str) -> Result:
        return CliRunner().invoke(main, ["door", "status", *more], catch_exceptions=False)

    before = dict(os.environ)
    yield run
    os.environ.clear()
    os.environ.update(before)


def complaints(status: object) -> list[str]:
    result = status("--json")  # type: ignore[operator]
    (found,) = json.loads(result.stdout)
    assert result.exit_code == (7 if found["complaints"] else 0)
    return found["complaints"]


def metric(house: House, name: str) -> float:
    (line,) = [
        each for each in house.client().get("/metrics").text.splitlines() if each.startswith(name)
    ]
    return float(line.rpartition(" ")[2])


def test_a_door_from_its_first_beat_to_its_silence(
    house: House, door: LoneDoor, status: object
) -> None:
    assert complaints(status) == ["never_heard"]
    door.beat()
    door.beat()
    assert complaints(status) == []
    assert metric(house, "countenance_doors ") == 1
    assert metric(house, 'countenance_doors_unwell{complaint="silent"}') == 0
    shown = status()  # type: ignore[operator]
    assert (shown.exit_code, "well" in shown.output, "Front" in shown.output) == (0, True, True)
    door.skew_ms = -200_000
    door.beat()
    assert complaints(status) == ["clock"]
    assert metric(house, "countenance_door_clock_skew_seconds_max") == 200
    house.clock.now_ms += 16_000
    assert complaints(status) == ["silent"]
    assert metric(house, "countenance_door_beat_age_seconds_max") == 16


def test_camera_lock_and_outbox_are_told(house: House, door: LoneDoor, status: object) -> None:
    door.beat()
    door.camera = door.lock = False
    door.beat()
    assert complaints(status) == ["camera", "lock"]
    door.camera = door.lock = True
    door.cable.cut = True
    for _ in range(5):
        door.standalone.happened(DoorEventKind.CLOSED, offline=True)
    door.cable.cut = False
    house.clock.now_ms += 2_000
    door.link._beat()
    assert complaints(status) == []
    assert metric(house, "countenance_door_records_waiting_max") == 5


def test_a_lock_of_another_kind_than_is_written_down_is_said_on_both_sides(
    house: House, door: LoneDoor, status: object
) -> None:
    """And the relay keeps the sense that it was wired with."""
    door.fail_safe = False
    door.beat()
    door.beat()
    assert complaints(status) == []
    assert not door.link.lock_differs
    house.operations.change_door(house.door, ZoneId(house.door.raw), Failure.SAFE)
    door.beat()
    assert door.link.lock_differs
    assert complaints(status) == ["lock_differs"]
    door.fail_safe = True
    door.beat()
    assert not door.link.lock_differs
    assert complaints(status) == []
    door.fail_safe = None
    door.beat()
    assert not door.link.lock_differs


def test_an_alarm_is_one_until_it_is_acknowledged(
    house: House, door: LoneDoor, status: object
) -> None:
    door.standalone.happened(DoorEventKind.FORCED, offline=False)
    door.beat()
    door.beat()
    assert complaints(status) == ["alarm"]
    with house.database.transaction() as conn:
        conn.execute("UPDATE alarms SET acknowledged_at_ms = 1")
    assert complaints(status) == []
