"""Shapes before a pinhole camera: which point of a portrait each pixel of the picture shows.

Lengths are eye distances of the portrait: x to the picture's right, y down, z towards the
camera, the origin in the middle of the face. A :class:`Relief` is a height over the portrait's
plane; :func:`cast` sends a ray through every ``CELL_PX``-th pixel and finds where it meets the
relief, by the iteration of relief mapping (Policarpo, Oliveira and Comba 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels

CELL_PX = 8
RELIEF_STEP = 0.05
ITERATIONS = 6
DAMPING = 0.8
HALF_WIDTH, HALF_HEIGHT, DEPTH = 1.35, 1.9, 1.15
# The ellipsoid is followed to here, and then its tangent: no ray may meet the relief twice.
RIM = 0.8
CHIN, SHOULDERS = 1.25, 2.3

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadPose:
    """Radians: ``yaw`` to the person's left, ``pitch`` upwards, ``roll`` clockwise.

    ``scale`` is how much nearer than at rest: 2 is half the distance. Shifts are eye distances.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        yaw = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        pitch = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        roll = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        turned: NDArray[np.float64] = roll @ pitch @ yaw
        return turned


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture with its face upright in the middle.

    ``landmarks``, shape (5, 2), are in eye distances from ``centre``, in the order of
    :class:`~face_engine.types.Face`.
    """

    pixels: Pixels
    centre: tuple[float, float]
    landmarks: NDArray[np.float64]
    eyes_px: float

    @classmethod
    def frame(
        cls, pixels: Pixels, face: Face, *, size: tuple[int, int], eyes_px: float
    ) -> Portrait:
        """Cuts the portrait to ``size`` (width, height), the eyes ``eyes_px`` apart."""
        eyes = face.landmarks[:2].mean(axis=0)
        mouth = face.landmarks[3:].mean(axis=0)
        across = face.landmarks[1] - face.landmarks[0]
        scale = eyes_px / float(np.linalg.norm(across))
        angle = float(np.arctan2(across[1], across[0]))
        middle = eyes * 0.6 + mouth * 0.4
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        width, height = size
        turn = np.array([[cos, sin], [-sin, cos]])
        shift = np.array([width / 2, height / 2]) - turn @ middle
        cut = cv2.warpAffine(pixels, np.column_stack([turn, shift]), size,
                             borderMode=cv2.BORDER_REPLICATE,
                             flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)  # fmt: skip
        landmarks = (face.landmarks - middle) @ turn.T / eyes_px
        return cls(cut.astype(np.uint8, copy=False), (width / 2, height / 2), landmarks, eyes_px)

    def grid(self) -> tuple[Field, Field]:
        """The points of the relief's grid, in eye distances."""
        height, width = self.pixels.shape[:2]
        rows = int(height / self.eyes_px / RELIEF_STEP) + 1
        columns = int(width / self.eyes_px / RELIEF_STEP) + 1
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * RELIEF_STEP
        return x - width / 2 / self.eyes_px, y - height / 2 / self.eyes_px


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """``surface``: (rows, columns, 4) float32: normal x, y, z, and height; turns around
    ``pivot``. With a ``neck`` only what is above the chin turns."""

    surface: Field
    pivot: float
    neck: bool

    @classmethod
    def of(cls, heights: Field, *, pivot: float, neck: bool = False) -> Relief:
        down, across = np.gradient(heights, RELIEF_STEP)
        normals = np.dstack([-across, -down, np.ones_like(heights)])
        normals /= np.linalg.norm(normals, axis=2, keepdims=True)
        return cls(np.dstack([normals, heights]).astype(np.float32), pivot, neck)

    @classmethod
    def flat(cls, portrait: Portrait) -> Relief:
        return cls.of(np.zeros_like(portrait.grid()[0]), pivot=0.0)

    @classmethod
    def bent(
        cls, portrait: Portrait, *, radius: float, upright: bool = True, neck: bool = False
    ) -> Relief:
        """Paper around a cylinder of ``radius``, whose axis is ``upright`` or lies."""
        x, y = portrait.grid()
        along = np.clip(np.abs(x if upright else y) / np.float32(radius), 0, np.float32(0.8))
        return cls.of(np.float32(radius) * (np.sqrt(1 - along * along) - 1), pivot=-0.3, neck=neck)

    @classmethod
    def head(
        cls, portrait: Portrait, *, depth: float = 1.0, nose: float = 1.0, neck: bool = True
    ) -> Relief:
        """``depth`` and ``nose`` are 1 for the average head."""
        x, y = portrait.grid()
        radius = np.sqrt((x / HALF_WIDTH) ** 2 + (y / HALF_HEIGHT) ** 2)
        dome = np.sqrt(np.clip(1 - np.minimum(radius, RIM) ** 2, 0, None))
        dome -= np.clip(radius - RIM, 0, 0.55) * RIM / np.sqrt(1 - RIM**2)
        left_eye, right_eye, tip, *mouth = portrait.landmarks
        root, lips = (left_eye + right_eye) / 2, np.mean(mouth, axis=0)

        def bump(at: NDArray[np.float64], wide: float, high: float) -> Field:
            spread = ((x - at[0]) / wide) ** 2 + ((y - at[1]) / high) ** 2
            return np.asarray(np.exp(-spread / 2), np.float32)

        features = (
            nose * (0.36 * bump(tip, 0.27, 0.28) + 0.10 * bump((root + tip) / 2, 0.14, 0.3))
            - 0.07 * (bump(left_eye, 0.24, 0.15) + bump(right_eye, 0.24, 0.15))
            + 0.05 * bump(lips, 0.35, 0.2)
            + 0.08 * bump(lips + np.array([0, 0.6]), 0.3, 0.25)
        )
        heights = cv2.GaussianBlur((DEPTH * depth * dome + features).astype(np.float32), (5, 5), 0)
        return cls.of(heights.astype(np.float32), pivot=-0.5 * DEPTH, neck=neck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """A pinhole camera: ``distance`` to the portrait's plane at rest in eye distances, and how
    many pixels an eye distance takes there."""

    size: tuple[int, int]
    distance: float
    eyes_px: float
    centre: tuple[float, float]

    def rays(self) -> tuple[Field, Field]:
        """Where the rays of the coarse grid meet the plane at rest."""
        width, height = self.size
        rows, columns = height // CELL_PX, width // CELL_PX
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) * CELL_PX + (CELL_PX - 1) / 2
        return (x - self.centre[0]) / self.eyes_px, (y - self.centre[1]) / self.eyes_px


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """On the coarse grid: the portrait's point (eye distances), the normal of the surface
    there as the camera sees it, and where that point is."""

    x: Field
    y: Field
    normal: tuple[Field, Field, Field]
    place: tuple[Field, Field, Field]


