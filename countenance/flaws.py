"""What flaws of a picture cost: photos of known people, made worse step by step.

A degraded photo is compared with the person's other photos as they are. The limits of
:mod:`face_engine.quality` are to be read off the figures: a flaw should be named before it
costs matches, and not long before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean, median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from countenance.degradations import DEGRADATIONS, Degradation
from countenance.trial import WORKING_FMR, working_threshold
from face_engine.corpus import Corpus, CorpusError, Sample
from face_engine.engine import Engine
from face_engine.quality import ENROLMENT, PROBE, Flaw, assess, find_flaw
from face_engine.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One degraded photo; ``scores``: with the person's other photos, none without a face."""

    enrolment: Flaw | None
    probe: Flaw | None
    measure: float
    quality: float
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Shares are 0 to 1; ``measure`` and ``score`` are medians, None where no face was found."""

    name: str
    level: str
    pictures: int
    found: float
    measure: float | None
    score: float | None
    fnmr: float
    refused_enrolment: float
    refused_probe: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaws:
    """``rank_correlation``: of the unified score with the match score (Spearman)."""

    rows: tuple[Row, ...]
    threshold: float
    rank_correlation: float
    assess_ms: float


def steps() -> int:
    return 1 + sum(len(degradation.levels) for degradation in DEGRADATIONS)


def chosen(corpus: Corpus, photos: int) -> list[Sample]:
    """Up to ``photos`` of each person of whom there are several."""
    by_person: dict[int, list[Sample]] = {}
    for sample in corpus.samples:
        by_person.setdefault(sample.picture.person, []).append(sample)
    return [one for own in by_person.values() if len(own) > 1 for one in own[:photos]]


def measure(
    engine: Engine, corpus: Corpus, photos: int, done: Callable[[], None] = lambda: None
) -> Flaws:
    """Calls ``done`` once for each photo and step.

    Raises :class:`CorpusError` where the pack has no threshold to measure by.
    """
    threshold = working_threshold(engine)
    if threshold is None:
        raise CorpusError(f"no calibration of the pack shows an FMR of {WORKING_FMR:g}")
    seen: dict[tuple[str, str], list[Seen]] = {}
    times: list[float] = []
    for sample in chosen(corpus, photos):
        pixels = sample.picture.read()
        others = np.stack(
            [
                other.embedding.vector
                for other in corpus.samples
                if other.picture.person == sample.picture.person and other is not sample
            ]
        )
        started = perf_counter()
        assess(pixels, sample.face)
        times.append(1000 * (perf_counter() - started))
        for name, level, field, worse in _degraded(pixels, sample):
            seen.setdefault((name, level), []).append(_look(engine, worse, field, others))
            done()
    every = [one for ones in seen.values() for one in ones if one.scores]
    return Flaws(
        rows=tuple(_row(name, level, ones, threshold) for (name, level), ones in seen.items()),
        threshold=threshold,
        rank_correlation=_spearman(
            np.array([one.quality for one in every]), np.array([mean(one.scores) for one in every])
        ),
        assess_ms=median(times),
    )


def _degraded(pixels: Pixels, sample: Sample) -> Iterator[tuple[str, str, str, Pixels]]:
    yield "as they are", "", "sharpness", pixels
    for one in DEGRADATIONS:
        for level in one.levels:
            yield one.name, _level(one, level), one.measure, one.apply(pixels, sample.face, level)


def _level(degradation: Degradation, level: float) -> str:
    return f"{level:g} {degradation.unit}"


def _look(engine: Engine, pixels: Pixels, field: str, others: NDArray[np.float32]) -> Seen:
    faces = engine.detect(pixels)
    enrolment, probe = (find_flaw(pixels, faces[:1], limits) for limits in (ENROLMENT, PROBE))
    if not faces:
        return Seen(enrolment=enrolment, probe=probe, measure=0.0, quality=0.0, scores=())
    quality = assess(pixels, faces[0])
    return Seen(
        enrolment=enrolment,
        probe=probe,
        measure=float(getattr(quality, field)),
        quality=quality.score,
        scores=tuple(map(float, others @ engine.embed(pixels, faces[0]).vector)),
    )


def _row(name: str, level: str, seen: list[Seen], threshold: float) -> Row:
    found = [one for one in seen if one.scores]
    scores = [score for one in found for score in one.scores]
    return Row(
        name=name,
        level=level,
        pictures=len(seen),
        found=len(found) / len(seen),
        measure=median(one.measure for one in found) if found else None,
        score=median(scores) if scores else None,
        fnmr=mean(score < threshold for score in scores) if scores else 1.0,
        refused_enrolment=mean(one.enrolment is not None for one in seen),
        refused_probe=mean(one.probe is not None for one in seen),
    )


def _spearman(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    first, second = (np.argsort(np.argsort(values)).astype(np.float64) for values in (one, two))
    return float(np.corrcoef(first, second)[0, 1])
