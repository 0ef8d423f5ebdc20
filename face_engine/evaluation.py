"""From comparison scores to error rates with their bounds: arrays in, figures out.

Guarantees: a pair matches when its score is at least the threshold. Every interval is 95 %,
two-sided, from resampling *people*, because comparisons that share a person are not
independent, and wider the fewer people there are; where no error was seen, its upper end is
the rule of three, 3 / comparisons.
The same seed gives the same figures. NumPy only.

The caller must still ask whether the people measured are like its own. The rule of three
counts comparisons as if they were independent, so its bound is a little too low.

Sources: ISO/IEC 19795-1 (FMR, FNMR, DET, rules of 3 and 30); Bolle, Ratha and Pankanti,
Error analysis of pattern recognition systems: the subsets bootstrap (2004); Hesterberg, What
teachers should know about the bootstrap (2015), section 5.3: the expanded percentile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

BOOTSTRAPS = 1000
LEVELS_PER_DECADE = 16
GENUINE_LEVELS = 128
RULE_OF_3 = 3
RULE_OF_30 = 30
TWO_SIDED = 0.975

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparisons:
    """``scores``: (n,) float64. ``people`` and ``pictures``: (n, 2) int64, the indices of the
    two people, and of the two pictures, that were compared."""

    scores: Floats
    people: Ints
    pictures: Ints

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Comparisons:
        return Comparisons(
            scores=self.scores[chosen], people=self.people[chosen], pictures=self.pictures[chosen]
        )

    @property
    def people_count(self) -> int:
        return len(np.unique(self.people))

    def among(self, people: Ints) -> Comparisons:
        """Those of which both people are of ``people``."""
        return self[np.isin(self.people, people).sum(axis=1) == 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``errors`` of ``comparisons``; ``low`` and ``high`` are the 95 % interval."""

    errors: int
    comparisons: int
    low: float
    high: float

    @property
    def value(self) -> float:
        return self.errors / self.comparisons


class Support(Enum):
    """How far the data carry a false match rate (ISO/IEC 19795-1)."""

    COUNTED = "counted"
    """At least 30 errors are expected: the rate is within about 30 % of what was counted."""
    WEAK = "weak"
    """3 to 30 errors are expected: the order of magnitude is known, little more."""
    NONE = "not supported by the data"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """The lowest threshold at which the measured FMR is at most ``fmr_asked``."""

    fmr_asked: float
    support: Support
    threshold: float
    fmr: Rate
    fnmr: Rate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A detection error trade-off: arrays of shape (levels,), FMR rising.

    ``fnmr_low`` and ``fnmr_high`` are the 95 % band of the FNMR at the same FMR.
    """

    fmr: Floats
    fnmr: Floats
    fnmr_low: Floats
    fnmr_high: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    points: tuple[OperatingPoint, ...]
    curve: Curve
    eer: float


def compare_all(vectors: NDArray[np.float32], owners: Ints) -> tuple[Comparisons, Comparisons]:
    """Each pair of pictures once: (genuine, impostor).

    ``vectors``: (n, dimensions), unit length; ``owners``: (n,), whose picture each is.
    """
    one, two = np.triu_indices(len(vectors), 1)
    every = compare_pairs(vectors, owners, np.stack([one, two], axis=1))
    same = every.people[:, 0] == every.people[:, 1]
    return every[same], every[~same]


def compare_pairs(vectors: NDArray[np.float32], owners: Ints, pairs: Ints) -> Comparisons:
    """The named pairs of pictures, shape (n, 2)."""
    scores = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    return Comparisons(scores=scores.astype(np.float64), people=owners[pairs], pictures=pairs)


def threshold_at(impostor: Floats, fmr: float) -> float:
    """The lowest threshold that at most the part ``fmr`` of ``impostor`` reaches."""
    allowed = int(np.floor(fmr * len(impostor) + 1e-9))
    if allowed >= len(impostor):
        return float(impostor.min())
    return float(np.nextafter(np.sort(impostor)[::-1][allowed], np.inf))


def equal_error_rate(genuine: Floats, impostor: Floats) -> float:
    """The rate at which FMR and FNMR meet, between two thresholds the middle of both."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    fmr, fnmr = _fmr(impostor, thresholds), _fnmr(genuine, thresholds)
    nearest = int(np.argmin(np.abs(fmr - fnmr)))
    return float((fmr[nearest] + fnmr[nearest]) / 2)


def support(fmr: float, comparisons: int) -> Support:
    expected = fmr * comparisons * (1 + 1e-9)
    if expected >= RULE_OF_30:
        return Support.COUNTED
    return Support.WEAK if expected >= RULE_OF_3 else Support.NONE


def evaluate(
    genuine: Comparisons, impostor: Comparisons, *, rates: tuple[float, ...], seed: int
) -> Evaluation:
    """The operating points at ``rates``, the curve and the equal error rate.

    Raises :class:`ValueError` where there is no genuine or no impostor comparison.
    """
    if not len(genuine) or not len(impostor):
        raise ValueError("an evaluation needs genuine and impostor comparisons")
    asked = [threshold_at(impostor.scores, fmr) for fmr in rates]
    thresholds = np.unique(np.concatenate([_levels(genuine.scores, impostor.scores), asked]))
    samples = Resamples(genuine, impostor, thresholds, seed)
    return Evaluation(
        points=tuple(
            OperatingPoint(
                fmr_asked=fmr,
                support=support(fmr, len(impostor)),
                threshold=threshold,
                fmr=fmr_at(impostor, threshold, samples),
                fnmr=fnmr_at(genuine, threshold, samples),
            )
            for fmr, threshold in zip(rates, asked, strict=True)
        ),
        curve=_curve(genuine.scores, impostor.scores, samples),
        eer=equal_error_rate(genuine.scores, impostor.scores),
    )


