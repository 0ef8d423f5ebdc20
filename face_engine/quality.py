"""Is a picture good enough to be compared?

Guarantees: the first flaw, in the order of :class:`Flaw`, is named; each is something the
person can do something about. Terms: ISO/IEC 29794-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from face_engine.types import Face, Pixels


class Flaw(StrEnum):
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_FAR = "too_far"
    CUT_OFF = "cut_off"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"

    @property
    def instruction(self) -> str:
        return _INSTRUCTION[self]


_INSTRUCTION = {
    Flaw.NO_FACE: "Look at the camera",
    Flaw.SEVERAL_FACES: "One person at a time, please",
    Flaw.TOO_FAR: "Come closer",
    Flaw.CUT_OFF: "Move to the middle",
    Flaw.TOO_DARK: "Face the light",
    Flaw.TOO_BRIGHT: "Step out of the bright light",
    Flaw.BLURRED: "Hold still",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``inter_eye_px`` in pixels; brightness 0 to 255; ``sharpness`` of a 112-pixel chip."""

    inter_eye_px: float
    dark: float = 35.0
    bright: float = 235.0
    sharpness: float = 15.0


ENROLMENT = Limits(inter_eye_px=40.0, sharpness=25.0)
PROBE = Limits(inter_eye_px=24.0)
SECOND_FACE_RATIO = 0.5
OUTSIDE_MAX = 0.12
CHIP_PX = 112


def find_flaw(pixels: Pixels, faces: Sequence[Face], limits: Limits) -> Flaw | None:
    """``faces``: all that were found in ``pixels``, largest first."""
    if not faces:
        return Flaw.NO_FACE
    face = faces[0]
    if len(faces) > 1 and faces[1].width > SECOND_FACE_RATIO * face.width:
        return Flaw.SEVERAL_FACES
    if face.inter_eye_px < limits.inter_eye_px:
        return Flaw.TOO_FAR
    if _outside(pixels, face) > OUTSIDE_MAX:
        return Flaw.CUT_OFF
    chip = _grey_chip(pixels, face)
    if float(np.percentile(chip, 75)) < limits.dark:
        return Flaw.TOO_DARK
    if float(np.percentile(chip, 25)) > limits.bright:
        return Flaw.TOO_BRIGHT
    if float(cv2.Laplacian(chip, cv2.CV_32F).var()) < limits.sharpness:
        return Flaw.BLURRED
    return None


def _outside(pixels: Pixels, face: Face) -> float:
    """The part of the face's box that lies outside the picture, 0 to 1."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = face.box
    inside = max(0.0, min(right, width) - max(left, 0.0)) * max(
        0.0, min(bottom, height) - max(top, 0.0)
    )
    return 1 - float(inside) / max(face.width * face.height, 1e-6)


def _grey_chip(pixels: Pixels, face: Face) -> Pixels:
    height, width = pixels.shape[:2]
    left, top, right, bottom = face.box
    part = pixels[
        max(0, int(top)) : max(1, min(height, int(bottom))),
        max(0, int(left)) : max(1, min(width, int(right))),
    ]
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    chip = cv2.resize(grey, (CHIP_PX, CHIP_PX), interpolation=cv2.INTER_AREA)
    return chip.astype(np.uint8, copy=False)
