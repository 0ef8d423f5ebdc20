"""Is a picture good enough to be compared?

Guarantees: the first flaw, in the order of :class:`Flaw`, is named; each is something the
person can do something about, and no number is shown to anybody. The measures are of one
aligned chip, so they mean the same at every size of face. The unified score orders frames of
one ceremony; it is no probability and compares with nothing else.

The caller must still ask for liveness: a good picture of a picture is good.

Terms: ISO/IEC 29794-5 (face image quality). What each limit costs in match scores:
``countenance evaluate quality``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import cos, radians, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.align import CHIPS, cut_chip, similarity
from face_engine.types import Face, Pixels


class Flaw(StrEnum):
    """In order of precedence: who, where, light, head, eyes, motion."""

    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_FAR = "too_far"
    CUT_OFF = "cut_off"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    LOW_CONTRAST = "low_contrast"
    TURNED = "turned"
    LOOKING_DOWN = "looking_down"
    LOOKING_UP = "looking_up"
    TILTED = "tilted"
    EYES_HIDDEN = "eyes_hidden"
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
    Flaw.LOW_CONTRAST: "Turn away from the light behind you",
    Flaw.TURNED: "Turn your face to the camera",
    Flaw.LOOKING_DOWN: "Lift your chin",
    Flaw.LOOKING_UP: "Lower your chin",
    Flaw.TILTED: "Hold your head upright",
    Flaw.EYES_HIDDEN: "Take off the sunglasses, uncover your eyes",
    Flaw.BLURRED: "Hold still",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture must keep; the names are those of :class:`Quality`."""

    inter_eye_px: float
    outside: float
    dark: float
    bright: float
    dynamic_range: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    eyes_visible: float
    sharpness: float


