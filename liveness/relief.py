"""Is there a nose? Dense flow over a turn of the head, against the flat and the bent sheet.

Physics: two views of one face, each in the face's affine frame, differ by parallax alone: what
stands out of the plane of eyes and mouth moves against it. A flat picture gives the flow of a
homography, whatever its tilt (to the first order: affine plus two perspective terms). A sheet
bent around any axis adds a function of the one coordinate across that axis (it is developable:
Gauss, 1827), here a polynomial of the fourth degree. A head adds a nose, which is a function of
both. So the flow is fitted as homography, plus the best of ``AXES`` cylinders, plus the nose's
bump; what the bump moves, in eye distances, in the direction of the turn is the relief.
Sources: Irani and Anandan, Parallax geometry of pairs of points (1996), for plane plus
parallax; Kroeger et al., Fast optical flow using dense inverse search (2016).

Guarantees: sheets, flat or bent around one axis, show no relief, however they are turned. Only
motion that a sheet explains is called an attack; other motion without relief is undecided.

Limits: a mask with a nose has relief, and so has the video of a head that turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels
from liveness.challenge import Move
from liveness.types import Cue, Outcome
from liveness.view import affine_frame, look

UNIT_PX = 32
CORNER = (-1.1, -0.9)
SIZE_PX = (70, 80)
MIDDLE_V = 0.4
NOSE_V, NOSE_HALF_WIDTH, NOSE_HALF_HEIGHT = 0.58, 0.25, 0.3
AXES = 8
EVERY_PX = 2
REWEIGHTINGS = 3
LOOKS_MAX = 5
LOOK_EVERY_MS = 90
LIVE_MIN = 0.055
ATTACK_MAX = 0.03
SHEET_ERROR_MAX = 0.02

Array = NDArray[np.float64]

# Where the nose goes in the affine frame: u grows to the person's left, v downwards.
DIRECTION = {
    Move.LEFT: (1.0, 0.0),
    Move.RIGHT: (-1.0, 0.0),
    Move.UP: (0.0, -1.0),
    Move.DOWN: (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Parallax:
    """``nose``: how it moved that no sheet can explain, (u, v) in eye distances;
    ``unexplained``: what the best sheet leaves of the whole face's motion, its mean error."""

    nose: Array
    unexplained: float


@dataclass(slots=True)
class ReliefTracker:
    """Compares the face in each held pose with the face before the first move."""

    _before: Pixels | None = None
    _found: dict[int, list[float]] = field(default_factory=dict)
    _unexplained: list[float] = field(default_factory=list)
    _looked_ms: int = -LOOK_EVERY_MS

    def remember(self, pixels: Pixels, face: Face) -> None:
        """The face as it looks straight ahead, before anything is asked."""
        self._before = grey_view(pixels, face)

    def observe(self, pixels: Pixels, face: Face, at_ms: int, step: int, move: Move) -> None:
        """A frame in which ``move``, the plan's ``step``, is held."""
        looks = self._found.setdefault(step, [])
        if move not in DIRECTION or self._before is None or len(looks) >= LOOKS_MAX:
            return
        if at_ms - self._looked_ms < LOOK_EVERY_MS:
            return
        self._looked_ms = at_ms
        now = grey_view(pixels, face)
        if now is not None:
            parallax = find_parallax(self._before, now)
            looks.append(float(parallax.nose @ DIRECTION[move]))
            self._unexplained.append(parallax.unexplained)

    @property
    def relief(self) -> float | None:
        """In eye distances, of the step that shows most; None where no step could be seen.

        A sheet shows none in any step; a head may hide its nose in one.
        """
        found = [median(looks) for looks in self._found.values() if looks]
        return max(found, default=None)

    def cue(self) -> Cue:
        relief = self.relief
        if relief is None:
            return Cue(name="relief", score=0.5, outcome=Outcome.UNDECIDED)
        score = float(np.clip(relief / (LIVE_MIN + ATTACK_MAX), 0, 1))
        if relief >= LIVE_MIN:
            return Cue(name="relief", score=score, outcome=Outcome.LIVE)
        sheet = relief <= ATTACK_MAX and median(self._unexplained) <= SHEET_ERROR_MAX
        outcome = Outcome.ATTACK if sheet else Outcome.UNDECIDED
        return Cue(name="relief", score=score, outcome=outcome)


