"""Attacks behind the lens (CEN/TS 18099): software that says it is a camera."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Frame, Pixels
from liveness.challenge import Colour, Move
from liveness.rig.presentation import Content, Filmed

QUALITY = (70, 92)
RATES = (15, 20)
# The face with its hair, in eye distances.
REPLACED = (1.8, 2.2)


@dataclass(slots=True, kw_only=True)
class VirtualCamera:
    """A file, played at its own perfect rate whatever the screen asks; with ``loop_ms`` over
    and over. A file is compressed, so its frames are JPEG here."""

    recording: Content
    interval_ms: float
    quality: int
    loop_ms: int | None
    _began_ms: int | None = None
    _frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def draw(
        cls, recording: Content, random: np.random.Generator, *, loop_ms: int | None
    ) -> VirtualCamera:
        return cls(
            recording=recording,
            interval_ms=1000 / float(random.choice(RATES)),
            quality=int(random.integers(*QUALITY)),
            loop_ms=loop_ms,
        )

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        self.recording.follow(move, at_ms - (self._began_ms or at_ms), colour)

    def next_ms(self, after_ms: int) -> int:
        if self._began_ms is None:
            return after_ms + round(self.interval_ms)
        return self._began_ms + round((self._index(after_ms) + 1) * self.interval_ms)

    def frame(self, at_ms: int) -> Frame:
        if self._began_ms is None:
            self._began_ms = at_ms
        index = self._index(at_ms)
        if self.loop_ms is not None:
            index %= max(1, round(self.loop_ms / self.interval_ms))
        return Frame(pixels=self._read(index), captured_at_ms=at_ms)

    def _index(self, at_ms: int) -> int:
        return round((at_ms - (self._began_ms or 0)) / self.interval_ms)

    def _read(self, index: int) -> Pixels:
        packed = self._frames.get(index)
        if packed is None:
            frame = self.recording.frame(round(index * self.interval_ms))
            quality = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
            packed = cv2.imencode(".jpg", frame.pixels, quality)[1]
            if self.loop_ms is not None:
                self._frames[index] = packed
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


@dataclass(slots=True, kw_only=True)
class FaceSwap:
    """An impostor before a real camera, whose face is replaced before the frame is passed on.

    The swap takes ``late_ms``, hands frames out at a perfect rate, smooths the skin, keeps only
    a part (``relit``) of the light that falls on the impostor, and trembles by ``tremble_px``.
    """

    impostor: Filmed
    random: np.random.Generator
    interval_ms: float
    late_ms: int
    relit: float
    tremble_px: float
    _began_ms: int | None = None
    _asked: deque[tuple[int, Move | None, Colour | None]] = field(
        default_factory=lambda: deque(maxlen=256)
    )

    @classmethod
    def draw(cls, impostor: Filmed, random: np.random.Generator) -> FaceSwap:
        relit = float(random.uniform(0.0, 0.5))
        light = impostor.scene.light
        light.screen *= relit
        return cls(
            impostor=impostor,
            random=random,
            interval_ms=1000 / float(random.choice(RATES)),
            late_ms=int(random.uniform(250, 700)),
            relit=relit,
            tremble_px=float(random.uniform(0.3, 1.5)),
        )

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        self._asked.append((at_ms + self.late_ms, move, colour))

    def next_ms(self, after_ms: int) -> int:
        if self._began_ms is None:
            return after_ms + round(self.interval_ms)
        done = round((after_ms - self._began_ms) / self.interval_ms)
        return self._began_ms + round((done + 1) * self.interval_ms)

    def frame(self, at_ms: int) -> Frame:
        if self._began_ms is None:
            self._began_ms = at_ms
        while self._asked and self._asked[0][0] <= at_ms:
            due_ms, move, colour = self._asked.popleft()
            self.impostor.follow(move, due_ms, colour)
        pixels = self.impostor.frame(at_ms).pixels
        shift = self.random.normal(0, self.tremble_px, 2)
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        left, top, right, bottom = self._place()
        pixels[top:bottom, left:right] = cv2.bilateralFilter(
            pixels[top:bottom, left:right], 5, 25, 3
        )
        trembling = cv2.warpAffine(pixels, matrix, pixels.shape[1::-1],
                                   borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        return Frame(pixels=np.asarray(trembling, np.uint8), captured_at_ms=at_ms)

    def _place(self) -> tuple[int, int, int, int]:
        """Where the face is replaced (left, top, right, bottom)."""
        lens = self.impostor.scene.lens
        wide, high = REPLACED[0] * lens.eyes_px, REPLACED[1] * lens.eyes_px
        (x, y), (width, height) = lens.centre, lens.size
        return (
            max(0, round(x - wide)),
            max(0, round(y - high)),
            min(width, round(x + wide)),
            min(height, round(y + high)),
        )
