"""Good photos made worse, one flaw at a time, to see what each costs in match scores.

Every function takes the picture, (height, width, 3) uint8 BGR, its face and a level, and
returns a new picture. Lengths are in eye distances, so that a level means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels

READ_NOISE = 2.0
LENS, LENS_HEIGHT = 0.36, 0.27

Degrade = Callable[[Pixels, Face, float], Pixels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """``measure``: the name in :class:`face_engine.quality.Quality` that should see it."""

    name: str
    unit: str
    measure: str
    levels: tuple[float, ...]
    apply: Degrade


def blur(pixels: Pixels, face: Face, level: float) -> Pixels:
    return _bytes(cv2.GaussianBlur(pixels, (0, 0), max(level * face.inter_eye_px, 0.1)))


def shake(pixels: Pixels, face: Face, level: float) -> Pixels:
    length = max(1, round(level * face.inter_eye_px))
    return _bytes(cv2.filter2D(pixels, -1, np.full((1, length), 1 / length)))


def darken(pixels: Pixels, _face: Face, level: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, READ_NOISE, pixels.shape)
    return _bytes(pixels * level + noise)


def overexpose(pixels: Pixels, _face: Face, level: float) -> Pixels:
    return _bytes(pixels * float(level))


def veil(pixels: Pixels, _face: Face, level: float) -> Pixels:
    return _bytes(pixels * (1 - level) + 200 * level)


def shrink(pixels: Pixels, face: Face, level: float) -> Pixels:
    scale = min(1.0, level / face.inter_eye_px)
    return _bytes(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def cut(pixels: Pixels, face: Face, level: float) -> Pixels:
    """The left part of the face lies outside."""
    return pixels[:, max(0, int(face.box[0] + level * face.width)) :].copy()


def sunglasses(pixels: Pixels, face: Face, level: float) -> Pixels:
    worn, eyes = pixels.copy(), face.landmarks[:2]
    across = eyes[1] - eyes[0]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    axes = (round(LENS * face.inter_eye_px), round(LENS_HEIGHT * face.inter_eye_px))
    for x, y in eyes:
        cv2.ellipse(worn, (round(float(x)), round(float(y))), axes, angle, 0, 360, (24,) * 3, -1)
    return _bytes(pixels * (1 - level) + worn * level)


DEGRADATIONS = (
    Degradation(
        name="distance", unit="px between the eyes", measure="inter_eye_px",
        levels=(60, 40, 24, 16, 12, 8), apply=shrink,
    ),
    Degradation(
        name="cut off", unit="of the face", measure="outside",
        levels=(0.05, 0.12, 0.2, 0.3, 0.4), apply=cut,
    ),
    Degradation(
        name="darkness", unit="of the light", measure="dark",
        levels=(0.5, 0.35, 0.25, 0.18, 0.12, 0.06), apply=darken,
    ),
    Degradation(
        name="overexposure", unit="times the light", measure="bright",
        levels=(1.5, 2, 3, 4, 6), apply=overexpose,
    ),
    Degradation(
        name="veil", unit="stray light", measure="dynamic_range",
        levels=(0.3, 0.5, 0.7, 0.85, 0.93), apply=veil,
    ),
    Degradation(
        name="sunglasses", unit="opacity", measure="eyes_visible",
        levels=(0.5, 0.7, 0.85, 1.0), apply=sunglasses,
    ),
    Degradation(
        name="blur", unit="eye distances", measure="sharpness",
        levels=(0.02, 0.03, 0.04, 0.06, 0.08, 0.12), apply=blur,
    ),
    Degradation(
        name="shake", unit="eye distances", measure="sharpness",
        levels=(0.1, 0.15, 0.2, 0.3, 0.5), apply=shake,
    ),
)  # fmt: skip


def _bytes(pixels: cv2.typing.MatLike | NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
