"""Cuts the face out of the picture, upright and at the embedder's size.

Source: Umeyama, Least-squares estimation of transformation parameters between two point
patterns (1991), on the five landmarks of :class:`face_engine.types.Face`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels

# Means of the landmarks on dlib's 150-pixel chip, made symmetric.
DLIB_CHIP_PX = 150
DLIB_CHIP = np.array(
    [(46.03, 45.57), (102.97, 45.57), (74.50, 77.73), (50.22, 101.26), (98.78, 101.26)],
    np.float64,
)


def cut_chip(pixels: Pixels, face: Face) -> Pixels:
    """Returns the (150, 150, 3) uint8 BGR chip; what lies outside the picture is black."""
    motion = similarity(face.landmarks.astype(np.float64), DLIB_CHIP)
    chip = cv2.warpAffine(pixels, motion, (DLIB_CHIP_PX, DLIB_CHIP_PX), flags=cv2.INTER_LINEAR)
    return chip.astype(np.uint8, copy=False)


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) rotation, scale and shift that takes ``source`` nearest to ``target``.

    Both have shape (n, 2). Mirroring is never used. Raises :class:`ValueError` for points
    that all lie in one place.
    """
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    spread = source - centre_source
    variance = float((spread**2).sum())
    if variance < 1e-9:
        raise ValueError("landmarks that all lie in one place")
    left, weights, right = np.linalg.svd((target - centre_target).T @ spread)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * signs) @ right * float((weights * signs).sum()) / variance
    return np.column_stack([rotation, centre_target - rotation @ centre_source])
