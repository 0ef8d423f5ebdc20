"""A camera: when it takes frames, and what becomes of the light.

Exposure, white balance, lens blur, shot and read noise, the tone curve, and the JPEG of a USB
camera. In pictures encoded with a gamma the light's gain is a gain again, so all works on
encoded values; noise of the light is carried over by the curve's slope.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Pixels
from liveness.rig.light import GAMMA

SIZE = (640, 480)
POOL = (1100, 1300)
# Frames a second: a camera lengthens the exposure where light is scarce.
RATES = (10, 12, 15, 15, 20)
READOUT_PART = 0.5
ELECTRONS = 6000.0
READ_NOISE = 0.004
DARKEST = 0.01

Field = NDArray[np.float32]


@dataclass(slots=True, kw_only=True)
class Camera:
    """``tone`` bends the curve; ``jpeg`` is the quality, None without; ``jitter_ms`` is the
    standard deviation of a frame's time, ``drops`` the part of frames that never arrive."""

    random: np.random.Generator
    interval_ms: float
    jitter_ms: float
    drops: float
    exposure_ms: float
    gain: float
    tone: float
    electrons: float
    jpeg: int | None
    soft: bool
    _due_ms: float | None = None
    _curve: Pixels = field(init=False)
    _noise_of: Field = field(init=False)

    @classmethod
    def draw(cls, random: np.random.Generator, *, level: float) -> Camera:
        interval_ms = 1000 / float(random.choice(RATES))
        return cls(
            random=random,
            interval_ms=interval_ms,
            jitter_ms=float(random.uniform(0.8, 3.0)),
            drops=float(random.choice([0.0, 0.005, 0.02])),
            exposure_ms=float(min(random.uniform(5, 12) / level**0.6, 0.8 * interval_ms)),
            gain=float(random.uniform(0.82, 1.12)),
            tone=float(random.uniform(0.9, 1.12)),
            electrons=ELECTRONS * level**0.8 * float(random.uniform(0.7, 1.4)),
            jpeg=int(random.integers(78, 96)) if random.random() < 0.5 else None,
            soft=bool(random.random() < 0.5),
        )

    def __post_init__(self) -> None:
        steps = np.arange(256) / 255
        self._curve = (255 * steps**self.tone).round().astype(np.uint8)
        light = np.maximum(steps**GAMMA, DARKEST)
        noise = np.sqrt(light / self.electrons + READ_NOISE**2 * ELECTRONS / self.electrons)
        self._noise_of = (255 * light ** (1 / GAMMA - 1) / GAMMA * noise).astype(np.float32)

    def next_ms(self, after_ms: int) -> int:
        """When the next frame is taken, in whole milliseconds after ``after_ms``."""
        due = after_ms + self.interval_ms if self._due_ms is None else self._due_ms
        while due <= after_ms or self.random.random() < self.drops:
            due += self.interval_ms
        self._due_ms = due + self.interval_ms
        late = abs(float(self.random.normal(0, self.jitter_ms)))
        return max(after_ms + 1, round(due + late))

    def rows_ms(self, at_ms: int, rows: int) -> NDArray[np.float64]:
        """When each of ``rows`` bands began to be exposed, for a frame of ``at_ms``."""
        readout = READOUT_PART * self.interval_ms
        return at_ms - self.exposure_ms - readout * (1 - np.arange(rows) / rows)

    def photograph(self, exposed: Pixels) -> Pixels:
        """``exposed``: what ``gain`` made of the light, encoded."""
        sensed = np.asarray(cv2.GaussianBlur(exposed, (3, 3), 0) if self.soft else exposed)
        noisy = cv2.multiply(cv2.LUT(sensed, self._noise_of), self._noise(sensed.shape[:2]))
        taken = cv2.LUT(cv2.add(noisy, sensed, dtype=cv2.CV_8U), self._curve)
        pixels = np.asarray(taken, np.uint8)
        return pixels if self.jpeg is None else _compress(pixels, self.jpeg)

    def _noise(self, shape: tuple[int, int]) -> Field:
        pool = _pool()
        top = int(self.random.integers(POOL[0] - shape[0]))
        left = int(self.random.integers(POOL[1] - shape[1]))
        return pool[top : top + shape[0], left : left + shape[1]]


def _compress(pixels: Pixels, quality: int) -> Pixels:
    _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


@lru_cache(maxsize=1)
def _pool() -> Field:
    """Noise of unit variance, from which each frame takes a random window."""
    random = np.random.default_rng(0)
    return random.standard_normal((*POOL, 3), dtype=np.float32)
