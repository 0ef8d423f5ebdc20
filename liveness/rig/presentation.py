"""Who stands before the camera: a live customer, or an attack instrument (ISO/IEC 30107-1).

Each presentation sees the screen (:meth:`Presentation.follow`) and is photographed
(:meth:`Presentation.frame`); the same seed gives the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from face_engine.types import Face, Frame, Pixels
from liveness.challenge import Colour, Move
from liveness.rig.head import HeadPose, Portrait, render

SIZE = (640, 480)
EYES_PX = 80.0
MOVE_MS = 450
PATIENCE_MS = 1_300
FURTHER = 1.25
STRENGTH_MAX = 1.6
POSES = {
    Move.LEFT: HeadPose(yaw=0.45),
    Move.RIGHT: HeadPose(yaw=-0.45),
    Move.UP: HeadPose(pitch=0.42),
    Move.DOWN: HeadPose(pitch=-0.42),
    Move.CLOSER: HeadPose(scale=1.4),
}


@dataclass(slots=True)
class Presentation:
    """Follows what the screen asks, after a reaction time, with sway and a camera's noise."""

    portrait: Portrait
    seed: int
    solid: bool = True
    obedient: bool = True
    _random: np.random.Generator = field(init=False)
    _from: HeadPose = field(default_factory=HeadPose)
    _to: HeadPose = field(default_factory=HeadPose)
    _leaves_at_ms: int = 0
    _strength: float = 1.0
    _asked: Move | None = None
    _colour: Colour | None = None
    _gain: float = field(init=False)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._gain = float(self._random.uniform(0.8, 1.15))

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        """The screen asks for ``move``, or for nothing; who is asked on goes further."""
        self._colour = colour
        if not self.obedient:
            return
        if move is not self._asked:
            self._asked, self._strength = move, float(self._random.uniform(0.75, 1.0))
        elif move is None or at_ms < self._leaves_at_ms + PATIENCE_MS:
            return
        else:
            self._strength = min(self._strength * FURTHER, STRENGTH_MAX)
        self._from = self._pose(at_ms)
        asked = POSES[move] if move else HeadPose()
        self._to = replace(
            asked, yaw=asked.yaw * self._strength, pitch=asked.pitch * self._strength
        )
        self._leaves_at_ms = at_ms + int(self._random.uniform(200, 450))

    def frame(self, at_ms: int) -> Frame:
        pose = self._pose(at_ms)
        sway = at_ms / 1000
        swayed = replace(
            pose,
            yaw=pose.yaw + 0.012 * np.sin(1.7 * sway + self.seed),
            pitch=pose.pitch + 0.01 * np.sin(1.3 * sway),
            shift_x=pose.shift_x + 0.03 * np.sin(0.9 * sway),
            shift_y=pose.shift_y + 0.02 * np.sin(1.1 * sway),
        )
        picture = render(self.portrait, swayed, solid=self.solid)
        return Frame(pixels=self._photograph(picture), captured_at_ms=at_ms)

    def _pose(self, at_ms: int) -> HeadPose:
        done = float(np.clip((at_ms - self._leaves_at_ms) / MOVE_MS, 0, 1))
        eased = done**3 * (10 - 15 * done + 6 * done**2)

        def between(start: float, end: float) -> float:
            return start + (end - start) * eased

        return HeadPose(
            yaw=between(self._from.yaw, self._to.yaw),
            pitch=between(self._from.pitch, self._to.pitch),
            scale=between(self._from.scale, self._to.scale),
        )

    def _photograph(self, picture: Pixels) -> Pixels:
        exposed = cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32) * self._gain
        noise = self._random.normal(0, 2.5, picture.shape).astype(np.float32)
        photographed: Pixels = np.clip(exposed + noise, 0, 255).astype(np.uint8)
        return photographed


def live_customer(pixels: Pixels, face: Face, *, seed: int) -> Presentation:
    return Presentation(_frame(pixels, face), seed)


def flat_print(pixels: Pixels, face: Face, *, seed: int) -> Presentation:
    """The portrait on paper, tilted by somebody who sees the screen."""
    return Presentation(_frame(pixels, face), seed, solid=False)


def still(pixels: Pixels, face: Face, *, seed: int) -> Presentation:
    """The portrait held still."""
    return Presentation(_frame(pixels, face), seed, solid=False, obedient=False)


def _frame(pixels: Pixels, face: Face) -> Portrait:
    return Portrait.frame(pixels, face, size=SIZE, eyes_px=EYES_PX)
