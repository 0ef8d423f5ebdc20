"""Makes a calibration from comparisons of different people.

Down to the rate at which ``RULE_OF_30`` of them still reach the threshold, the false match
rate is counted. Beyond, the scores' tail is fitted with a generalized Pareto distribution, and
the bound is the larger of the fit's and the count's, never below one comparison in all those
made: what lies beyond is refused. Every bound is the 95th percentile over resamples of people,
expanded for few people.

The caller must still bring comparisons of people who are like its own, each person under one
index, none under two.

Sources: ISO/IEC 19795-1; ISO/IEC 5152 (extrapolation by extreme value theory); Hosking and
Wallis, Parameter and quantile estimation for the generalized Pareto distribution (1987).
"""

from __future__ import annotations

import numpy as np

from face_engine.calibration import Calibration
from face_engine.evaluation import (
    BOOTSTRAPS,
    RULE_OF_30,
    Comparisons,
    Floats,
    draw_people,
    percentiles,
    threshold_at,
)

TAIL = 0.02
STATED_MAX = 0.01
PEOPLE_MIN = 10
TAIL_SCORES_MIN = 50
ONE_SIDED = 0.95
POINTS_PER_DECADE = 20
THRESHOLDS = 1000
STEP = 1e-4


class TooFewPeopleError(Exception):
    """Comparisons from which no false match rate can be stated."""


def calibrate(
    impostor: Comparisons,
    *,
    model_id: bytes,
    pack: str,
    dimensions: int,
    provenance: str,
    seed: int,
) -> Calibration:
    """Raises :class:`TooFewPeopleError`."""
    thresholds, bounds = upper_bounds(impostor, seed=seed)
    return Calibration(
        model_id=model_id,
        pack=pack,
        dimensions=dimensions,
        provenance=provenance,
        people=impostor.people_count,
        impostor_comparisons=len(impostor),
        counted_fmr_min=float(f"{RULE_OF_30 / len(impostor):.3g}"),
        points=_points(thresholds, bounds, least=1 / len(impostor)),
    )


def upper_bounds(impostor: Comparisons, *, seed: int) -> tuple[Floats, Floats]:
    """Thresholds, multiples of ``STEP``, and the FMR's 95 % upper bound at each, falling.

    Raises :class:`TooFewPeopleError`.
    """
    people = impostor.people_count
    if people < PEOPLE_MIN or len(impostor) * TAIL < TAIL_SCORES_MIN:
        raise TooFewPeopleError(
            f"{len(impostor)} comparisons of {people} people: a calibration needs "
            f"{PEOPLE_MIN} people and {TAIL_SCORES_MIN / TAIL:.0f} comparisons at least"
        )
    start = threshold_at(impostor.scores, TAIL)
    thresholds = np.unique(np.ceil(np.linspace(start, 1, THRESHOLDS) / STEP)) * STEP
    counted, fitted = _resample(impostor, start, thresholds, seed)
    reached = len(impostor) - np.searchsorted(np.sort(impostor.scores), thresholds)
    bounds = np.where(reached >= RULE_OF_30, counted, np.maximum(counted, fitted))
    # A higher threshold never has a higher rate: where the estimates disagree, the worse counts.
    return thresholds, np.maximum.accumulate(bounds[::-1])[::-1]


def _resample(
    impostor: Comparisons, start: float, thresholds: Floats, seed: int
) -> tuple[Floats, Floats]:
    """The bounds by counting and by the fit, over resamples of people."""
    labels, dense = np.unique(impostor.people, return_inverse=True)
    people = len(labels)
    dense = dense.reshape(-1, 2)
    pairs = np.zeros((people, people))
    np.add.at(pairs, (dense[:, 0], dense[:, 1]), 1)
    tail = np.flatnonzero(impostor.scores >= start)
    tail = tail[np.argsort(impostor.scores[tail], kind="stable")]
    over, first, second = impostor.scores[tail] - start, dense[tail, 0], dense[tail, 1]
    at = np.searchsorted(over, thresholds - start)
    counted = np.zeros((BOOTSTRAPS, len(thresholds)), np.float32)
    fitted = np.zeros((BOOTSTRAPS, len(thresholds)), np.float32)
    for row, drawn in enumerate(draw_people(people, seed)):
        weights, total = drawn[first] * drawn[second], float(drawn @ pairs @ drawn)
        mass = float(weights.sum())
        if not mass:
            continue
        above = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
        counted[row] = above[at] / total
        fitted[row] = tail_survival(over, weights, thresholds - start) * mass / total
    _, level = percentiles(ONE_SIDED, people)
    return (
        np.quantile(counted, level, axis=0).astype(np.float64),
        np.quantile(fitted, level, axis=0).astype(np.float64),
    )


def tail_survival(over: Floats, weights: Floats, at: Floats) -> Floats:
    """P(exceedance > ``at``) by a generalized Pareto fit to the exceedances ``over``.

    ``over``: (n,), rising, with ``weights`` (n,); the fit is by probability-weighted moments.
    """
    mass = weights.sum()
    above = 1 - (np.cumsum(weights) - weights / 2) / mass
    mean = float((over * weights).sum() / mass)
    moment = float((over * weights * above).sum() / mass)
    spread = mean - 2 * moment
    if spread <= 0:
        return np.where(at <= over[-1], 1.0, 0.0)
    # In the authors' sign: a positive shape ends the tail.
    shape, scale = mean / spread - 2, 2 * mean * moment / spread
    if abs(shape) < 1e-6:
        return np.exp(-at / scale)
    survival: Floats = np.clip(1 - shape * at / scale, 0, None) ** (1 / shape)
    return survival


def _points(thresholds: Floats, bounds: Floats, *, least: float) -> tuple[tuple[float, float], ...]:
    """The lowest threshold for each rate, ``POINTS_PER_DECADE``, down to ``least``."""
    decades = np.log10(STATED_MAX / least)
    steps = np.arange(0, decades * POINTS_PER_DECADE) / POINTS_PER_DECADE
    points: dict[float, float] = {}
    for rate in [*(STATED_MAX * 10.0**-steps), least]:
        stated = float(f"{rate:.3g}")
        supported = np.flatnonzero(bounds <= stated)
        if supported.size:
            points[round(float(thresholds[supported[0]]), 4)] = stated
    return tuple(points.items())
