"""Do the frames come from a sensor, here and now?

Physics: a sensor's noise is new in every frame (photons arrive by chance), so two frames never
are the same and the change from one to the next never repeats. A file that is played over and
over repeats its changes exactly, or as exactly as its compression lets it; a still picture that
is fed in does not change at all. A camera's frames arrive with the jitter of its bus and of the
operating system; a player's by the clock.
Sources: Lukáš, Fridrich and Goljan, Digital camera identification from sensor pattern noise
(2006); CEN/TS 18099 (injection attack detection).

Guarantees: frames that repeat, changes that repeat, and frames without noise are an attack. A
clock that is too good, and too few frames, are undecided.

Limits: whoever adds noise and jitter of his own passes here, and has the other cues to answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Pixels
from liveness.types import Cue, Outcome

FRAMES_MIN = 12
SIDE_PX, CHANGE_PX = 96, 32
HISTORY_MAX = 300
NEIGHBOURS = 3
SAME_MIN = 0.97
REPEATS_MAX = 4
NOISE_MIN = 0.15
SAME_PART_MAX = 0.25
CLOCK_FRAMES = 30
CLOCK_MS_MAX = 0.4

Vector = NDArray[np.float32]


@dataclass(slots=True)
class InjectionTracker:
    """Feed it every frame's time, and its pixels where they are there."""

    _times_ms: list[int] = field(default_factory=list)
    _last: NDArray[np.int16] | None = None
    _changes: Vector = field(
        default_factory=lambda: np.zeros((HISTORY_MAX, CHANGE_PX**2), np.float32)
    )
    _kept: int = 0
    _noise: list[float] = field(default_factory=list)
    _repeats: int = 0
    _same: int = 0

    def observe(self, pixels: Pixels | None, at_ms: int) -> None:
        self._times_ms.append(at_ms)
        if pixels is None:
            return
        now = _middle(pixels)
        last, self._last = self._last, now
        if last is None or last.shape != now.shape:
            return
        change = (now - last).astype(np.float32)
        if not change.any():
            self._same += 1
            return
        self._noise.append(_noise_of(change))
        self._compare(change)

    def _compare(self, change: Vector) -> None:
        """Counts a change that was seen before."""
        small = cv2.resize(change, (CHANGE_PX, CHANGE_PX), interpolation=cv2.INTER_AREA)
        flat = (small - small.mean()).reshape(-1).astype(np.float32)
        flat /= max(float(np.linalg.norm(flat)), 1e-6)
        earlier = self._changes[: max(0, self._kept - NEIGHBOURS)]
        self._repeats += bool((earlier @ flat > SAME_MIN).any())
        if self._kept < HISTORY_MAX:
            self._changes[self._kept] = flat
            self._kept += 1

    @property
    def failed(self) -> bool:
        """Whether changes repeated too often: no frame can mend that."""
        return self._repeats > REPEATS_MAX

    def cue(self) -> Cue:
        if len(self._noise) + self._same < FRAMES_MIN:
            return Cue(name="injection", score=0.5, outcome=Outcome.UNDECIDED)
        frames = len(self._noise) + self._same
        noiseless = not self._noise or float(np.median(self._noise)) < NOISE_MIN
        if noiseless or self.failed or self._same > SAME_PART_MAX * frames:
            return Cue(name="injection", score=0.0, outcome=Outcome.ATTACK)
        if clock_error_ms(self._times_ms) < CLOCK_MS_MAX:
            return Cue(name="injection", score=0.3, outcome=Outcome.UNDECIDED)
        return Cue(name="injection", score=1.0, outcome=Outcome.LIVE)


def clock_error_ms(times_ms: list[int]) -> float:
    """How far the frames are from a perfect clock, drops allowed: a root mean square.

    Whole milliseconds alone make 0.3. Infinite below ``CLOCK_FRAMES`` frames.
    """
    if len(times_ms) < CLOCK_FRAMES:
        return float("inf")
    times = np.array(times_ms, np.float64)
    interval = float(np.median(np.diff(times)))
    ticks = np.concatenate(
        [[0.0], np.cumsum(np.maximum(1, np.rint(np.diff(times) / max(interval, 1))))]
    )
    line = np.polyfit(ticks, times, 1)
    return float(np.sqrt(np.mean((times - np.polyval(line, ticks)) ** 2)))


def _middle(pixels: Pixels) -> NDArray[np.int16]:
    """The middle of the frame, where the face is: (SIDE_PX, SIDE_PX) or what there is."""
    height, width = pixels.shape[:2]
    top, left = max(0, (height - SIDE_PX) // 2), max(0, (width - SIDE_PX) // 2)
    part = pixels[top : top + SIDE_PX, left : left + SIDE_PX, 1]
    return part.astype(np.int16)


def _noise_of(change: Vector) -> float:
    """The change's standard deviation from pixel to pixel, in grey levels, by its median."""
    fine = change - cv2.GaussianBlur(change, (5, 5), 0)
    return float(np.median(np.abs(fine)) * 1.4826)
