"""Who moves: a person who reads the screen, or the hand that holds an instrument.

Reaction time, speed, and how far somebody turns are drawn from the seed; who is asked on goes
further. Nobody stands still: head and hand sway, eyes blink and wander, mouths move.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field, replace

import numpy as np

from liveness.challenge import Move
from liveness.rig.head import HeadPose

PATIENCE_MS = 1_300
FURTHER = 1.25
STRENGTH_MAX = 1.6
BLINK_MS = 200
BLINKS = 64
POSES = {
    Move.LEFT: HeadPose(yaw=0.45),
    Move.RIGHT: HeadPose(yaw=-0.45),
    Move.UP: HeadPose(pitch=0.42),
    Move.DOWN: HeadPose(pitch=-0.42),
    Move.CLOSER: HeadPose(scale=1.4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """0 to 1 each, ``gaze`` -1 to 1."""

    blink: float = 0.0
    mouth: float = 0.0
    smile: float = 0.0
    gaze: float = 0.0


@dataclass(slots=True, kw_only=True)
class Actor:
    """``obedient``: does what the screen asks; ``late_ms`` is added to every reaction;
    ``sway`` scales the unsteadiness: 1 is a standing person."""

    random: np.random.Generator
    obedient: bool = True
    late_ms: int = 0
    sway: float = 1.0
    _from: HeadPose = field(default_factory=HeadPose)
    _to: HeadPose = field(default_factory=HeadPose)
    _leaves_at_ms: int = 0
    _move_ms: float = 450
    _strength: float = 1.0
    _asked: Move | None = None
    _began_ms: int | None = None
    _phases: list[float] = field(init=False)
    _blinks: list[float] = field(init=False)
    _lively: float = field(init=False)

    def __post_init__(self) -> None:
        self._phases = self.random.uniform(0, 2 * np.pi, 12).tolist()
        self._blinks = np.cumsum(self.random.uniform(1200, 4500, BLINKS)).tolist()
        self._lively = float(self.random.uniform(0.1, 1.0))

    def follow(self, move: Move | None, at_ms: int) -> None:
        if not self.obedient:
            return
        if move is not self._asked:
            self._asked, self._strength = move, float(self.random.uniform(0.75, 1.0))
        elif move is None or at_ms < self._leaves_at_ms + PATIENCE_MS:
            return
        else:
            self._strength = min(self._strength * FURTHER, STRENGTH_MAX)
        self._from = self._carried_out(at_ms)
        asked = POSES[move] if move else HeadPose()
        self._to = replace(
            asked,
            yaw=asked.yaw * self._strength,
            pitch=asked.pitch * self._strength,
            scale=1 + (asked.scale - 1) * self._strength,
        )
        self._leaves_at_ms = at_ms + int(self.random.uniform(200, 450)) + self.late_ms
        self._move_ms = float(self.random.uniform(380, 620))

    def pose(self, at_ms: float) -> HeadPose:
        done, phase, sway = self._carried_out(at_ms), self._phases, self.sway
        s = at_ms / 1000

        def wave(index: int, slow: float, fast: float) -> float:
            slowly, quickly = np.sin(slow * s + phase[index]), np.sin(fast * s + phase[index + 1])
            return float(sway * (0.75 * slowly + 0.25 * quickly))

        return HeadPose(
            yaw=done.yaw + 0.015 * wave(0, 1.7, 5.9),
            pitch=done.pitch + 0.013 * wave(2, 1.3, 4.7),
            roll=done.roll + 0.012 * wave(4, 0.8, 3.1),
            scale=done.scale * (1 + 0.012 * wave(6, 0.7, 2.9)),
            shift_x=0.04 * wave(8, 0.9, 3.7),
            shift_y=0.025 * wave(10, 1.1, 4.1),
        )

    def expression(self, at_ms: int) -> Expression:
        if self._began_ms is None:
            self._began_ms = at_ms
        since = float(at_ms - self._began_ms) % self._blinks[-1]
        after = bisect(self._blinks, since)
        nearest = min(abs(since - blink) for blink in self._blinks[max(after - 1, 0) : after + 1])
        s, phase = at_ms / 1000, self._phases
        return Expression(
            blink=float(np.clip(1.3 - 1.3 * nearest / (BLINK_MS / 2), 0, 1)),
            mouth=self._lively * max(0.0, float(np.sin(1.9 * s + phase[3]) - 0.55)) * 0.9,
            smile=self._lively * max(0.0, float(np.sin(0.5 * s + phase[5]))) * 0.8,
            gaze=float(0.6 * np.sign(np.sin(0.9 * s + phase[7])) * (np.sin(2.3 * s) > 0.2)),
        )

    def _carried_out(self, at_ms: float) -> HeadPose:
        done = float(np.clip((at_ms - self._leaves_at_ms) / self._move_ms, 0, 1))
        eased = done**3 * (10 - 15 * done + 6 * done**2)

        def between(start: float, end: float) -> float:
            return start + (end - start) * eased

        return HeadPose(
            yaw=between(self._from.yaw, self._to.yaw),
            pitch=between(self._from.pitch, self._to.pitch),
            scale=between(self._from.scale, self._to.scale),
        )
