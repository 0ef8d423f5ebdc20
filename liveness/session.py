"""One liveness check, frame by frame: what the terminal's ceremony drives.

Guarantees: it ends within ``DURATION_MS_MAX`` and ``FRAMES_MAX``; the transcript's digest
covers every frame's time and pose.

The caller must feed every frame in the order of capture, and show :attr:`Progress.move`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from liveness.challenge import Colour, Move, Plan
from liveness.continuity import ContinuityTracker
from liveness.fuse import fuse, required
from liveness.motion import DoneStep, MotionTracker
from liveness.passive import FRAMES_MIN, passive_cue
from liveness.types import Level, Observation, Verdict

DURATION_MS_MAX = 20_000
FRAMES_MAX = 1_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """``move`` and ``colour`` are what to ask for and show now; ``fraction`` runs from 0 to 1."""

    move: Move | None
    colour: Colour | None
    fraction: float
    finished: bool


@dataclass(slots=True)
class LivenessSession:
    plan: Plan
    level: Level
    same_person_min: float
    frames: int = 0
    _first_at_ms: int = 0
    _scores: list[float] = field(default_factory=list)
    _transcript: list[str] = field(default_factory=list)
    _motion: MotionTracker = field(init=False)
    _continuity: ContinuityTracker = field(init=False)

    def __post_init__(self) -> None:
        self._motion = MotionTracker(self.plan)
        self._continuity = ContinuityTracker(self.same_person_min)

    def observe(self, seen: Observation) -> Progress:
        if self.frames == 0:
            self._first_at_ms = seen.captured_at_ms
        self.frames += 1
        face = self._continuity.observe(seen)
        if face is not None:
            self._motion.observe(face, seen.captured_at_ms)
            if seen.passive is not None:
                self._scores.append(seen.passive)
        self._transcript.append(self._line(seen))
        return self._progress(seen.captured_at_ms)

    def _line(self, seen: Observation) -> str:
        at_ms = seen.captured_at_ms - self._first_at_ms
        poses = self._motion.poses
        pose = poses[-1][1] if poses and poses[-1][0] == seen.captured_at_ms else None
        return f"{at_ms} {pose.turn:.3f} {pose.nod:.3f}" if pose else f"{at_ms} -"

    def _progress(self, at_ms: int) -> Progress:
        over = at_ms - self._first_at_ms >= DURATION_MS_MAX or self.frames >= FRAMES_MAX
        motion_done = not self._needs_motion or self._motion.finished
        scores_done = not self._scores or len(self._scores) >= FRAMES_MIN
        looked_long_enough = scores_done and self.frames >= FRAMES_MIN
        enough = self.level is Level.NONE or (motion_done and looked_long_enough)
        steps = len(self.plan.steps) or 1
        return Progress(
            move=self.move,
            colour=None,
            fraction=1.0 if enough else len(self._motion.done) / steps,
            finished=over or enough,
        )

    @property
    def move(self) -> Move | None:
        """What the person is asked to do now."""
        return self._motion.current if self._needs_motion else None

    @property
    def _needs_motion(self) -> bool:
        return "motion" in required(self.level, has_passive=bool(self._scores))

    @property
    def steps(self) -> tuple[DoneStep, ...]:
        """What was carried out, with times after the first frame."""
        return tuple(
            DoneStep(
                move=step.move,
                started_ms=step.started_ms - self._first_at_ms,
                ended_ms=step.ended_ms - self._first_at_ms,
            )
            for step in self._motion.done
        )

    @property
    def transcript_digest(self) -> bytes:
        return sha256("\n".join(self._transcript).encode()).digest()

    def verdict(self) -> Verdict:
        passive = passive_cue(self._scores)
        cues = [self._continuity.cue(), self._motion.cue(), *([passive] if passive else [])]
        return fuse(cues, self.level)