def cast(
    relief: Relief, pose: HeadPose, lens: Lens, rays: tuple[Field, Field], half: tuple[float, float]
) -> View:
    """``half``: the portrait's half width and half height, in eye distances."""
    a, b = rays
    nearer = lens.distance * (1 - 1 / pose.scale)
    shift = np.array([pose.shift_x, pose.shift_y, nearer])
    turn = pose.rotation
    pivot = np.array([0.0, 0.0, relief.pivot])
    origin = turn.T @ (np.array([0, 0, lens.distance]) - pivot - shift) + pivot
    inverse = turn.T.astype(np.float32)
    along = [row[0] * a + row[1] * b - np.float32(row[2] * lens.distance) for row in inverse]
    slope_x, slope_y = along[0] / along[2], along[1] / along[2]
    base_x = np.float32(origin[0]) - np.float32(origin[2]) * slope_x
    base_y = np.float32(origin[1]) - np.float32(origin[2]) * slope_y
    heights = np.ascontiguousarray(relief.surface[..., 3])
    z = np.full_like(a, float(heights[heights.shape[0] // 2, heights.shape[1] // 2]))
    for _ in range(ITERATIONS):
        found = look_up(heights, base_x + z * slope_x, base_y + z * slope_y, half)
        z += DAMPING * (found - z)
    x, y = base_x + z * slope_x, base_y + z * slope_y
    surface = look_up(relief.surface, x, y, half)
    normal = tuple(
        (row[0] * surface[..., 0] + row[1] * surface[..., 1] + row[2] * surface[..., 2])
        for row in turn.astype(np.float32)
    )
    depth = (z - np.float32(origin[2])) / along[2]
    place = (a * depth, b * depth, np.float32(lens.distance) * (1 - depth))
    if relief.neck:
        still_x, still_y = (a / pose.scale - pose.shift_x), (b / pose.scale - pose.shift_y)
        held = np.clip((still_y - CHIN) / (SHOULDERS - CHIN), 0, 1)
        held = held * held * (3 - 2 * held)
        x, y = x + held * (still_x - x), y + held * (still_y - y)
    return View(x, y, (normal[0], normal[1], normal[2]), place)


def look_up(values: Field, x: Field, y: Field, half: tuple[float, float]) -> Field:
    """``values`` of the relief's grid at points in eye distances."""
    found = cv2.remap(
        values,
        (x + half[0]) * np.float32(1 / RELIEF_STEP),
        (y + half[1]) * np.float32(1 / RELIEF_STEP),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32)
