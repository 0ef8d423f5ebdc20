"""Picture files, read within bounds.

Guarantees: a file is read whole or refused by name before it can take more memory than
``PIXELS_MAX`` allows (where OpenCV was not loaded before :mod:`face_engine`); a photo is turned
the way its EXIF orientation says; what comes out is (height, width, 3) uint8, BGR. Of an
animation the first picture counts.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from face_engine.types import Pixels

FILE_BYTES_MAX = 32 * 1024 * 1024
PIXELS_MAX = 50_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm"})


class PictureError(Exception):
    """A file that is not a picture that can be read here."""


def read_picture(path: Path) -> Pixels:
    """Raises :class:`PictureError`."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise PictureError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise PictureError(f"{path.name} is larger than {FILE_BYTES_MAX >> 20} MiB")
    return decode_picture(content, name=path.name)


def decode_picture(content: bytes, *, name: str) -> Pixels:
    """Raises :class:`PictureError`."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"{name} is damaged, or too large") from error
    if pixels is None:
        raise PictureError(f"{name} is not a picture that can be read here")
    if pixels.shape[0] * pixels.shape[1] > PIXELS_MAX:
        raise PictureError(f"{name} has more than {PIXELS_MAX // 10**6} million pixels")
    return pixels.astype(np.uint8, copy=False)


def enlarge(pixels: Pixels, factor: int) -> Pixels:
    """For small pictures: enlarged ``factor`` times, with a border as wide as a third of it."""
    large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    border = max(large.shape[:2]) // 3
    framed = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
    return framed.astype(np.uint8, copy=False)
