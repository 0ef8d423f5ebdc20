"""The face in its own affine frame: the view in which the cues that read pixels look at it.

The frame's origin is the middle between the eyes, its first axis (u) runs from eye to eye, its
second (v) from there to the middle of the mouth; both have length 1. In it a picture that is
shifted, turned or tilted looks as before, as far as the camera is away.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels

AREA_MIN = 1.0

Matrix = NDArray[np.float64]


def affine_frame(face: Face) -> Matrix | None:
    """(2, 3): from (u, v, 1) to the picture's pixels; None for landmarks that span no frame."""
    left_eye, right_eye, _, mouth_left, mouth_right = face.landmarks.astype(np.float64)
    origin = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, (mouth_left + mouth_right) / 2 - origin
    if across[0] * down[1] - across[1] * down[0] < AREA_MIN:
        return None
    return np.column_stack([across, down, origin])


def look(
    pixels: Pixels, frame: Matrix, *, corner: tuple[float, float], size: tuple[int, int], unit: int
) -> Pixels:
    """``pixels`` in the affine frame from ``corner`` (u, v) on, ``unit`` pixels to 1.

    ``size`` is (width, height) of the view, uint8 and with the channels of ``pixels``. Reduced
    by area first, so that every pixel counts; beyond the picture's edge its edge goes on.
    """
    across = np.linalg.norm(frame[:, 0])
    step = max(1, int(across / unit))
    reduced, to_reduced = _reduce(pixels, frame, corner, size, unit, step)
    view = np.array([[1 / unit, 0.0, corner[0]], [0.0, 1 / unit, corner[1]], [0.0, 0.0, 1.0]])
    return cv2.warpAffine(
        reduced,
        to_reduced @ view,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.uint8, copy=False)


def _reduce(
    pixels: Pixels, frame: Matrix, corner: tuple[float, float], size: tuple[int, int],
    unit: int, step: int,
) -> tuple[Pixels, Matrix]:  # fmt: skip
    """The part of ``pixels`` that the view needs, ``step`` times smaller, and the frame in it."""
    u, v = corner
    far_u, far_v = u + size[0] / unit, v + size[1] / unit
    corners = frame @ np.array([[u, far_u, u, far_u], [v, v, far_v, far_v], [1, 1, 1, 1]])
    height, width = pixels.shape[:2]
    left, top = np.clip(corners.min(axis=1) - step, 0, [width - step, height - step]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=1)) + step, [left + step, top + step],
                            [width, height]).astype(int)  # fmt: skip
    columns, rows = (right - left) // step, (bottom - top) // step
    part = pixels[top : top + rows * step, left : left + columns * step]
    moved = frame.copy()
    moved[:, 2] -= (left, top)
    if step == 1:
        return part, moved
    reduced = cv2.resize(part, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    moved /= step
    moved[:, 2] += 0.5 / step - 0.5
    return reduced.astype(np.uint8, copy=False), moved
