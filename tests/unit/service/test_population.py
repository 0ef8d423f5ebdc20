from __future__ import annotations

import numpy as np
import pytest

from service.verification.population import BINS, BLOCK, compare_all


def vectors(number: int, *, size: int = 128, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(number, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("number", [0, 1, 2, 30, BLOCK + 7])
def test_each_two_are_compared_once(number: int) -> None:
    figures = compare_all(vectors(number), threshold=0.9, seed=1)
    assert figures.accounts == number
    assert figures.comparisons == number * (number - 1) // 2 == sum(figures.histogram)
    assert len(figures.histogram) == BINS
    assert figures.matches == 0
    assert figures.fmr == figures.fmr_lower == 0


def test_the_rate_is_that_of_a_plain_count() -> None:
    drawn = vectors(200, size=8)
    scores = (drawn @ drawn.T)[np.triu_indices(200, 1)]
    figures = compare_all(drawn, threshold=0.6, seed=1)
    assert figures.matches == int((scores >= 0.6).sum()) > 50
    assert figures.fmr == figures.matches / len(scores)
    assert 0 < figures.fmr_lower < figures.fmr


def test_matches_that_share_an_account_show_less() -> None:
    """45 matches within 10 accounts, or between 90."""
    clique, couples = vectors(200), vectors(200)
    clique[:10] = clique[0]
    couples[45:90] = couples[:45]
    shared, apart = (compare_all(each, threshold=0.9, seed=1) for each in (clique, couples))
    assert shared.matches == apart.matches == 45
    assert shared.fmr_lower < apart.fmr_lower < apart.fmr