class Resamples:
    """FMR and FNMR at ``thresholds`` in every resample of the people: (bootstraps, thresholds)."""

    def __init__(
        self, genuine: Comparisons, impostor: Comparisons, thresholds: Floats, seed: int
    ) -> None:
        self.thresholds = thresholds
        self.ends = percentiles(TWO_SIDED, max(genuine.people_count, impostor.people_count))
        people = 1 + max(int(one.people.max()) for one in (genuine, impostor) if len(one))
        self.fmr = np.empty((BOOTSTRAPS, len(thresholds)))
        self.fnmr = np.empty((BOOTSTRAPS, len(thresholds)))
        reached = np.searchsorted(thresholds, impostor.scores, side="right")
        missed = np.searchsorted(thresholds, genuine.scores, side="right")
        for row, drawn in enumerate(draw_people(people, seed)):
            weights = drawn[impostor.people[:, 0]] * drawn[impostor.people[:, 1]]
            self.fmr[row] = 1 - _below(reached, weights, len(thresholds))
            self.fnmr[row] = _below(missed, drawn[genuine.people[:, 0]], len(thresholds))

    def interval(self, rates: Floats, threshold: float) -> tuple[float, float]:
        column = rates[:, int(np.searchsorted(self.thresholds, threshold))]
        low, high = np.nanquantile(column, self.ends)
        return max(0.0, float(low)), float(high)


def fmr_at(impostor: Comparisons, threshold: float, samples: Resamples) -> Rate:
    """``threshold`` is one of those that were resampled."""
    errors = int((impostor.scores >= threshold).sum())
    return _rate(errors, len(impostor), samples.interval(samples.fmr, threshold))


def fnmr_at(genuine: Comparisons, threshold: float, samples: Resamples) -> Rate:
    """``threshold`` is one of those that were resampled."""
    errors = int((genuine.scores < threshold).sum())
    return _rate(errors, len(genuine), samples.interval(samples.fnmr, threshold))


def percentiles(level: float, people: int) -> tuple[float, float]:
    """Where in the resamples ``level`` lies for so few people, and its mirror: (low, high).

    Few people resampled vary less than people do: Student's t, by Cornish and Fisher's series,
    and n / (n - 1) make up for it.
    """
    normal, freedom = NormalDist(), max(people - 1, 1)
    z = normal.inv_cdf(level)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    high = normal.cdf(t * ((freedom + 1) / freedom) ** 0.5)
    return 1 - high, high


def draw_people(people: int, seed: int, bootstraps: int = BOOTSTRAPS) -> Iterator[Floats]:
    """How often each of ``people`` is drawn, for each resample: shape (people,)."""
    random = np.random.default_rng(seed)
    for _ in range(bootstraps):
        drawn = np.bincount(random.integers(0, people, people), minlength=people)
        yield drawn.astype(np.float64)


def _rate(errors: int, comparisons: int, interval: tuple[float, float]) -> Rate:
    low, high = interval
    if not errors:
        high = min(1.0, RULE_OF_3 / comparisons)
    return Rate(errors=errors, comparisons=comparisons, low=low, high=high)


def _below(bins: Ints, weights: Floats, thresholds: int) -> Floats:
    """The weighted part of the scores that lies below each threshold."""
    counts = np.bincount(bins, weights=weights, minlength=thresholds + 1).astype(np.float64)
    total = counts.sum()
    return np.cumsum(counts)[:-1] / total if total else np.full(thresholds, np.nan)


def _fmr(impostor: Floats, thresholds: Floats) -> Floats:
    return 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / len(impostor)


def _fnmr(genuine: Floats, thresholds: Floats) -> Floats:
    return np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)


def _levels(genuine: Floats, impostor: Floats) -> Floats:
    """Thresholds at even steps of log FMR, and at even steps of the genuine scores' ranks."""
    decades = np.log10(len(impostor))
    steps = np.arange(0, decades + 1e-9, 1 / LEVELS_PER_DECADE)
    falling = [threshold_at(impostor, 10.0**-step) for step in steps]
    ranks = np.quantile(genuine, np.linspace(0, 1, GENUINE_LEVELS))
    return np.concatenate([falling, ranks, [np.nextafter(impostor.max(), np.inf)]])


def _curve(genuine: Floats, impostor: Floats, samples: Resamples) -> Curve:
    thresholds = samples.thresholds[::-1]
    fmr, first = np.unique(_fmr(impostor, thresholds), return_index=True)
    # Of the thresholds that share an FMR the lowest misses the fewest.
    fnmr = np.minimum.reduceat(_fnmr(genuine, thresholds), first)
    bands = np.empty((BOOTSTRAPS, len(fmr)))
    for row, (resampled_fmr, resampled_fnmr) in enumerate(
        zip(samples.fmr, samples.fnmr, strict=True)
    ):
        bands[row] = np.interp(fmr, resampled_fmr[::-1], resampled_fnmr[::-1])
    low, high = np.nanquantile(bands, samples.ends, axis=0)
    return Curve(fmr=fmr, fnmr=fnmr, fnmr_low=low, fnmr_high=high)
