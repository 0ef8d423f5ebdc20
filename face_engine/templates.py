"""From the frames of one capture to what is enrolled or sent: references, or one probe.

Guarantees: frames that are not of one person, or of different models, give
:class:`Disagreement` or :class:`ValueError`, never an embedding of nobody. The same candidates
in the same order give the same result. NumPy only.

The caller must still bring candidates of one ceremony, without flaws
(:mod:`face_engine.quality`), and the pack's own threshold for one person
(:meth:`face_engine.calibration.Calibration.threshold_for`).

Terms: ISO/IEC 2382-37 (reference, probe); ISO/IEC 29794-5 (unified quality score).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_engine.types import Embedding, Vector

REFERENCES_MAX = 5
APART_DEG = 8.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One good frame. ``quality``: the unified score, above 0 to 100; the angles are degrees."""

    embedding: Embedding
    quality: float
    yaw_deg: float
    pitch_deg: float

    def __post_init__(self) -> None:
        if not 0 < self.quality <= 100:
            raise ValueError("quality is above 0 and at most 100")


class Disagreement:
    """The frames are not of one person. It says no more: scores stay inside."""


def choose_references(
    candidates: Sequence[Candidate], *, same_person_min: float, maximum: int = REFERENCES_MAX
) -> tuple[Embedding, ...] | Disagreement:
    """Up to ``maximum`` embeddings that differ in pose: the most frontal good one first.

    Each next one is the candidate that turns furthest from all chosen; where none turns
    ``APART_DEG`` away, there are fewer. Any two candidates below the cosine
    ``same_person_min`` are a disagreement. Raises :class:`ValueError` for no candidate, more
    than one model, or a maximum below 1.
    """
    if maximum < 1:
        raise ValueError("at least one reference")
    if _disagree(candidates, same_person_min):
        return Disagreement()
    waiting = sorted(candidates, key=_frontality, reverse=True)
    chosen = [waiting.pop(0)]
    while waiting and len(chosen) < maximum:
        furthest = max(waiting, key=lambda one: (_apart_deg(one, chosen), one.quality))
        if _apart_deg(furthest, chosen) < APART_DEG:
            break
        waiting.remove(furthest)
        chosen.append(furthest)
    return tuple(one.embedding for one in chosen)


def pool(candidates: Sequence[Candidate], *, same_person_min: float) -> Embedding | Disagreement:
    """The quality-weighted mean of the candidates, of unit length.

    Raises :class:`ValueError` for no candidate or more than one model.
    """
    if _disagree(candidates, same_person_min):
        return Disagreement()
    weights = np.array([one.quality for one in candidates])
    mean = weights @ np.stack([one.embedding.vector for one in candidates]).astype(np.float64)
    vector: Vector = (mean / np.linalg.norm(mean)).astype(np.float32)
    return Embedding(vector=vector, model_id=candidates[0].embedding.model_id)


def _disagree(candidates: Sequence[Candidate], same_person_min: float) -> bool:
    if not candidates:
        raise ValueError("no candidates")
    if len({one.embedding.model_id for one in candidates}) > 1:
        raise ValueError("candidates of different models")
    vectors = np.stack([one.embedding.vector for one in candidates])
    return bool((vectors @ vectors.T).min() < same_person_min)


def _frontality(one: Candidate) -> float:
    """Quality, discounted for every degree away from the camera."""
    return one.quality - _angle_deg(one.yaw_deg, one.pitch_deg)


def _apart_deg(one: Candidate, chosen: Sequence[Candidate]) -> float:
    return min(
        _angle_deg(one.yaw_deg - other.yaw_deg, one.pitch_deg - other.pitch_deg) for other in chosen
    )


def _angle_deg(yaw_deg: float, pitch_deg: float) -> float:
    return float(np.hypot(yaw_deg, pitch_deg))
