"""Is there a sheet or a device around the face: straight edges on several sides that ride with it?

Physics: paper and displays end in straight edges, and these move as the picture on them does. So
when the face moves before the camera, or comes closer, they stay where they are in the face's own
affine frame, while door frames, shelves and pictures behind a person stay where they are before
the camera. Gradients of several frames, each divided by its strength, are averaged in both frames:
what is still in the face's and not in the camera's *rides* with the face. Along every straight
line above, beside and below the head, the part that rides is measured; a sheet covers the upper
side and two others. Collars, hair, scarves, hats and glasses are not straight over such lengths, or
not on three sides. What else is in the picture must not ride: where it does, the camera moved.
Sources: Duda and Hart, Use of the Hough transformation to detect lines (1972); Kollreider,
Fronthaler and Bigun, Non-intrusive liveness detection by face images (2009), for the scenery that
does not move with a face.

Guarantees: it can only accuse, and only where face and scenery moved against each other.

Limits: a sheet whose edges lie outside the picture, and a display that replays a head which moves
within it, are not found; nor is a mask. A person in a frame that they carry is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels
from liveness.motion import Pose, read_pose
from liveness.types import Cue, Outcome
from liveness.view import Matrix, affine_frame, look

UNIT_PX = 20
CORNER = (-3.4, -2.8)
SIDE_PX = 136
FRAMES_MIN, FRAMES_MAX = 5, 14
# A frame counts if the face went so far since all others, in eye distances.
STEP_MIN = 0.2
TURN_MAX, NOD_MAX = 0.08, 0.05
FAINT = 4.0
RIDES_MIN = 0.25
STAYS_FACTOR = 0.7
EDGE_PX = 4
SLOPES = np.linspace(-0.25, 0.25, 21)
ATTACK_MIN = 0.7
SCENERY_MIN = 0.25
SCENERY_PX_MIN = 60
MARGIN = 0.1
LOWEST = 1.7

Array = NDArray[np.float32]
_AROUND = np.array([[-2.0, 2, -2, 2], [-2, -2, 2, 2], [1, 1, 1, 1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Where one edge of a sheet may be, in the affine frame: ``along`` are the places (first,
    last) that it must cover on one axis, ``across`` those where it may lie on the other."""

    upright: bool
    along: tuple[float, float]
    across: tuple[float, float]


TOP = Side(upright=False, along=(-1.2, 1.2), across=(-2.7, -1.0))
SIDES = (
    TOP,
    Side(upright=True, along=(-0.8, 1.7), across=(-3.3, -1.15)),
    Side(upright=True, along=(-0.8, 1.7), across=(1.15, 3.3)),
    Side(upright=False, along=(-1.2, 1.2), across=(1.7, 3.9)),
)


@dataclass(slots=True)
class Still:
    """The mean of what is seen in one frame: gradients, their strengths, how often seen."""

    gradient: Array = field(default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX, 2), np.float32))
    strength: Array = field(default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX), np.float32))
    seen: Array = field(default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX), np.float32))

    def add(self, pixels: Pixels, frame: Matrix) -> None:
        view = look(pixels, frame, corner=CORNER, size=(SIDE_PX, SIDE_PX), unit=UNIT_PX)
        grey = cv2.GaussianBlur(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), (3, 3), 0)
        down, across = (cv2.Scharr(grey, cv2.CV_32F, *axis) / 32 for axis in ((0, 1), (1, 0)))
        steep = np.hypot(across, down)
        inside = _inside(frame, pixels.shape[:2])
        scaled = inside / (steep + FAINT)
        self.gradient += np.dstack([across, down]) * scaled[..., None]
        self.strength += steep * scaled
        self.seen += inside

    def mean(self) -> tuple[Array, Array]:
        seen = np.maximum(self.seen, 1)
        often = self.seen >= FRAMES_MIN - 2
        part = np.asarray(often / seen, np.float32)
        return self.gradient * part[..., None], self.strength * part


@dataclass(slots=True)
class BorderTracker:
    """Feed it all frames; it takes those that show the face as the first did, elsewhere."""

    _first: tuple[Pose, Matrix] | None = None
    _places: list[Matrix] = field(default_factory=list)
    _riding: Still = field(default_factory=Still)
    _standing: Still = field(default_factory=Still)
    _judged: tuple[int, float] = (0, 0.0)

    def observe(self, pixels: Pixels, face: Face) -> None:
        pose, frame = read_pose(face), affine_frame(face)
        if pose is None or frame is None or len(self._places) >= FRAMES_MAX:
            return
        first, where = self._first = self._first or (pose, frame)
        if abs(pose.turn - first.turn) > TURN_MAX or abs(pose.nod - first.nod) > NOD_MAX:
            return
        step = STEP_MIN * float(np.linalg.norm(frame[:, 0]))
        if any(float(np.abs((frame - other) @ _AROUND).max()) < step for other in self._places):
            return
        self._places.append(frame)
        self._riding.add(pixels, frame)
        self._standing.add(pixels, where)

    @property
    def covered(self) -> float | None:
        """How much of the upper edge and of two others is there and rides with the face, the least
        of the three; None where face and scenery did not move against each other."""
        frames = len(self._places)
        if frames < FRAMES_MIN:
            return None
        if self._judged[0] != frames:
            self._judged = frames, find_border(self._riding, self._standing, self._places)
        return self._judged[1]

    def cue(self) -> Cue:
        covered = self.covered
        if covered is None:
            return Cue(name="border", score=0.5, outcome=Outcome.UNDECIDED)
        outcome = Outcome.ATTACK if covered >= ATTACK_MIN else Outcome.UNDECIDED
        return Cue(name="border", score=1 - covered, outcome=outcome)


