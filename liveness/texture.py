"""Does the face carry a pattern that no skin has?

Physics: the pixels of a display and the dots of a print repeat at one pitch; sampled by the
camera's own grid they leave sharp peaks in the picture's spectrum, or their moiré does. Skin,
hair and stubble have none: their spectrum falls off smoothly. Spectra of several frames are
averaged, so that what is random goes under, and a peak is measured against the spectrum around
it. Frequencies of the JPEG grid (multiples of an eighth of the sampling rate, along the axes)
do not count.
Sources: Patel, Han and Jain, Secure face unlock: spoof detection on smartphones (2016); Garcia
and de Queiroz, Face-spoofing 2D-detection based on moiré-pattern analysis (2015).

Guarantee: a sharp peak is an attack. Nothing found proves nothing: good displays and prints are
too fine for most cameras, and then the outcome is undecided.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels
from liveness.types import Cue, Outcome

SIDE_PX = 128
INTER_EYE_PX_MIN = 40.0
FRAMES_MIN, FRAMES_MAX = 5, 12
FREQUENCY_MIN = 0.12
AXIS = 0.012
PEAK_MIN = 3.4
SURROUNDINGS = 9

Array = NDArray[np.float32]


@dataclass(slots=True)
class TextureTracker:
    _power: Array | None = None
    _frames: int = 0

    def observe(self, pixels: Pixels, face: Face) -> None:
        """Feed it frames in which the face looks ahead."""
        if self._frames >= FRAMES_MAX or face.inter_eye_px < INTER_EYE_PX_MIN:
            return
        part = _middle(pixels, face)
        if part is None:
            return
        spectrum = _power(part)
        self._power = spectrum if self._power is None else self._power + spectrum
        self._frames += 1

    @property
    def failed(self) -> bool:
        """Whether a peak was found, and no further frame will be looked at."""
        return self._frames >= FRAMES_MAX and self.cue().outcome is Outcome.ATTACK

    def cue(self) -> Cue:
        if self._power is None or self._frames < FRAMES_MIN:
            return Cue(name="texture", score=0.5, outcome=Outcome.UNDECIDED)
        peak = find_peak(self._power / np.float32(self._frames))
        outcome = Outcome.ATTACK if peak >= PEAK_MIN else Outcome.UNDECIDED
        score = float(np.clip(1 - peak / (2 * PEAK_MIN), 0, 1))
        return Cue(name="texture", score=score, outcome=outcome)


def find_peak(power: Array) -> float:
    """How far the highest peak stands over the spectrum around it, as a natural logarithm.

    ``power``: (``SIDE_PX``, ``SIDE_PX`` / 2 + 1), as of ``numpy.fft.rfft2``.
    """
    logarithm = np.log(np.fft.fftshift(power, axes=0) + 1e-3).astype(np.float32)
    around = cv2.blur(cv2.medianBlur(logarithm, 5), (SURROUNDINGS, SURROUNDINGS))
    return float((logarithm - around)[_counted()].max())


def _middle(pixels: Pixels, face: Face) -> Array | None:
    """The square around the face's middle, grey; None where it leaves the picture."""
    eyes, mouth = face.landmarks[:2].mean(axis=0), face.landmarks[3:].mean(axis=0)
    left, top = (0.4 * eyes + 0.6 * mouth - SIDE_PX / 2).astype(int)
    if left < 0 or top < 0:
        return None
    part = pixels[top : top + SIDE_PX, left : left + SIDE_PX]
    if part.shape[:2] != (SIDE_PX, SIDE_PX):
        return None
    return np.asarray(part.mean(axis=2), np.float32)


def _power(part: Array) -> Array:
    window = np.hanning(SIDE_PX).astype(np.float32)
    windowed = (part - part.mean()) * window[:, None] * window
    power: Array = (np.abs(np.fft.rfft2(windowed)) ** 2).astype(np.float32)
    return power


@cache
def _counted() -> NDArray[np.bool_]:
    """The frequencies at which a peak counts."""
    down = np.fft.fftshift(np.fft.fftfreq(SIDE_PX))[:, None]
    across = np.fft.rfftfreq(SIDE_PX)[None]
    radius = np.hypot(down, across)
    eighths = np.abs(8 * radius - np.rint(8 * radius)) < 0.15
    on_axis = (np.abs(down) < AXIS) | (np.abs(across) < AXIS)
    counted: NDArray[np.bool_] = (radius > FREQUENCY_MIN) & (radius < 0.5) & ~(on_axis & eighths)
    return counted
