"""Error rates against answers that are known beforehand."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_engine.evaluation import (
    Comparisons,
    Floats,
    Resamples,
    Support,
    compare_all,
    compare_pairs,
    equal_error_rate,
    evaluate,
    fmr_at,
    fnmr_at,
    percentiles,
    support,
    threshold_at,
)

PEOPLE = 40
RATES = (1e-2, 1e-3)


def scores(values: list[float]) -> Floats:
    return np.array(values, np.float64)


def comparisons(values: Floats, seed: int = 0, *, genuine: bool = False) -> Comparisons:
    """The scores, dealt out to pairs of ``PEOPLE``."""
    random = np.random.default_rng(seed)
    first = random.integers(0, PEOPLE, len(values))
    other = (first + random.integers(1, PEOPLE, len(values))) % PEOPLE
    people = np.stack([first, first if genuine else other], axis=1)
    return Comparisons(scores=values, people=people, pictures=people)


def normal(mean: float, count: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1, count)


def test_every_pair_is_compared_once_and_sorted_by_whose_it_is() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    genuine, impostor = compare_all(vectors, np.array([0, 0, 1, 2]))
    assert genuine.scores.tolist() == [1.0]
    assert impostor.scores.tolist() == [0.0] * 5
    assert impostor.people_count == 3
    assert impostor.pictures.tolist() == [[0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


def test_named_pairs_keep_their_order() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pairs = np.array([[2, 1], [0, 2]])
    assert compare_pairs(vectors, np.array([5, 6, 6]), pairs).scores.tolist() == pytest.approx(
        [0.8, 0.6]
    )


@pytest.mark.parametrize(
    ("fmr", "matching"), [(0.5, 2), (0.25, 1), (0.24, 0), (0.0, 0), (0.75, 3), (1.0, 4)]
)
def test_the_threshold_lets_through_as_many_impostors_as_asked(fmr: float, matching: int) -> None:
    impostor = scores([0.1, 0.4, 0.2, 0.3])
    assert int((impostor >= threshold_at(impostor, fmr)).sum()) == matching


def test_of_equal_scores_none_is_let_through_where_not_all_may_be() -> None:
    impostor = scores([0.3, 0.3, 0.3, 0.1])
    assert not (impostor >= threshold_at(impostor, 0.5)).any()


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=50),
    st.floats(0, 1),
)
def test_the_measured_rate_never_exceeds_what_was_asked(values: list[float], fmr: float) -> None:
    impostor = scores(values)
    assert (impostor >= threshold_at(impostor, fmr)).mean() <= fmr + 1e-9


@pytest.mark.parametrize(
    ("genuine", "impostor", "rate"),
    [
        ([0.8, 0.9], [0.1, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.5, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.6], 0.25),
    ],
)
def test_the_equal_error_rate_of_few_scores(
    genuine: list[float], impostor: list[float], rate: float
) -> None:
    assert equal_error_rate(scores(genuine), scores(impostor)) == pytest.approx(rate)


@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])
def test_two_normal_laws_have_their_known_equal_error_rate(distance: float) -> None:
    rate = equal_error_rate(normal(distance, 200_000, 1), normal(0, 200_000, 2))
    assert rate == pytest.approx(NormalDist().cdf(-distance / 2), rel=0.02)


def test_the_curve_of_two_normal_laws_is_the_known_one() -> None:
    curve = evaluate(
        comparisons(normal(3, 4_000, 1), genuine=True),
        comparisons(normal(0, 40_000, 2)),
        rates=RATES,
        seed=1,
    ).curve
    assert (np.diff(curve.fmr) > 0).all()
    assert (np.diff(curve.fnmr) <= 0).all()
    known = [NormalDist().cdf(NormalDist().inv_cdf(1 - fmr) - 3) for fmr in curve.fmr[5:-5]]
    inside = (curve.fnmr_low[5:-5] <= known) & (known <= curve.fnmr_high[5:-5])
    assert inside.mean() > 0.9


def test_an_operating_point_says_what_was_measured_at_its_threshold() -> None:
    genuine = comparisons(normal(3, 2_000, 1), genuine=True)
    impostor = comparisons(normal(0, 20_000, 2))
    for point in evaluate(genuine, impostor, rates=RATES, seed=1).points:
        assert point.fmr.value <= point.fmr_asked
        assert point.fmr.value == (impostor.scores >= point.threshold).mean()
        assert point.fnmr.value == (genuine.scores < point.threshold).mean()
        assert point.fmr.low <= point.fmr.value <= point.fmr.high
        assert point.fnmr.low <= point.fnmr.value <= point.fnmr.high


def test_without_an_error_the_upper_bound_is_the_rule_of_three() -> None:
    genuine = comparisons(np.full(60, 0.9), genuine=True)
    impostor = comparisons(np.full(300, 0.1))
    samples = Resamples(genuine, impostor, scores([0.5]), 1)
    assert fmr_at(impostor, 0.5, samples).high == 3 / 300
    assert fnmr_at(genuine, 0.5, samples).high == 3 / 60


def test_comparisons_of_one_person_do_not_narrow_the_interval() -> None:
    """One odd person in forty, photographed more and more often, is still one in forty."""
    highs = []
    for photos in (4, 40):
        people = np.repeat(np.arange(PEOPLE), photos)
        genuine = Comparisons(
            scores=np.where(people == 7, 0.1, 0.9),
            people=np.stack([people, people], axis=1),
            pictures=np.stack([people, people], axis=1),
        )
        samples = Resamples(genuine, comparisons(np.full(300, 0.0)), scores([0.5]), 1)
        highs.append(fnmr_at(genuine, 0.5, samples).high)
    assert highs[0] == pytest.approx(highs[1])
    assert highs[0] >= 3 / PEOPLE


def test_the_interval_holds_the_true_rate_as_often_as_it_says() -> None:
    """Each person has a rate of his own; the mean over everybody is 0.1."""
    held = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        people = np.repeat(np.arange(PEOPLE), 10)
        missed = random.random(len(people)) < random.beta(1, 9, PEOPLE)[people]
        both = np.stack([people, people], axis=1)
        genuine = Comparisons(scores=np.where(missed, 0.1, 0.9), people=both, pictures=both)
        samples = Resamples(genuine, comparisons(np.full(50, 0.0)), scores([0.5]), seed)
        rate = fnmr_at(genuine, 0.5, samples)
        held += rate.low <= 0.1 <= rate.high
    assert held >= 90


def test_fewer_people_take_wider_percentiles() -> None:
    _, few = percentiles(0.975, 5)
    _, many = percentiles(0.975, 10_000)
    assert many == pytest.approx(0.975, abs=1e-4)
    assert 0.99 < few < 1.0


@pytest.mark.parametrize(
    ("fmr", "count", "said"),
    [
        (1e-3, 30_000, Support.COUNTED),
        (1e-3, 29_999, Support.WEAK),
        (1e-3, 3_000, Support.WEAK),
        (1e-3, 2_999, Support.NONE),
    ],
)
def test_the_rules_of_thirty_and_of_three(fmr: float, count: int, said: Support) -> None:
    assert support(fmr, count) is said


def test_without_comparisons_there_is_no_evaluation() -> None:
    some, none = comparisons(scores([0.1])), comparisons(scores([]))
    for genuine, impostor in ((some, none), (none, some)):
        with pytest.raises(ValueError, match="genuine and impostor"):
            evaluate(genuine, impostor, rates=RATES, seed=1)


def test_the_same_seed_gives_the_same_figures() -> None:
    genuine = comparisons(normal(3, 500, 1), genuine=True)
    impostor = comparisons(normal(0, 5_000, 2))
    one, two = (evaluate(genuine, impostor, rates=RATES, seed=3) for _ in range(2))
    assert one.points == two.points
    assert (one.curve.fnmr_high == two.curve.fnmr_high).all()
