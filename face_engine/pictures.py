"""Picture files, read within bounds.

Guarantees: a file is read whole or refused by name, before it takes more memory than
``PIXELS_MAX`` allows: the size is read from the header first. Only the formats of
:mod:`face_engine.picture_size` reach a decoder. A photo is turned the way its EXIF orientation
says; what comes out is (height, width, 3) uint8, BGR, whatever the depth and colours of the file
(transparency is left out). Of an animation the first picture counts.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from face_engine.picture_size import read_size
from face_engine.types import Pixels

FILE_BYTES_MAX = 32 * 1024 * 1024
PIXELS_MAX = 50_000_000
TRAILER_BYTES = 1024 * 1024
FORMATS = "JPEG, PNG, GIF, BMP, WebP, PGM or PPM"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".pgm", ".ppm"})


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
    _require_readable(content, name)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"{name} is damaged") from error
    if pixels is None:
        raise PictureError(f"{name} is damaged")
    _require_small(pixels.shape[1], pixels.shape[0], name)
    return pixels.astype(np.uint8, copy=False)


def _require_readable(content: bytes, name: str) -> None:
    if content[4:8] == b"ftyp":
        raise PictureError(f"{name} is HEIC or AVIF, which is not supported: save it as JPEG")
    size = read_size(content)
    if size is None:
        raise PictureError(f"{name} is not a picture that can be read here ({FORMATS})")
    _require_small(*size, name)
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
    for start, end in ends.items():
        if content.startswith(start) and end not in content[-TRAILER_BYTES:]:
            raise PictureError(f"{name} is cut off: its end is missing")


def _require_small(width: int, height: int, name: str) -> None:
    if width * height > PIXELS_MAX:
        raise PictureError(
            f"{name} has {width} x {height} pixels, more than {PIXELS_MAX // 10**6} million"
        )


def enlarge(pixels: Pixels, factor: int) -> Pixels:
    """For small pictures: enlarged ``factor`` times, with a border as wide as a third of it."""
    large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    border = max(large.shape[:2]) // 3
    framed = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
    return framed.astype(np.uint8, copy=False)
