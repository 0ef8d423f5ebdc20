from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from face_engine.calibration import Calibration, CalibrationUnsupportedError, shipped
from face_engine.catalogue import load_pack, pack_names

MADE_UP = Calibration(
    model_id=b"m" * 16,
    pack="test",
    dimensions=128,
    provenance="made up",
    people=10,
    impostor_comparisons=1000,
    points=((0.5, 1e-2), (0.6, 1e-3)),
)


def test_the_threshold_is_the_lowest_whose_bound_is_low_enough() -> None:
    assert MADE_UP.threshold_for(1e-2) == 0.5
    assert MADE_UP.threshold_for(9e-3) == 0.6
    assert MADE_UP.threshold_for(1e-3) == 0.6


def test_a_rate_that_the_data_cannot_show_is_refused_with_what_it_would_need() -> None:
    with pytest.raises(CalibrationUnsupportedError, match="1000 comparisons of 10 people"):
        MADE_UP.threshold_for(9e-4)


@pytest.mark.parametrize(
    "points", [((0.6, 1e-3), (0.5, 1e-2)), ((0.5, 1e-3), (0.6, 1e-2)), ((0.5, 1e-2),) * 2]
)
def test_points_out_of_order_are_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        replace(MADE_UP, points=points)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"model_id": "zz"}'])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Calibration.parse(text)


@pytest.mark.parametrize("name", pack_names())
def test_each_pack_ships_a_calibration_for_the_default_policy(name: str) -> None:
    pack = load_pack(name)
    calibration = shipped()[pack.model_id]
    assert calibration.pack == name
    assert calibration.dimensions == pack.embedder.dimensions
    calibration.threshold_for(1e-4)


def test_the_refusal_says_how_many_more_people_it_takes() -> None:
    """10 people gave 1,000 comparisons; 3,000 take the square root of three times as many."""
    with pytest.raises(CalibrationUnsupportedError, match=r"about 10,000 .* 22 more people"):
        MADE_UP.threshold_for(3e-4)


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("COUNTENANCE_MODELS", str(tmp_path))
    shipped.cache_clear()
    yield tmp_path
    shipped.cache_clear()


def test_a_calibration_of_the_site_takes_the_place_of_the_packs(models_folder: Path) -> None:
    own = replace(MADE_UP, model_id=load_pack("pip").model_id, provenance="our own people")
    for name, one in (("ours", own), ("another", MADE_UP)):
        (models_folder / f"{name}.calibration.json").write_text(one.to_document())
    known = shipped()
    assert known[own.model_id] == own
    assert known[MADE_UP.model_id] == MADE_UP
    assert known[load_pack("open").model_id].pack == "open"


def test_a_file_that_is_no_calibration_is_named(models_folder: Path) -> None:
    (models_folder / "half.calibration.json").write_text("{")
    with pytest.raises(ValueError, match=r"half\.calibration\.json is not a calibration"):
        shipped()
