"""Does the face do what it is asked, when it is asked?

Physics: five landmarks are read in the face's own affine frame, whose origin is the middle
between the eyes, whose first axis runs from eye to eye, and whose second to the middle of the
mouth. In it the nose has two coordinates. Any affine motion of a flat picture (shift, turn in
the plane, tilt seen from afar) leaves them as they are: they are affine invariants of the
plane. On a head the nose stands out of that plane, so turning moves it along the first axis
and nodding along the second: by about 0.45 tan(angle) of the distance between the eyes.
Source: Koenderink and van Doorn, Affine structure from motion (1991).

Guarantees: a step counts only if its move begins after people can react and is held as long as
asked. Where one begins later than people take, or is not held in ``HELD_MS_MAX``, or another move
comes before it, the outcome is undecided for good (:attr:`MotionTracker.failed`): a recording that
shows every move in turn answers no plan.

Limits, in plain words: a bent sheet, a mask, or a video that follows the plan moves the nose,
too. This cue alone does not stop them: :mod:`liveness.relief` and the others must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

import numpy as np

from face_engine.types import Face
from liveness.challenge import Move, Plan
from liveness.types import Cue, Outcome
from liveness.view import affine_frame

BASELINE_FRAMES = 5
FRONTAL_MAX = 0.2
TURN_MIN = 0.13
UP_MIN, DOWN_MIN = 0.042, 0.055
CLOSER_MIN = 0.22
REACTION_MS_MIN, REACTION_MS_MAX = 100, 2_500
STARTED = 0.3
# Landmarks tremble: who has gone far enough may sink back so far while he holds.
STILL_HELD = 0.8
HELD_MS_MAX = 5_000
# How far another direction may go meanwhile: landmarks nod a little when a head turns.
STRAY = {Move.LEFT: 1.4, Move.RIGHT: 1.4, Move.UP: 3.7, Move.DOWN: 2.8, Move.CLOSER: 1.2}
OPPOSITE_FACTOR = 0.85
ASTRAY_FRAMES_MAX = 3
OPPOSITE = {
    Move.LEFT: Move.RIGHT,
    Move.RIGHT: Move.LEFT,
    Move.UP: Move.DOWN,
    Move.DOWN: Move.UP,
}
SETTLED = 0.6
# How near to the pose of before the first move is looking ahead again: turn, nod and size; a
# face that still looks up does not resemble itself.
BACK_MAX = (0.08, 0.025, 0.13)


@dataclass(frozen=True, slots=True)
class Pose:
    """The nose in the face's affine frame, and the frame's own size.

    ``turn`` grows towards the picture's right, which is the person's left; ``nod`` grows
    downwards; ``size`` is the log of the frame's side in pixels.
    """

    turn: float
    nod: float
    size: float


def read_pose(face: Face) -> Pose | None:
    """None for landmarks that span no frame."""
    frame = affine_frame(face)
    if frame is None:
        return None
    axes = frame[:, :2]
    turn, nod = np.linalg.solve(axes, face.landmarks[2] - frame[:, 2])
    return Pose(float(turn), float(nod), float(np.log(np.linalg.det(axes))) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneStep:
    """Times in milliseconds of the observations' clock."""

    move: Move
    started_ms: int
    ended_ms: int


@dataclass(slots=True)
class MotionTracker:
    """Follows a plan through the frames. Feed it every frame: without a face, time goes on."""

    plan: Plan
    done: list[DoneStep] = field(default_factory=list)
    poses: list[tuple[int, Pose]] = field(default_factory=list)
    baseline: Pose | None = None
    _asked_at_ms: int = 0
    _held_since_ms: int | None = None
    _began_ms: int | None = None
    _late: bool = False
    _astray_frames: int = 0
    _settled: set[Move] = field(default_factory=set)
    _held: tuple[int, Move] | None = None

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
        pose, base = self.poses[-1][1], self.baseline
        away = (pose.turn - base.turn, pose.nod - base.nod, pose.size - base.size)
        return all(abs(far) < most for far, most in zip(away, BACK_MAX, strict=True))

    @property
    def failed(self) -> bool:
        """Whether a move came too late, or another before it: no frame can mend that."""
        return self._late or self._astray_frames > ASTRAY_FRAMES_MAX

    def observe(self, face: Face | None, at_ms: int) -> None:
        self._held = None
        self._keep_time(at_ms)
        pose = None if face is None else read_pose(face)
        if pose is None:
            return
        self.poses.append((at_ms, pose))
        if self.baseline is None:
            self._settle(at_ms)
            return
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
        )
        self._asked_at_ms = at_ms

    def _keep_time(self, at_ms: int) -> None:
        if self.current is None:
            return
        waited_ms = at_ms - self._asked_at_ms
        self._late |= self._began_ms is None and waited_ms > REACTION_MS_MAX
        self._late |= self._held_since_ms is None and waited_ms > HELD_MS_MAX

    def _follow(self, pose: Pose, at_ms: int) -> None:
        step = self.plan.steps[len(self.done)]
        extent = self._extent(step.move, pose)
        self._look_astray(step.move, pose)
        if self._began_ms is None and extent > STARTED:
            self._began_ms = at_ms
        if extent < (1.0 if self._held_since_ms is None else STILL_HELD):
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
            self._asked_at_ms, self._held_since_ms, self._began_ms = at_ms, None, None
            self._settled.clear()

    def _look_astray(self, asked: Move, pose: Pose) -> None:
        """Notes a move that was not asked for, and that is no rest of the one before."""
        for move in Move:
            extent = self._extent(move, pose)
            if extent < SETTLED:
                self._settled.add(move)
            elif move is not asked and move in self._settled:
                factor = OPPOSITE_FACTOR if OPPOSITE.get(asked) is move else 1.0
                self._astray_frames += extent > STRAY[move] * factor

    def _extent(self, move: Move, pose: Pose) -> float:
        """How far the pose goes in the move's direction: 1 is enough."""
        base = self.baseline
        if base is None:
            return 0.0
        return {
            Move.LEFT: (pose.turn - base.turn) / TURN_MIN,
            Move.RIGHT: (base.turn - pose.turn) / TURN_MIN,
            Move.UP: (base.nod - pose.nod) / UP_MIN,
            Move.DOWN: (pose.nod - base.nod) / DOWN_MIN,
            Move.CLOSER: (pose.size - base.size) / CLOSER_MIN,
        }[move]

    def cue(self) -> Cue:
        if self.finished and self.plan.steps and not self.failed:
            return Cue(name="motion", score=1.0, outcome=Outcome.LIVE)
        return Cue(name="motion", score=0.5, outcome=Outcome.UNDECIDED)
