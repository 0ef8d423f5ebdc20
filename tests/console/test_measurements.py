"""The calibrations in force, and a liveness trial only where there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from face_engine.calibration import shipped
from service.operators.liveness_trial import BYTES_MAX, TrialError, read_trial
from service.operators.people import Role
from service.verification.policy import default_policy
from tests.ceremony.house import House
from tests.console.visitor import Visitor, text_of

SPECIES = {"attempts": 60, "accepted": 3, "apcer": 0.05, "apcer_upper95": 0.124}
TRIAL: dict[str, Any] = {
    "seed": 7,
    "level": "standard",
    "species": {
        "print_flat": {"attempts": 60, "accepted": 0, "apcer": 0.0, "apcer_upper95": 0.049},
        "screen_<b>replay</b>": SPECIES,
    },
    "live": {"attempts": 40, "rejected": 1, "undecided": 2, "bpcer": 0.025},
    "verdict_ms_p50": 7000,
}


@pytest.fixture
def auditor(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.AUDITOR)


def test_each_calibration_in_force_is_shown_with_its_figures(
    house: House, auditor: Visitor
) -> None:
    shown = text_of(auditor.get("/console/calibration"))
    assert len(shipped()) >= 3
    for each in shipped().values():
        assert each.model_id.hex() in shown
        assert f"{each.impostor_comparisons:,}" in shown
        for rate in default_policy().rates:
            assert f"{each.threshold_for(rate):.4f}" in shown
    assert "Not checked yet" in shown


def test_without_a_file_there_are_no_figures(auditor: Visitor) -> None:
    shown = text_of(auditor.get("/console/liveness"))
    assert "No trial is known here" in shown
    assert "APCER" not in shown


def test_a_trial_is_shown_worst_first(house: House, auditor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(TRIAL))
    house.app.extensions["liveness_report"] = path
    answer = auditor.get("/console/liveness")
    shown = text_of(answer)
    assert shown.index("replay") < shown.index("print flat")
    assert "<b>replay" not in answer.text
    for told in ("12.4", "2.5", "1 of 40", "2 of 40", "standard"):
        assert told in shown, told


@pytest.mark.parametrize(
    "changed",
    [
        {"species": []},
        {"species": {"x": {**SPECIES, "accepted": 61}}},
        {"species": {"x": {**SPECIES, "apcer": 0.01}}},
        {"species": {"x": {**SPECIES, "apcer_upper95": 0.01}}},
        {"species": {"x": {**SPECIES, "apcer_upper95": float("nan")}}},
        {"species": {"x": {**SPECIES, "attempts": True}}},
        {"species": {"x\n": SPECIES}},
        {"live": {"attempts": 40, "rejected": 1, "undecided": 2, "bpcer": 0.9}},
        {"live": None},
        {"level": 3},
        {"seed": -1},
    ],
    ids=str,
)
def test_what_is_no_trial_is_none(
    house: House, auditor: Visitor, tmp_path: Path, changed: dict[str, Any]
) -> None:
    path = tmp_path / "trial.json"
    path.write_text(json.dumps({**TRIAL, **changed}))
    with pytest.raises(TrialError):
        read_trial(path)
    house.app.extensions["liveness_report"] = path
    shown = auditor.get("/console/liveness")
    assert "No figures are shown" in shown.text
    assert "<table" not in shown.text


@pytest.mark.parametrize("raw", [b"", b"[" * 100_000, b"\xff", b" " * (BYTES_MAX + 1)], ids=len)
def test_files_that_are_no_json(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "trial.json"
    path.write_bytes(raw)
    for each in (path, tmp_path / "missing", tmp_path):
        with pytest.raises(TrialError):
            read_trial(each)