ENROLMENT = Limits(
    inter_eye_px=40.0,
    outside=0.1,
    dark=0.2,
    bright=0.25,
    dynamic_range=55.0,
    yaw_deg=30.0,
    pitch_deg=25.0,
    roll_deg=20.0,
    eyes_visible=0.4,
    sharpness=1.0,
)
PROBE = Limits(
    inter_eye_px=20.0,
    outside=0.22,
    dark=0.4,
    bright=0.45,
    dynamic_range=45.0,
    yaw_deg=35.0,
    pitch_deg=35.0,
    roll_deg=35.0,
    eyes_visible=0.3,
    sharpness=0.45,
)
SECOND_FACE_RATIO = 0.5
DARK_BELOW, BRIGHT_ABOVE = 35, 247
CHIP = CHIPS["arcface"]
# Of the chip, rows then columns: the face without hair and background; the eyes; the cheeks.
INNER = (slice(36, 104), slice(26, 86))
EYES = ((slice(45, 58), slice(29, 48)), (slice(45, 58), slice(64, 83)))
CHEEKS = ((slice(66, 80), slice(30, 44)), (slice(66, 80), slice(68, 82)))
LID = 0.8
GRID = np.stack(np.meshgrid(*[np.linspace(0, CHIP.side_px, 12)] * 2)).reshape(2, -1)
# Left eye, right eye, nose tip, mouth corners of a mean head; one eye distance is 1, y down and
# z towards the camera: as they lie on the chip, the nose standing out of their plane.
HEAD = np.array(
    [
        (-0.5, -0.58, 0.0),
        (0.5, -0.58, 0.0),
        (0.0, 0.08, 0.45),
        (-0.415, 0.58, 0.0),
        (0.415, 0.58, 0.0),
    ]
)
HEAD_INVERSE = np.linalg.pinv(HEAD - HEAD.mean(axis=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Degrees: ``yaw`` to the person's left, ``pitch`` upwards, ``roll`` clockwise."""

    yaw_deg: float
    pitch_deg: float
    roll_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """``outside``: the part of the chip beyond the picture's border. ``dark`` and ``bright``: the
    parts of its pixels that are under- and over-exposed. ``dynamic_range``: between its 5th and
    95th percentile, in grey levels of 255. ``eyes_visible``: 1 and around for open, uncovered
    eyes, towards 0 for dark glasses (lids would be as bright as the cheeks) and for anything
    plain in front of them (eyes have as much contrast as the face). ``sharpness``: the variance
    of the second derivative along the blurrier of the two axes, in percent of the face's own."""

    inter_eye_px: float
    outside: float
    dark: float
    bright: float
    dynamic_range: float
    pose: Pose
    eyes_visible: float
    sharpness: float

    @property
    def score(self) -> float:
        """The unified quality score, 0 to 100: the product of what each measure is worth."""
        return float(
            100
            * min(1.0, self.inter_eye_px / 60)
            * (1 - self.outside)
            * (1 - max(self.dark, self.bright))
            * min(1.0, self.dynamic_range / 100)
            * max(0.0, cos(radians(self.pose.yaw_deg)) * cos(radians(self.pose.pitch_deg)))
            * min(1.0, self.eyes_visible / 0.6)
            * min(1.0, sqrt(self.sharpness / 8))
        )

    def flaw(self, limits: Limits) -> Flaw | None:
        pose = self.pose
        for bad, flaw in (
            (self.inter_eye_px < limits.inter_eye_px, Flaw.TOO_FAR),
            (self.outside > limits.outside, Flaw.CUT_OFF),
            (self.dark > limits.dark, Flaw.TOO_DARK),
            (self.bright > limits.bright, Flaw.TOO_BRIGHT),
            (self.dynamic_range < limits.dynamic_range, Flaw.LOW_CONTRAST),
            (abs(pose.yaw_deg) > limits.yaw_deg, Flaw.TURNED),
            (pose.pitch_deg < -limits.pitch_deg, Flaw.LOOKING_DOWN),
            (pose.pitch_deg > limits.pitch_deg, Flaw.LOOKING_UP),
            (abs(pose.roll_deg) > limits.roll_deg, Flaw.TILTED),
            (self.eyes_visible < limits.eyes_visible, Flaw.EYES_HIDDEN),
            (self.sharpness < limits.sharpness, Flaw.BLURRED),
        ):
            if bad:
                return flaw
        return None


def find_flaw(pixels: Pixels, faces: Sequence[Face], limits: Limits) -> Flaw | None:
    """``faces``: all that were found in ``pixels``, largest first."""
    if not faces:
        return Flaw.NO_FACE
    if len(faces) > 1 and faces[1].width > SECOND_FACE_RATIO * faces[0].width:
        return Flaw.SEVERAL_FACES
    return assess(pixels, faces[0]).flaw(limits)


def assess(pixels: Pixels, face: Face) -> Quality:
    """``pixels``: the whole picture, (height, width, 3) uint8, BGR."""
    chip = cut_chip(pixels, face, CHIP)
    grey = cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
    inner = grey[INNER]
    levels = np.bincount(inner.ravel(), minlength=256).cumsum() / inner.size
    low, high = np.searchsorted(levels, [0.05, 0.95])
    spread = max(float(inner.var()), 1.0)
    return Quality(
        inter_eye_px=face.inter_eye_px,
        outside=_outside(pixels, face),
        dark=float(levels[DARK_BELOW - 1]),
        bright=float(1 - levels[BRIGHT_ABOVE]),
        dynamic_range=float(high - low),
        pose=read_pose(face),
        eyes_visible=_eyes_visible(grey, spread),
        sharpness=100 * _detail(inner) / spread,
    )


def read_pose(face: Face) -> Pose:
    """The head's pose from its five landmarks, as seen from afar (weak perspective)."""
    points: NDArray[np.float64] = face.landmarks.astype(np.float64)
    columns = HEAD_INVERSE @ (points - points.mean(axis=0))
    _, down, towards = columns / max(float(np.linalg.norm(columns)) / sqrt(2), 1e-6)
    # The head turns, nods, then tilts: its "down" shows the tilt alone, its "towards" the rest.
    roll = np.arctan2(-down[0], down[1])
    right = np.cos(roll) * towards[0] + np.sin(roll) * towards[1]
    below = np.cos(roll) * towards[1] - np.sin(roll) * towards[0]
    yaw = np.arcsin(np.clip(right, -1, 1))
    pitch = np.arcsin(np.clip(-below / max(float(np.cos(yaw)), 1e-6), -1, 1))
    return Pose(
        yaw_deg=float(np.degrees(yaw)),
        pitch_deg=float(np.degrees(pitch)),
        roll_deg=float(np.degrees(roll)),
    )


def _eyes_visible(grey: NDArray[np.uint8], spread: float) -> float:
    cheeks = max(float(np.mean([grey[cheek].mean() for cheek in CHEEKS])), 1.0)
    eyes = [np.sort(grey[eye], axis=None) for eye in EYES]
    lids = min(float(eye[int(LID * eye.size)]) for eye in eyes) / cheeks
    contrast = min(float(eye.std()) for eye in eyes) / sqrt(spread)
    return min(lids, contrast)


def _detail(inner: NDArray[np.uint8]) -> float:
    return min(float(np.diff(inner.astype(np.float32), 2, axis).var()) for axis in (0, 1))


def _outside(pixels: Pixels, face: Face) -> float:
    """Not of the box: a detector draws it around what is left of a face that is cut off."""
    motion = similarity(CHIP.landmarks, face.landmarks.astype(np.float64))
    x, y = motion[:, :2] @ GRID + motion[:, 2:]
    height, width = pixels.shape[:2]
    return 1 - float(((x >= 0) & (y >= 0) & (x < width) & (y < height)).mean())
