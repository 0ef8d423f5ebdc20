"""What of a door's last beat somebody must see to, and the rules that call them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.http.metrics import Metrics
from service.ledger.check import Checked
from service.terminals.health import (
    SILENT_MS,
    SKEW_MS_MAX,
    WAITING_MAX,
    Complaint,
    DoorHealth,
    Heard,
    Summary,
)
from wire.ids import DoorId, TerminalId

NOW_MS, HOUR_MS = 1_800_000_000_000, 3_600_000
HEARD = Heard(
    at_ms=NOW_MS - 2_000,
    skew_ms=-40,
    bundle_issued_at_ms=NOW_MS - HOUR_MS,
    waiting=3,
    camera=True,
    lock=True,
    fail_safe=False,
)
DOOR = DoorHealth(
    terminal=TerminalId(b"t" * 16),
    door=DoorId(b"d" * 16),
    name="Front",
    fail_safe=False,
    offline_ms=8 * HOUR_MS,
    heard=HEARD,
    alarms=0,
)
RULES = yaml.safe_load(
    Path(__file__).parents[3].joinpath("docs", "examples", "alarm-rules.yml").read_text()
)


def heard(**changes: object) -> DoorHealth:
    return replace(DOOR, heard=replace(HEARD, **changes))


@pytest.mark.parametrize(
    ("door", "complaints"),
    [
        (DOOR, ()),
        (replace(DOOR, heard=None), ("never_heard",)),
        (heard(at_ms=NOW_MS - SILENT_MS), ()),
        (heard(at_ms=NOW_MS - SILENT_MS - 1, camera=False, waiting=9_999), ("silent",)),
        (heard(camera=False), ("camera",)),
        (heard(lock=False, camera=False), ("camera", "lock")),
        (heard(fail_safe=True), ("lock_differs",)),
        (heard(fail_safe=None), ()),
        (heard(skew_ms=SKEW_MS_MAX), ()),
        (heard(skew_ms=-SKEW_MS_MAX - 1), ("clock",)),
        (heard(bundle_issued_at_ms=None), ("bundle_missing",)),
        (replace(heard(bundle_issued_at_ms=None), offline_ms=0), ()),
        (heard(bundle_issued_at_ms=NOW_MS - 6 * HOUR_MS), ()),
        (heard(bundle_issued_at_ms=NOW_MS - 6 * HOUR_MS - 1), ("bundle_old",)),
        (heard(waiting=WAITING_MAX), ()),
        (heard(waiting=WAITING_MAX + 1), ("records_wait",)),
        (replace(DOOR, alarms=2), ("alarm",)),
        (replace(DOOR, heard=None, alarms=1), ("never_heard", "alarm")),
    ],
)
def test_what_is_complained_of(door: DoorHealth, complaints: tuple[str, ...]) -> None:
    assert door.complaints(NOW_MS) == complaints


def test_of_a_silent_door_its_silence_alone_counts() -> None:
    silent = heard(at_ms=NOW_MS - HOUR_MS, waiting=5_000, skew_ms=9_000_000)
    summary = Summary.of([DOOR, silent, replace(DOOR, heard=None)], NOW_MS)
    assert (summary.doors, summary.beat_age_ms) == (3, HOUR_MS)
    assert (summary.skew_ms, summary.bundle_age_ms, summary.waiting) == (40, HOUR_MS, 3)
    said = {each.value: number for each, number in summary.complaints.items() if number}
    assert said == {"silent": 1, "never_heard": 1}


def exposed() -> dict[str, set[str]]:
    """The metrics that the service has, with the complaints that one has as labels."""
    checked = Checked(at_ms=NOW_MS, discrepancies=0)
    text = Metrics().render(0, checked, 0, Summary.of([DOOR], NOW_MS)).decode()
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    found: dict[str, set[str]] = {each.name: set() for each in samples}
    for each in samples:
        found[each.name] |= {each.labels["complaint"]} if "complaint" in each.labels else set()
    return found


def test_every_complaint_calls_somebody_and_every_rule_asks_for_what_there_is() -> None:
    """A rule on a name that nothing has would be silent for ever."""
    known, called = exposed(), set[str]()
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 8
    for rule in rules:
        names = re.findall(r"countenance_\w+", rule["expr"])
        assert names
        assert set(names) <= set(known), rule["expr"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        for wanted in re.findall(r'complaint=~?"([a-z_|]+)"', rule["expr"]):
            called |= set(wanted.split("|"))
    assert called == known["countenance_doors_unwell"] == {each.value for each in Complaint}


def test_without_a_database_nothing_is_said_of_doors() -> None:
    assert "countenance_door" not in Metrics().render(None, None, None, None).decode()