def find_border(riding: Still, standing: Still, places: list[Matrix]) -> float:
    """0 to 1; 0 where the scenery rides, too, or too little of it is seen.

    ``places``: the face's affine frames, that of ``standing`` first.
    """
    gradient, _ = riding.mean()
    still, _ = standing.mean()
    stays = cv2.dilate(np.hypot(still[..., 0], still[..., 1]), np.ones((3, 3), np.uint8))
    rides = np.maximum(np.abs(gradient) - STAYS_FACTOR * stays[..., None], 0) * np.sign(gradient)
    found = [_best(rides, side) for side in SIDES]
    (top, _), *others = found
    least = min(top, sorted(covered for covered, _ in others)[1])
    if least < ATTACK_MIN:
        return least
    beyond = _beyond(found, places)
    stands, is_seen = _coherence(standing, beyond)
    rode, _ = _coherence(riding, beyond)
    return least if is_seen and stands > rode else 0.0


def _best(rides: Array, side: Side) -> tuple[float, float]:
    """How much of that side's best line rides, with the brighter part always on one hand; where."""
    rows, columns, offsets = _lines(side)
    edge = np.ascontiguousarray(rides[..., 0] if side.upright else rides[..., 1].T)
    best = (0.0, 0.0)
    for sign in (1, -1):
        near = cv2.dilate(sign * edge, np.ones((1, 3), np.uint8)) > RIDES_MIN
        covered = near[rows, columns].mean(axis=1)
        line = int(np.argmax(covered))
        best = max(best, (float(covered[line]), float(offsets[line])))
    return best


def _beyond(found: list[tuple[float, float]], places: list[Matrix]) -> NDArray[np.bool_]:
    """Beside and above the sheet, wherever it went; below it is the hand that holds it."""
    v, u = _grid()
    to_first = np.linalg.inv(np.vstack([places[0], [0, 0, 1]]))
    beyond = np.zeros(u.shape, bool)
    for side, (covered, offset) in zip(SIDES, found, strict=True):
        if covered < ATTACK_MIN or (offset > 0 and not side.upright):
            continue
        middle = (offset, sum(side.along) / 2, 1) if side.upright else (0, offset, 1)
        went = [(to_first @ [*(place @ middle), 1])[0 if side.upright else 1] for place in places]
        hand = np.sign(offset)
        farthest = max(hand * each for each in went) + MARGIN
        beyond |= hand * (u if side.upright else v) > farthest
    return np.asarray(beyond & (v < LOWEST), np.bool_)


def _coherence(still: Still, where: NDArray[np.bool_]) -> tuple[float, bool]:
    """How much of the gradients there stands still, 0 to 1; and whether there are enough."""
    gradient, strength = still.mean()
    there = where & (strength > SCENERY_MIN)
    kept = np.hypot(gradient[..., 0], gradient[..., 1])[there].sum()
    return float(kept / max(strength[there].sum(), 1e-6)), bool(there.sum() >= SCENERY_PX_MIN)


@cache
def _grid() -> NDArray[np.float64]:
    """The view's v and u, each (``SIDE_PX``, ``SIDE_PX``)."""
    corner = np.array(CORNER[::-1])[:, None, None]
    return np.asarray(np.mgrid[0:SIDE_PX, 0:SIDE_PX] / UNIT_PX + corner, np.float64)


def _inside(frame: Matrix, shape: tuple[int, int]) -> Array:
    """1 where the view shows the picture, 0 beyond its edge."""
    v, u = _grid()
    x, y = (along * u + down * v + start for along, down, start in frame)
    height, width = shape
    beside, over = np.abs(x - width / 2), np.abs(y - height / 2)
    inside = (beside < width / 2 - EDGE_PX) & (over < height / 2 - EDGE_PX)
    return np.asarray(inside, np.float32)


@cache
def _lines(side: Side) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """The pixels of every line: rows (points), columns (lines, points); and the lines' places."""
    along_from, across_from = CORNER[::-1] if side.upright else CORNER
    along = np.arange(*side.along, 1 / UNIT_PX)
    offsets = np.arange(*side.across, 1 / UNIT_PX)
    rows = np.rint((along - along_from) * UNIT_PX).astype(np.intp)
    slant = SLOPES[:, None, None] * (along - along.mean())
    across = (offsets[:, None] + slant).reshape(-1, along.size) - across_from
    columns = np.rint(across * UNIT_PX).astype(np.intp)
    whole = ((columns >= 0) & (columns < SIDE_PX)).all(axis=1)
    places = np.tile(offsets, SLOPES.size).astype(np.float32)
    return rows, columns[whole], places[whole]
