"""Calibrations hold their promise on people that they were not made from."""

from __future__ import annotations

import numpy as np
import pytest

from face_engine.calibrate import (
    TooFewPeopleError,
    calibrate,
    tail_survival,
    upper_bounds,
)
from face_engine.calibration import Calibration, CalibrationUnsupportedError
from face_engine.evaluation import Comparisons, Floats, compare_all

DIMENSIONS = 32
SEEDS = 20


def crowd(people: int, photos: int, seed: int) -> Comparisons:
    """Impostor comparisons of people in a random direction each, photos scattered around it."""
    random = np.random.default_rng(seed)
    middles = random.normal(size=(people, 1, DIMENSIONS))
    vectors = middles + 0.7 * random.normal(size=(people, photos, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    flat = vectors.reshape(-1, DIMENSIONS).astype(np.float32)
    return compare_all(flat, np.repeat(np.arange(people), photos))[1]


def made(impostor: Comparisons, seed: int = 1) -> Calibration:
    return calibrate(
        impostor, model_id=b"m" * 16, pack="test", dimensions=DIMENSIONS, provenance="", seed=seed
    )


@pytest.fixture(scope="module")
def population() -> Floats:
    """Scores of people that no calibration here has seen."""
    return np.sort(crowd(500, 2, seed=10_000).scores)


@pytest.mark.parametrize("fmr", [1e-2, 1e-3, 1e-4])
def test_the_rate_of_the_population_is_at_most_the_bound(population: Floats, fmr: float) -> None:
    kept = 0
    for seed in range(SEEDS):
        threshold = made(crowd(30, 8, seed), seed).threshold_for(fmr)
        kept += np.mean(population >= threshold) <= fmr
    assert kept >= 18


def test_the_bound_is_not_far_from_the_rate(population: Floats) -> None:
    threshold = made(crowd(100, 5, 1)).threshold_for(1e-3)
    assert np.mean(population >= threshold) > 2e-4


def test_a_rate_below_one_comparison_in_all_is_refused() -> None:
    impostor = crowd(20, 5, 1)
    calibration = made(impostor)
    assert calibration.fmr_min == pytest.approx(1 / len(impostor), rel=0.01)
    with pytest.raises(CalibrationUnsupportedError, match="more people"):
        calibration.threshold_for(0.5 / len(impostor))


def test_people_who_look_alike_raise_the_threshold() -> None:
    impostor = crowd(20, 5, 1)
    twins = (impostor.people == (0, 1)).all(axis=1)
    alike = Comparisons(
        scores=np.where(twins, 0.9, impostor.scores),
        people=impostor.people,
        pictures=impostor.pictures,
    )
    assert twins.mean() < 0.006
    assert made(alike).threshold_for(1e-2) > made(impostor).threshold_for(1e-2)
    assert made(alike).threshold_for(5e-3) > 0.9
    with pytest.raises(CalibrationUnsupportedError, match="more people"):
        made(alike).threshold_for(1e-3)


def test_bounds_fall_and_never_lie_below_what_was_counted() -> None:
    impostor = crowd(20, 5, 3)
    thresholds, bounds = upper_bounds(impostor, seed=1)
    assert (np.diff(bounds) <= 0).all()
    counted = 1 - np.searchsorted(np.sort(impostor.scores), thresholds) / len(impostor)
    assert (bounds >= counted - 1e-12).all()


@pytest.mark.parametrize(("people", "photos"), [(9, 30), (10, 2)])
def test_too_few_people_make_no_calibration(people: int, photos: int) -> None:
    with pytest.raises(TooFewPeopleError, match="needs 10 people and 2500 comparisons"):
        made(crowd(people, photos, 1))


def test_the_same_comparisons_and_seed_give_the_same_document() -> None:
    one, two = (made(crowd(12, 8, 1)).to_document() for _ in range(2))
    assert one == two
    assert Calibration.parse(one).to_document() == one


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_fit_finds_the_law_of_the_tail(shape: float) -> None:
    """Hosking's sign: a positive shape ends the tail."""
    uniform = np.random.default_rng(1).random(20_000)
    over = -np.log(uniform) if shape == 0 else (1 - uniform**shape) / shape
    at = np.array([0.5, 1.0, 2.0])
    law = np.exp(-at) if shape == 0 else (1 - shape * at) ** (1 / shape)
    found = tail_survival(np.sort(over), np.ones(len(over)), at)
    assert found == pytest.approx(law, rel=0.06)


def test_a_tail_of_equal_scores_ends_there() -> None:
    found = tail_survival(np.full(50, 0.1), np.ones(50), np.array([0.05, 0.1, 0.2]))
    assert found[2] < 1e-6
