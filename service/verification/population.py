"""Does the population that enrolled match itself more often than the policy allows?

A shipped calibration was measured on other people. Here references of different accounts are
compared with each other, which is what an impostor of the same population would look like.
Pure: vectors in, figures out.

Guarantee: nothing but counts comes out. The lower bound of the false match rate is the 5th
percentile over bootstrap samples of accounts: comparisons that share an account are not
independent (ISO/IEC 19795-1), so a rate is called too high only where the sample shows it.

Limit: somebody who enrolled twice counts as two people who match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 200
BOOTSTRAPS = 400
LOWER_QUANTILE = 0.05
BLOCK = 512

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationFigures:
    """``histogram`` counts the comparisons by cosine: ``BINS`` bins from -1 to 1."""

    accounts: int
    comparisons: int
    matches: int
    fmr: float
    fmr_lower: float
    histogram: tuple[int, ...]


def compare_all(vectors: Vectors, *, threshold: float, seed: int) -> PopulationFigures:
    """Compares each two of ``vectors``, shape (accounts, dimensions), unit length, once.

    Takes memory for ``BLOCK`` rows of comparisons at a time.
    """
    accounts = len(vectors)
    histogram = np.zeros(BINS, np.int64)
    pairs: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for start in range(0, accounts, BLOCK):
        scores = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(start, start + len(scores))[:, None]
        later = np.arange(accounts)[None, :] > rows
        histogram += np.histogram(scores[later], BINS, (-1.0, 1.0))[0]
        one, two = np.nonzero((scores >= threshold) & later)
        pairs.append((one + start, two))
    first = np.concatenate([one for one, _ in pairs]) if pairs else np.zeros(0, np.intp)
    second = np.concatenate([two for _, two in pairs]) if pairs else np.zeros(0, np.intp)
    comparisons = accounts * (accounts - 1) // 2
    return PopulationFigures(
        accounts=accounts,
        comparisons=comparisons,
        matches=len(first),
        fmr=len(first) / comparisons if comparisons else 0.0,
        fmr_lower=_lower_bound(first, second, accounts, seed),
        histogram=tuple(int(count) for count in histogram),
    )


def _lower_bound(
    first: NDArray[np.intp], second: NDArray[np.intp], accounts: int, seed: int
) -> float:
    if not len(first):
        return 0.0
    random = np.random.default_rng(seed)
    rates = []
    for _ in range(BOOTSTRAPS):
        drawn = np.bincount(random.integers(0, accounts, accounts), minlength=accounts)
        comparisons = (accounts**2 - int((drawn**2).sum())) / 2
        rates.append(float((drawn[first] * drawn[second]).sum()) / max(comparisons, 1.0))
    return float(np.quantile(rates, LOWER_QUANTILE))
