"""Cuts the face out of the picture, upright and at the embedder's size.

Source: Umeyama, Least-squares estimation of transformation parameters between two point
patterns (1991), on the five landmarks of :class:`face_engine.types.Face`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """Where the five landmarks lie on a chip of ``side_px`` pixels: shape (5, 2), float64."""

    side_px: int
    landmarks: NDArray[np.float64]


CHIPS = {
    # Means of dlib's own chips, made symmetric.
    "dlib": Chip(
        150,
        np.array(
            [(46.03, 45.57), (102.97, 45.57), (74.50, 77.73), (50.22, 101.26), (98.78, 101.26)]
        ),
    ),
    # Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition (2019).
    "arcface": Chip(
        112,
        np.array(
            [
                (38.2946, 51.6963),
                (73.5318, 51.5014),
                (56.0252, 71.7366),
                (41.5493, 92.3655),
                (70.7299, 92.2041),
            ]
        ),
    ),
}


def cut_chip(pixels: Pixels, face: Face, chip: Chip) -> Pixels:
    """Returns the (side, side, 3) uint8 BGR chip; what lies outside the picture is black."""
    return warp(pixels, similarity(face.landmarks.astype(np.float64), chip.landmarks), chip.side_px)


def warp(
    pixels: Pixels, motion: NDArray[np.float64], side: int, border: int = cv2.BORDER_CONSTANT
) -> Pixels:
    """The square of ``side`` pixels that the similarity ``motion``, (2, 3), maps the picture to.

    Where it reduces, the part of the picture that is needed is halved by area first, until one
    linear warp skips no pixels: what is fine in the picture would turn into noise.
    """
    factor = halvings(float(np.hypot(motion[0, 0], motion[1, 0])))
    if factor > 1:
        pixels, before = _reduced(pixels, motion, side, factor)
        motion = motion @ before
    return cv2.warpAffine(pixels, motion[:2], (side, side), borderMode=border).astype(
        np.uint8, copy=False
    )


def halvings(scale: float) -> int:
    """The power of two by which to reduce by area before scaling linearly by what is left."""
    return 1 << max(0, math.floor(math.log2(1 / max(scale, 1e-3))))


def reduce(pixels: Pixels, factor: int) -> Pixels:
    """Smaller by a whole factor, each pixel the mean of those that it replaces."""
    size = max(1, pixels.shape[1] // factor), max(1, pixels.shape[0] // factor)
    part = pixels[: size[1] * factor, : size[0] * factor]
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _reduced(
    pixels: Pixels, motion: NDArray[np.float64], side: int, factor: int
) -> tuple[Pixels, NDArray[np.float64]]:
    """The part of the picture that lies in the square, reduced; and (3, 3), back to the whole."""
    corners = np.array([(-1, -1), (side, -1), (side, side), (-1, side)]) - motion[:, 2]
    there = np.linalg.solve(motion[:, :2], corners.T).T
    height, width = pixels.shape[:2]
    left, top = np.clip(there.min(axis=0) - factor, 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(there.max(axis=0) + 2 * factor, (left + 1, top + 1), (width, height))
    small = reduce(pixels[top : int(bottom), left : int(right)], factor)
    shift = (factor - 1) / 2
    return small, np.array([[factor, 0, shift + left], [0, factor, shift + top], [0, 0, 1]])


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
