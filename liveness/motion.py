"""Does the face move as a solid head, and as it was asked to?

Physics: five landmarks are read in the face's own affine frame, whose origin is the middle
between the eyes, whose first axis runs from eye to eye, and whose second to the middle of the
mouth. In it the nose has two coordinates. Any affine motion of a flat picture (shift, turn in
the plane, tilt seen from afar) leaves them as they are: they are affine invariants of the
plane. On a head the nose stands out of that plane, so turning moves it along the first axis
and nodding along the second: by about 0.45 tan(angle) of the distance between the eyes.
Source: Koenderink and van Doorn, Affine structure from motion (1991).

Guarantees: a step counts only if its move begins after it was asked for and is held as long as
asked. A face that foreshortens as a tilted sheet does, while the nose stays in the plane, is
called an attack.

Limits, in plain words: a sheet bent around a vertical axis, a mask, or a video that follows the
plan moves the nose, too. This cue alone does not stop them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face
from liveness.challenge import Move, Plan
from liveness.types import Cue, Outcome

BASELINE_FRAMES = 5
FRONTAL_MAX = 0.2
TURN_MIN = 0.13
NOD_MIN = 0.065
CLOSER_MIN = 0.22
REACTION_MS_MIN = 100
BACK_MAX = 0.6
FLAT_FORESHORTENING = 0.14
FLAT_PARALLAX_MAX = 0.05
FLAT_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Pose:
    """The nose in the face's affine frame, and the frame's own size and shape.

    ``turn`` grows towards the picture's right, which is the person's left; ``nod`` grows
    downwards; ``size`` is the log of the frame's area in pixels; ``aspect`` the log of its
    width over its height.
    """

    turn: float
    nod: float
    size: float
    aspect: float


def read_pose(face: Face) -> Pose | None:
    """None for landmarks that span no frame."""
    points: NDArray[np.float64] = face.landmarks.astype(np.float64)
    left_eye, right_eye, nose, mouth_left, mouth_right = points
    origin = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, (mouth_left + mouth_right) / 2 - origin
    area = float(across[0] * down[1] - across[1] * down[0])
    if area < 1.0:
        return None
    turn, nod = np.linalg.solve(np.column_stack([across, down]), nose - origin)
    aspect = float(np.log(np.linalg.norm(across) / np.linalg.norm(down)))
    return Pose(float(turn), float(nod), float(np.log(area)) / 2, aspect)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneStep:
    """Times in milliseconds of the observations' clock."""

    move: Move
    started_ms: int
    ended_ms: int


@dataclass(slots=True)
class MotionTracker:
    """Follows a plan through the frames. Feed it every frame that has one face."""

    plan: Plan
    done: list[DoneStep] = field(default_factory=list)
    poses: list[tuple[int, Pose]] = field(default_factory=list)
    baseline: Pose | None = None
    _asked_at_ms: int = 0
    _held_since_ms: int | None = None
    _held: tuple[int, Move] | None = None
    _flat_frames: int = 0

    @property
    def finished(self) -> bool:
        return self.baseline is not None and len(self.done) == len(self.plan.steps)

    @property
    def current(self) -> Move | None:
        """The move that is asked for now; None before the baseline and after the last."""
        if self.baseline is None or self.finished:
            return None
        return self.plan.steps[len(self.done)].move

    @property
    def held(self) -> tuple[int, Move] | None:
        """The step that the last frame showed as asked, by its place in the plan."""
        return self._held

    @property
    def frontal(self) -> bool:
        """Whether the last frame showed the pose of before the first move."""
        if self.baseline is None or not self.poses:
            return False
        pose = self.poses[-1][1]
        return all(abs(self._extent(move, pose)) < BACK_MAX for move in Move)

    def observe(self, face: Face, at_ms: int) -> None:
        self._held = None
        pose = read_pose(face)
        if pose is None:
            return
        self.poses.append((at_ms, pose))
        if self.baseline is None:
            self._settle(at_ms)
            return
        self._look_for_flatness(pose)
        if not self.finished:
            self._follow(pose, at_ms)

    def _settle(self, at_ms: int) -> None:
        recent = [pose for _, pose in self.poses[-BASELINE_FRAMES:]]
        turns = [pose.turn for pose in recent]
        if len(recent) < BASELINE_FRAMES or abs(median(turns)) > FRONTAL_MAX:
            return
        if max(turns) - min(turns) > TURN_MIN / 2:
            return
        self.baseline = Pose(
            median(turns),
            median(pose.nod for pose in recent),
            median(pose.size for pose in recent),
            median(pose.aspect for pose in recent),
        )
        self._asked_at_ms = at_ms

    def _follow(self, pose: Pose, at_ms: int) -> None:
        step = self.plan.steps[len(self.done)]
        if self._extent(step.move, pose) < 1.0:
            self._held_since_ms = None
            return
        if self._held_since_ms is None:
            if at_ms - self._asked_at_ms < REACTION_MS_MIN:
                return
            self._held_since_ms = at_ms
        self._held = (len(self.done), step.move)
        if at_ms - self._held_since_ms >= step.hold_ms:
            self.done.append(
                DoneStep(move=step.move, started_ms=self._held_since_ms, ended_ms=at_ms)
            )
            self._asked_at_ms, self._held_since_ms = at_ms, None

    def _extent(self, move: Move, pose: Pose) -> float:
        """How far the pose goes in the move's direction: 1 is enough."""
        base = self.baseline
        if base is None:
            return 0.0
        return {
            Move.LEFT: (pose.turn - base.turn) / TURN_MIN,
            Move.RIGHT: (base.turn - pose.turn) / TURN_MIN,
            Move.UP: (base.nod - pose.nod) / NOD_MIN,
            Move.DOWN: (pose.nod - base.nod) / NOD_MIN,
            Move.CLOSER: (pose.size - base.size) / CLOSER_MIN,
        }[move]

    def _look_for_flatness(self, pose: Pose) -> None:
        base = self.baseline
        if base is None:
            return
        foreshortened = abs(pose.aspect - base.aspect) > FLAT_FORESHORTENING
        parallax = max(abs(pose.turn - base.turn), abs(pose.nod - base.nod))
        if foreshortened and parallax < FLAT_PARALLAX_MAX:
            self._flat_frames += 1

    def cue(self) -> Cue:
        if self._flat_frames >= FLAT_FRAMES:
            return Cue(name="motion", score=0.0, outcome=Outcome.ATTACK)
        if self.finished and self.plan.steps:
            return Cue(name="motion", score=1.0, outcome=Outcome.LIVE)
        return Cue(name="motion", score=0.5, outcome=Outcome.UNDECIDED)