def grey_view(pixels: Pixels, face: Face) -> Pixels | None:
    """The face in its affine frame: uint8 of ``SIZE_PX``; None for a face that spans none."""
    frame = affine_frame(face)
    if frame is None:
        return None
    view = look(pixels, frame, corner=CORNER, size=SIZE_PX, unit=UNIT_PX)
    return cv2.cvtColor(view, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def find_parallax(before: Pixels, now: Pixels) -> Parallax:
    """``before`` and ``now``: grey views of ``SIZE_PX``, uint8."""
    designs, flow = _designs(), find_flow(before, now)
    sheets = [fit(sheet, flow) for sheet, _ in designs]
    best = int(np.argmin([error for _, error in sheets]))
    solution, _ = fit(designs[best][1], flow)
    return Parallax(solution[-2:], sheets[best][1])


def find_flow(before: Pixels, now: Pixels) -> Array:
    """How the face's :func:`points` moved, in units of the affine frame: all u, then all v."""
    still = np.zeros((*before.shape, 2), np.float32)
    moved = np.asarray(_flow().calc(before, now, still), np.float64)
    return (moved[_inside()] / UNIT_PX).T.reshape(-1)


@cache
def _flow() -> cv2.DISOpticalFlow:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    return flow


@cache
def _inside() -> NDArray[np.bool_]:
    """Some of the face's pixels."""
    y, x = np.mgrid[0 : SIZE_PX[1], 0 : SIZE_PX[0]]
    u, v = x / UNIT_PX + CORNER[0], y / UNIT_PX + CORNER[1]
    inside = (u / 0.8) ** 2 + (v - MIDDLE_V) ** 2 < 1
    return np.asarray(inside & (x % EVERY_PX == 0) & (y % EVERY_PX == 0), np.bool_)


def points() -> tuple[Array, Array]:
    """The (u, v) of every one of them in the affine frame."""
    y, x = np.nonzero(_inside())
    return x / UNIT_PX + CORNER[0], y / UNIT_PX + CORNER[1]


def homography(u: Array, v: Array) -> list[Array]:
    """The flow of a plane: eight terms, to the first order."""
    bent = [np.concatenate([u * u, u * v]), np.concatenate([u * v, v * v])]
    return [*_both(np.ones_like(u), u, v), *bent]


@cache
def _designs() -> list[tuple[Array, Array]]:
    """For each axis the sheet's design, and the same with a nose."""
    u, v = points()
    v = v - MIDDLE_V
    nose_v = v + MIDDLE_V - NOSE_V
    nose = np.exp(-((u / NOSE_HALF_WIDTH) ** 2 + (nose_v / NOSE_HALF_HEIGHT) ** 2) / 2)
    designs = []
    for angle in np.arange(AXES) * np.pi / AXES:
        across = u * np.cos(angle) + v * np.sin(angle)
        sheet = [*homography(u, v), *_both(across**2, across**3, across**4)]
        designs.append((np.column_stack(sheet), np.column_stack([*sheet, *_both(nose)])))
    return designs


def _both(*terms: Array) -> list[Array]:
    """Each term once for the flow's u, once for its v."""
    none = np.zeros_like(terms[0])
    return [np.concatenate(pair) for term in terms for pair in ((term, none), (none, term))]


def fit(design: Array, flow: Array) -> tuple[Array, float]:
    """Least squares, those far off counting less (Huber); the solution and the mean error."""
    weight = np.ones(len(flow) // 2)
    for _ in range(REWEIGHTINGS):
        both = np.concatenate([weight, weight])
        weighted = design * both[:, None]
        solution = np.linalg.solve(
            weighted.T @ weighted + 1e-9 * np.eye(design.shape[1]), weighted.T @ (flow * both)
        )
        error = np.hypot(*(flow - design @ solution).reshape(2, -1))
        weight = np.sqrt(1 / np.maximum(1, error / (2 * np.median(error) + 1e-9)))
    return solution, float(np.sqrt(np.mean(error**2)))
