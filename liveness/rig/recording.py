"""Real recordings as presentations: a video, an animated GIF, or a folder of frames.

A recording hears nothing of the screen, so only cues that need no plan can judge it. A folder
of frames may hold a file ``fps`` with their rate; without one it is 25.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from face_engine.pictures import SUFFIXES, PictureError, read_picture
from face_engine.types import Frame, Pixels
from liveness.challenge import Colour, Move

VIDEOS = frozenset({".mp4", ".gif", ".avi", ".mkv", ".mov", ".webm"})
FPS_FILE, FPS = "fps", 25.0
SIDE_MAX_PX = 1280


Frames = Generator[Frame, None, None]


class RecordingError(Exception):
    """A file or folder that holds no frames that can be read here."""


class Recording:
    """Close it when it is not played to its end."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`RecordingError`."""
        self.path = path
        self._frames = _read_folder(path) if path.is_dir() else _read_video(path)
        self._next = next(self._frames, None)
        if self._next is None:
            raise RecordingError(f"{path.name} has no frame that can be read here")
        self._now = self._next

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        """A recording hears nothing."""

    def next_ms(self, after_ms: int) -> int | None:
        if self._next is None:
            return None
        return max(after_ms + 1, self._next.captured_at_ms + 1)

    def frame(self, at_ms: int) -> Frame:
        if self._next is not None:
            self._now, self._next = self._next, next(self._frames, None)
        return Frame(pixels=self._now.pixels, captured_at_ms=at_ms)

    def close(self) -> None:
        self._frames.close()


def is_recording(path: Path) -> bool:
    if path.is_dir():
        return any(each.suffix.lower() in SUFFIXES for each in path.iterdir())
    return path.suffix.lower() in VIDEOS


def _read_video(path: Path) -> Frames:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        while True:
            done, pixels = capture.read()
            if not done:
                return
            at_ms = round(capture.get(cv2.CAP_PROP_POS_MSEC))
            yield Frame(pixels=_fit(np.asarray(pixels, np.uint8)), captured_at_ms=at_ms)
    finally:
        capture.release()


def _read_folder(path: Path) -> Frames:
    pictures = (each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    files = sorted(pictures, key=lambda each: (len(each.name), each.name))
    interval_ms = 1000 / _read_rate(path)
    for index, file in enumerate(files):
        try:
            pixels = read_picture(file)
        except PictureError as error:
            raise RecordingError(f"{path.name}: {error}") from error
        yield Frame(pixels=_fit(pixels), captured_at_ms=round(index * interval_ms))


def _read_rate(folder: Path) -> float:
    try:
        rate = float((folder / FPS_FILE).read_text()[:20])
    except FileNotFoundError:
        return FPS
    except (OSError, ValueError) as error:
        raise RecordingError(f"{folder.name}/{FPS_FILE} is not a number of frames") from error
    if not 1 <= rate <= 1000:
        raise RecordingError(f"{folder.name}/{FPS_FILE} is not between 1 and 1000")
    return rate


def _fit(pixels: Pixels) -> Pixels:
    scale = SIDE_MAX_PX / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)
