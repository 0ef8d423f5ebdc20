"""A portrait as a solid head: where its pixels go when the head turns.

The head is half an ellipsoid behind the picture's plane with a nose on it, seen by a pinhole
camera ``DISTANCE`` eye distances away. A flat picture is the same without depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels

DISTANCE = 9.0
GRID_PX = 4
ITERATIONS = 8
HALF_WIDTH, HALF_HEIGHT, DEPTH = 1.35, 1.9, 1.15
NOSE_HEIGHT, NOSE_WIDTH = 0.38, 0.28

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPose:
    """Radians: ``yaw`` to the person's left, ``pitch`` upwards, ``roll`` clockwise."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture with its face, scaled so that the eyes are ``eyes_px`` apart."""

    pixels: Pixels
    centre: tuple[float, float]
    nose: tuple[float, float]
    eyes_px: float

    @classmethod
    def frame(
        cls, pixels: Pixels, face: Face, *, size: tuple[int, int], eyes_px: float
    ) -> Portrait:
        """Cuts the portrait to ``size`` (width, height) with the face upright in the middle."""
        eyes = face.landmarks[:2].mean(axis=0)
        mouth = face.landmarks[3:].mean(axis=0)
        across = face.landmarks[1] - face.landmarks[0]
        scale = eyes_px / float(np.linalg.norm(across))
        angle = float(np.arctan2(across[1], across[0]))
        middle = eyes * 0.6 + mouth * 0.4
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        width, height = size
        motion = np.array(
            [
                [cos, sin, width / 2 - cos * middle[0] - sin * middle[1]],
                [-sin, cos, height / 2 + sin * middle[0] - cos * middle[1]],
            ]
        )
        cut = cv2.warpAffine(pixels, motion, size, borderMode=cv2.BORDER_REPLICATE,
                             flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)  # fmt: skip
        nose = motion[:, :2] @ face.landmarks[2] + motion[:, 2]
        return cls(
            cut.astype(np.uint8, copy=False),
            (width / 2, height / 2),
            (float(nose[0]), float(nose[1])),
            eyes_px,
        )


def depth_of(portrait: Portrait, x: Field, y: Field) -> Field:
    """How far the head stands out of the plane through its outline, in eye distances."""
    u = (x - portrait.centre[0]) / portrait.eyes_px
    v = (y - portrait.centre[1]) / portrait.eyes_px
    inside = np.clip(1 - (u / HALF_WIDTH) ** 2 - (v / HALF_HEIGHT) ** 2, 0, None)
    nose_u = (x - portrait.nose[0]) / portrait.eyes_px
    nose_v = (y - portrait.nose[1]) / portrait.eyes_px
    nose = NOSE_HEIGHT * np.exp(-(nose_u**2 + nose_v**2) / (2 * NOSE_WIDTH**2))
    depth: Field = (DEPTH * np.sqrt(inside) + nose * (inside > 0)).astype(np.float32)
    return depth


def project(
    portrait: Portrait, x: Field, y: Field, pose: HeadPose, *, solid: bool
) -> tuple[Field, Field]:
    """Where the portrait's points (x, y) are seen, in pixels."""
    u = (x - portrait.centre[0]) / portrait.eyes_px
    v = (y - portrait.centre[1]) / portrait.eyes_px
    # The neck, around which a head turns, lies half a head's depth behind its outline.
    pivot = -0.5 * DEPTH if solid else 0.0
    z = (depth_of(portrait, x, y) if solid else np.zeros_like(u)) - pivot
    cos_yaw, sin_yaw = np.cos(pose.yaw), np.sin(pose.yaw)
    u, z = u * cos_yaw + z * sin_yaw, z * cos_yaw - u * sin_yaw
    cos_pitch, sin_pitch = np.cos(pose.pitch), np.sin(pose.pitch)
    v, z = v * cos_pitch - z * sin_pitch, z * cos_pitch + v * sin_pitch
    cos_roll, sin_roll = np.cos(pose.roll), np.sin(pose.roll)
    u, v = u * cos_roll - v * sin_roll, u * sin_roll + v * cos_roll
    near = DISTANCE / (DISTANCE - (z + pivot)) * pose.scale
    return (
        (u * near + pose.shift_x) * portrait.eyes_px + portrait.centre[0],
        (v * near + pose.shift_y) * portrait.eyes_px + portrait.centre[1],
    )


def render(portrait: Portrait, pose: HeadPose, *, solid: bool) -> Pixels:
    """The picture that the camera takes; the background turns with the head."""
    height, width = portrait.pixels.shape[:2]
    rows, columns = height // GRID_PX + 1, width // GRID_PX + 1
    want_y, want_x = np.mgrid[0:rows, 0:columns].astype(np.float32) * GRID_PX
    x, y = want_x.copy(), want_y.copy()
    for _ in range(ITERATIONS):
        seen_x, seen_y = project(portrait, x, y, pose, solid=solid)
        x, y = x + 0.8 * (want_x - seen_x), y + 0.8 * (want_y - seen_y)
    enlarged = np.array([[GRID_PX, 0.0, 0.0], [0.0, GRID_PX, 0.0]])
    map_x, map_y = (
        cv2.warpAffine(
            cv2.GaussianBlur(field.astype(np.float32), (5, 5), 0),
            enlarged,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for field in (x, y)
    )
    picture = cv2.remap(
        portrait.pixels, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return picture.astype(np.uint8, copy=False)
