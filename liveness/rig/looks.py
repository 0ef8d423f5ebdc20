"""What a portrait's pixels become before they are shown: a cut-out person of any skin tone,
with glasses or without, whose eyes and mouth move."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Pixels
from liveness.rig.actor import Expression
from liveness.rig.head import HALF_HEIGHT, HALF_WIDTH, Field, Portrait
from liveness.rig.light import GAMMA

MATTE_SCALE = 0.5
LID, JAW, CORNER, IRIS = 0.13, 0.11, 0.06, 0.035


@lru_cache(maxsize=64)
def matte(portrait: Portrait) -> NDArray[np.uint8]:
    """What of the picture is the person: (height, width) uint8, 255 inside.

    Source: Rother, Kolmogorov and Blake, GrabCut (2004), begun with a head and shoulders.
    """
    small = cv2.resize(portrait.pixels, None, fx=MATTE_SCALE, fy=MATTE_SCALE)
    background, person = np.zeros((1, 65)), np.zeros((1, 65))
    x, y = _points(portrait, MATTE_SCALE)
    head = (x / HALF_WIDTH) ** 2 + ((y + 0.15) / (HALF_HEIGHT * 1.05)) ** 2
    shoulders = (y > 1.2) & (np.abs(x) < 0.7 + 1.6 * np.clip(y - 1.2, 0, 1.2))
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    labels[(head < 1.7) | shoulders] = cv2.GC_PR_BGD
    labels[(head < 1.15) | (shoulders & (np.abs(x) < 1.6))] = cv2.GC_PR_FGD
    chest = (y > 1.7) & (np.abs(x) < 1.1 + 0.3 * (y - 1.7))
    labels[(head < 0.6) | ((np.abs(x) < 0.5) & (y > 0.8)) | chest] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, (0, 0, 1, 1), background, person, 3, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    height, width = portrait.pixels.shape[:2]
    large = cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(large, (7, 7), 0), np.uint8)


def oval(portrait: Portrait, *, grown: float = 1.0) -> Field:
    """The face without hair, 0 to 1, soft at its edge."""
    x, y = _points(portrait, 1.0)
    inside = 1 - (x / (1.15 * grown)) ** 2 - ((y - 0.1) / (1.5 * grown)) ** 2
    return np.asarray(np.clip(inside * 4, 0, 1), np.float32)


def with_tone(portrait: Portrait, melanin: float) -> Pixels:
    """The portrait with skin that absorbs more (1) or less (-0.3) than it does; blue is
    absorbed most (Krishnaswamy and Baranoski 2004)."""
    absorbed = np.exp(-melanin * np.array([1.5, 1.15, 0.8], np.float32) / GAMMA)
    gain = 1 + skin(portrait)[..., None] * (absorbed - 1)
    return np.asarray(np.clip(portrait.pixels * gain, 0, 255), np.uint8)


@lru_cache(maxsize=64)
def skin(portrait: Portrait) -> Field:
    """What is of the colour of the face, near it: 0 to 1."""
    colours = cv2.cvtColor(portrait.pixels, cv2.COLOR_BGR2YCrCb).astype(np.float32)
    middle = np.median(colours[oval(portrait) > 0.5][:, 1:], axis=0)
    far = np.linalg.norm(colours[..., 1:] - middle, axis=2) / 14
    x, y = _points(portrait, 1.0)
    near = np.clip(2.6 - np.hypot(x / 1.2, (y - 0.3) / 1.8), 0, 1)
    found = cv2.GaussianBlur(np.exp(-(far**2)) * near.astype(np.float32), (0, 0), 2)
    return np.asarray(found, np.float32)


def put_on_glasses(pixels: Pixels, portrait: Portrait, random: np.random.Generator) -> Pixels:
    """Frames of a drawn shape and colour, with lenses that take a little light."""
    worn = pixels.copy()
    colour = tuple(int(part) for part in random.integers(10, 90, 3))
    thick = int(random.integers(2, 5))
    wide, high = float(random.uniform(0.34, 0.44)), float(random.uniform(0.24, 0.36))
    eyes = [_pixel(portrait, point + np.array([0, 0.04])) for point in portrait.landmarks[:2]]
    axes = round(wide * portrait.eyes_px), round(high * portrait.eyes_px)
    for eye in eyes:
        lens = np.zeros(pixels.shape[:2], np.uint8)
        cv2.ellipse(lens, eye, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        worn[lens > 128] = (worn[lens > 128] * 0.93).astype(np.uint8)
        cv2.ellipse(worn, eye, axes, 0, 0, 360, colour, thick, cv2.LINE_AA)
    (left_x, left_y), (right_x, right_y) = eyes
    cv2.line(worn, (left_x + axes[0], left_y), (right_x - axes[0], right_y), colour, thick)
    side = round(0.75 * portrait.eyes_px)
    cv2.line(worn, (left_x - axes[0], left_y), (left_x - side, left_y - 4), colour, thick)
    cv2.line(worn, (right_x + axes[0], right_y), (right_x + side, right_y - 4), colour, thick)
    return worn


class Features:
    """Where the portrait's points are drawn from when eyes and mouth move."""

    def __init__(self, portrait: Portrait, *, mouth: bool = True) -> None:
        x, y = portrait.grid()
        left, right, _, mouth_left, mouth_right = portrait.landmarks

        def around(at: NDArray[np.float64], wide: float, high: float) -> Field:
            far = ((x - at[0]) / wide) ** 2 + ((y - at[1]) / high) ** 4
            return np.asarray(np.exp(-far), np.float32)

        eyes = around(left, 0.24, 0.11) + around(right, 0.24, 0.11)
        lips = (mouth_left + mouth_right) / 2
        none = np.zeros_like(x)
        lower = around(lips + np.array([0, 0.22]), 0.42, 0.3) * (y > lips[1]) * float(mouth)
        corners = around(lips, 0.5, 0.2) * np.sign(x - lips[0]) * float(mouth)
        self._bases = np.stack(
            [
                np.stack(pair, axis=-1)
                for pair in (
                    (none, -LID * eyes),
                    (none, -JAW * lower),
                    (-CORNER * corners, CORNER * np.abs(corners)),
                    (-IRIS * eyes, none),
                )
            ]
        ).astype(np.float32)

    def offsets(self, shown: Expression) -> Field:
        """(rows, columns, 2) on the relief's grid, in eye distances."""
        amounts = np.array([shown.blink, shown.mouth, shown.smile, shown.gaze], np.float32)
        return np.asarray(np.tensordot(amounts, self._bases, axes=1), np.float32)


def _points(portrait: Portrait, scale: float) -> tuple[Field, Field]:
    """Every pixel of the portrait, reduced by ``scale``, in eye distances."""
    height, width = (round(side * scale) for side in portrait.pixels.shape[:2])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(portrait.eyes_px * scale)
    return (
        x - portrait.centre[0] / portrait.eyes_px,
        y - portrait.centre[1] / portrait.eyes_px,
    )


def _pixel(portrait: Portrait, point: NDArray[np.float64]) -> tuple[int, int]:
    return (
        round(float(point[0] * portrait.eyes_px + portrait.centre[0])),
        round(float(point[1] * portrait.eyes_px + portrait.centre[1])),
    )
