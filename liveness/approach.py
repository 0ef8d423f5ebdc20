"""Does the face, as it comes closer, bulge as a head does? Against the flat sheet.

Physics: seen from a distance of d eye distances, a point that stands h out of the plane of eyes
and mouth lies farther from the middle by the part h / d. When the face comes closer until it is g
times as large, that part grows by (g - 1) h / d: the nose and the brow swell, cheeks and ears
shrink back. A flat picture, whatever its distance, is only enlarged, and a tilt adds a homography.
So the dense flow from the face before the first move to the one that came closer, both in the
face's affine frame, is fitted as a homography plus an average head's heights; what the heights'
part is, over g - 1, is the *nearness* 1 / d. A flat picture looks infinitely far away.
Sources: Irani and Anandan, Parallax geometry of pairs of points (1996); Fried et al.,
Perspective-aware manipulation of portrait photos (2016), for what distance does to a face.

Guarantees: it can only accuse. A face whose nearness is that of nobody who stands at a terminal,
and whose motion the fit explains, is a flat picture: where the flow of a living face is lost, much
of it stays unexplained.

Limits: a sheet that is bent like a tube swells, too, and so does a mask; they are not accused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from statistics import median

import numpy as np

from face_engine.types import Face, Pixels
from liveness.motion import Pose, read_pose
from liveness.relief import (
    LOOK_EVERY_MS,
    LOOKS_MAX,
    MIDDLE_V,
    NOSE_HALF_HEIGHT,
    NOSE_HALF_WIDTH,
    NOSE_V,
    Array,
    find_flow,
    fit,
    grey_view,
    homography,
    points,
)
from liveness.types import Cue, Outcome

GROWTH_MIN = 1.2
# A head that also turned or nodded shows that parallax, too.
TURN_MAX, NOD_MAX = 0.05, 0.025
LOOKS_MIN = 3
# Three metres away, where the camera asks everybody to come closer anyway.
FARTHEST = 50.0
NEAREST = 6.0
UNEXPLAINED_MAX = 0.006
HEAD_HALF_WIDTH, HEAD_HALF_HEIGHT, HEAD_DEPTH, NOSE_HEIGHT = 1.35, 1.9, 1.15, 0.4


@dataclass(slots=True)
class ApproachTracker:
    """Compares the face that came closer with the face before the first move."""

    _before: tuple[Pixels, Pose] | None = None
    _found: list[float] = field(default_factory=list)
    _unexplained: list[float] = field(default_factory=list)
    _looked_ms: int = -LOOK_EVERY_MS

    def remember(self, pixels: Pixels, face: Face) -> None:
        """The face as it looks straight ahead, before anything is asked."""
        self._before = _look(pixels, face)

    def observe(self, pixels: Pixels, face: Face, at_ms: int) -> None:
        """A frame in which the face is held closer, as asked."""
        if self._before is None or len(self._found) >= LOOKS_MAX:
            return
        if at_ms - self._looked_ms < LOOK_EVERY_MS:
            return
        self._looked_ms = at_ms
        now = _look(pixels, face)
        if now is None:
            return
        (before, first), (view, pose) = self._before, now
        growth = float(np.exp(pose.size - first.size))
        ahead = abs(pose.turn - first.turn) < TURN_MAX and abs(pose.nod - first.nod) < NOD_MAX
        if ahead and growth >= GROWTH_MIN:
            bulge, unexplained = find_bulge(before, view)
            self._found.append(bulge / (growth - 1))
            self._unexplained.append(unexplained)

    @property
    def nearness(self) -> float | None:
        """One over the distance in eye distances; None where too little was seen."""
        return median(self._found) if len(self._found) >= LOOKS_MIN else None

    def cue(self) -> Cue:
        nearness = self.nearness
        if nearness is None:
            return Cue(name="approach", score=0.5, outcome=Outcome.UNDECIDED)
        flat = nearness < 1 / FARTHEST and median(self._unexplained) <= UNEXPLAINED_MAX
        outcome = Outcome.ATTACK if flat else Outcome.UNDECIDED
        score = float(np.clip(nearness * NEAREST, 0, 1))
        return Cue(name="approach", score=score, outcome=outcome)


def _look(pixels: Pixels, face: Face) -> tuple[Pixels, Pose] | None:
    view, pose = grey_view(pixels, face), read_pose(face)
    return None if view is None or pose is None else (view, pose)


def find_bulge(before: Pixels, now: Pixels) -> tuple[float, float]:
    """How much of an average head's heights the flow holds, and the fit's mean error in eye
    distances. Grey views as of ``grey_view``."""
    solution, error = fit(_design(), find_flow(before, now))
    return float(solution[-1]), error


@cache
def _design() -> Array:
    """A homography's eight terms, and what an average head adds when it comes closer."""
    u, v = points()
    down = v - MIDDLE_V
    dome = 1 - (u / HEAD_HALF_WIDTH) ** 2 - (down / HEAD_HALF_HEIGHT) ** 2
    nose = np.exp(-((u / NOSE_HALF_WIDTH) ** 2 + ((v - NOSE_V) / NOSE_HALF_HEIGHT) ** 2) / 2)
    heights = HEAD_DEPTH * np.sqrt(np.clip(dome, 0.02, None)) + NOSE_HEIGHT * nose
    return np.column_stack([*homography(u, down), np.concatenate([heights * u, heights * down])])
