"""A trial of a pack on photos of known people: everything that is shown of it.

Guarantee: the same photos, pack and seed give the same figures (times aside).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_engine.calibration import Calibration, shipped
from face_engine.corpus import Corpus, CorpusError, Pairs, Sample
from face_engine.engine import Engine
from face_engine.evaluation import (
    Comparisons,
    Evaluation,
    Rate,
    Resamples,
    compare_all,
    compare_pairs,
    evaluate,
    fmr_at,
    fnmr_at,
)

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
WORKING_FMR = 1e-4
WORST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    score: float
    one: Sample
    two: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """What the pack's own calibration gives on these people: its threshold for ``fmr_asked``."""

    fmr_asked: float
    threshold: float
    fmr: Rate
    fnmr: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group's people among themselves, at one threshold; None where there is no pair."""

    name: str
    people: int
    fmr: Rate | None
    fnmr: Rate | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    engine: Engine
    corpus: Corpus
    genuine: Comparisons
    impostor: Comparisons
    evaluation: Evaluation
    working: Working | None
    groups: tuple[Group, ...]
    seed: int

    @property
    def calibration(self) -> Calibration | None:
        """The one that ships with the pack."""
        return shipped().get(self.engine.model_id)

    @property
    def worst_genuine(self) -> list[Pair]:
        return self._pairs(self.genuine, np.argsort(self.genuine.scores, kind="stable"))

    @property
    def worst_impostor(self) -> list[Pair]:
        return self._pairs(self.impostor, np.argsort(-self.impostor.scores, kind="stable"))

    def _pairs(self, comparisons: Comparisons, order: NDArray[np.intp]) -> list[Pair]:
        samples = self.corpus.samples
        return [
            Pair(
                score=float(comparisons.scores[index]),
                one=samples[comparisons.pictures[index, 0]],
                two=samples[comparisons.pictures[index, 1]],
            )
            for index in order[:WORST]
        ]

    def to_json(self) -> dict[str, object]:
        points = {_name(point.fmr_asked): point for point in self.evaluation.points[:3]}
        return {
            "images": len(self.corpus.roster.pictures),
            "faces_found": len(self.corpus.samples),
            "genuine": len(self.genuine),
            "impostor": len(self.impostor),
            "fnmr_at_fmr": {name: point.fnmr.value for name, point in points.items()},
            "threshold_at_fmr": {name: point.threshold for name, point in points.items()},
            "fmr_support": {name: point.support.value for name, point in points.items()},
            "eer": self.evaluation.eer,
            "ms": {stage: round(ms, 3) for stage, ms in self.corpus.median_ms.items()},
        }


def run_people(engine: Engine, corpus: Corpus, *, seed: int) -> Trial:
    """Everybody against everybody; raises :class:`CorpusError`."""
    genuine, impostor = compare_all(corpus.vectors, corpus.owners)
    return _trial(engine, corpus, genuine, impostor, seed)


def run_pairs(engine: Engine, corpus: Corpus, pairs: Pairs, *, seed: int) -> Trial:
    """The named pairs of which both pictures show a face; raises :class:`CorpusError`."""
    place = {sample.picture: index for index, sample in enumerate(corpus.samples)}
    where = np.array([place.get(picture, -1) for picture in pairs.roster.pictures])
    chosen = where[pairs.pairs]
    found = (chosen >= 0).all(axis=1)
    if not found.any():
        raise CorpusError("no pair has a face in both pictures")
    every = compare_pairs(corpus.vectors, corpus.owners, chosen[found])
    same = pairs.same[found]
    return _trial(engine, corpus, every[same], every[~same], seed)


def _trial(
    engine: Engine, corpus: Corpus, genuine: Comparisons, impostor: Comparisons, seed: int
) -> Trial:
    if not len(genuine) or not len(impostor):
        raise CorpusError(
            "there is nothing to compare: it takes two people, and two photos of one of them"
        )
    evaluation = evaluate(genuine, impostor, rates=RATES, seed=seed)
    working = _working(shipped().get(engine.model_id), genuine, impostor, seed)
    at = working.threshold if working else evaluation.points[1].threshold
    return Trial(
        engine=engine,
        corpus=corpus,
        genuine=genuine,
        impostor=impostor,
        evaluation=evaluation,
        working=working,
        groups=_groups(corpus.roster.groups, genuine, impostor, at, seed),
        seed=seed,
    )


def _working(
    calibration: Calibration | None, genuine: Comparisons, impostor: Comparisons, seed: int
) -> Working | None:
    if calibration is None or calibration.fmr_min > WORKING_FMR:
        return None
    threshold = calibration.threshold_for(WORKING_FMR)
    samples = Resamples(genuine, impostor, np.array([threshold]), seed)
    return Working(
        fmr_asked=WORKING_FMR,
        threshold=threshold,
        fmr=fmr_at(impostor, threshold, samples),
        fnmr=fnmr_at(genuine, threshold, samples),
    )


def _groups(
    groups: Sequence[str | None],
    genuine: Comparisons,
    impostor: Comparisons,
    threshold: float,
    seed: int,
) -> tuple[Group, ...]:
    found = []
    for name in sorted({group for group in groups if group is not None}):
        members = np.flatnonzero([group == name for group in groups])
        ours = genuine.among(members)
        others = impostor.among(members)
        if not len(ours) and not len(others):
            found.append(Group(name=name, people=len(members), fmr=None, fnmr=None))
            continue
        samples = Resamples(ours, others, np.array([threshold]), seed)
        found.append(
            Group(
                name=name,
                people=len(members),
                fmr=fmr_at(others, threshold, samples) if len(others) else None,
                fnmr=fnmr_at(ours, threshold, samples) if len(ours) else None,
            )
        )
    return tuple(found)


def _name(fmr: float) -> str:
    return f"1e-{round(-np.log10(fmr))}"
