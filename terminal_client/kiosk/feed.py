"""The terminal's camera, and what the person sees of it: the newest picture, for the preview.

Guarantees: the camera is open only while an attempt looks through it, and there is a preview only
then. A device or stream is read at its own speed, so no picture waits in a buffer: the attempt
gets the newest one, and so does the preview. Pictures are kept by nobody: each takes the place of
the one before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from threading import Condition, Thread

import cv2

from face_engine.types import Frame, Pixels
from liveness.challenge import Colour, Move
from terminal_client.camera import Camera
from terminal_client.errors import CameraError
from wire.messages import Source

PREVIEW_WIDTH, PREVIEW_QUALITY = 480, 80
STALLED_S = 5.0
STOP_S = 3.0
OWN_SPEED = frozenset({Source.CAMERA, Source.STREAM, Source.BROWSER})


class Feed:
    """A :class:`~terminal_client.camera.Camera` that others may watch."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._changed = Condition()
        self._newest: Pixels | None = None
        self._at_ms = 0
        self._number = 0

    @property
    def source(self) -> Source:
        return self._camera.source

    @property
    def identity(self) -> bytes:
        return self._camera.identity

    def show(self, move: Move | None, colour: Colour | None) -> None:
        self._camera.show(move, colour)

    def frames(self) -> Iterator[Frame]:
        """Raises :class:`CameraError`."""
        try:
            with closing(self._frames()) as frames:
                yield from frames
        finally:
            self._end()

    def answers(self) -> bool:
        """Whether there is a picture at all, where there was none."""
        try:
            with closing(self._frames()) as frames:
                return next(frames, None) is not None
        except CameraError:
            return False
        finally:
            self._end()

    def picture(self, seen: int, *, timeout_s: float) -> tuple[int, int, bytes]:
        """The newest picture after ``seen``, its number, its Unix time in milliseconds, and its
        JPEG, which is empty where there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen, timeout_s)
            number, at_ms, pixels = self._number, self._at_ms, self._newest
        if pixels is None or number == seen:
            return number, at_ms, b""
        return number, at_ms, _jpeg(pixels)

    def _frames(self) -> Generator[Frame, None, None]:
        if self.source in OWN_SPEED:
            yield from _Newest(self._camera, self._publish).frames()
            return
        for frame in self._camera.frames():
            self._publish(frame)
            yield frame

    def _publish(self, frame: Frame) -> None:
        with self._changed:
            self._newest, self._at_ms = frame.pixels, time.time_ns() // 1_000_000
            self._number += 1
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._newest = None
            self._number += 1
            self._changed.notify_all()


class _Newest:
    """Reads a camera in a thread of its own; who is slower than the camera misses frames."""

    def __init__(self, camera: Camera, publish: Callable[[Frame], None]) -> None:
        self._camera, self._publish = camera, publish
        self._changed = Condition()
        self._frame: Frame | None = None
        self._failure: Exception | None = None
        self._stopped = self._ended = False

    def frames(self) -> Iterator[Frame]:
        thread = Thread(target=self._read, daemon=True, name="camera")
        thread.start()
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self._stopped = True
            thread.join(STOP_S)

    def _next(self) -> Frame | None:
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._frame is not None or self._ended, STALLED_S
            )
            frame, self._frame = self._frame, None
            if frame is None and self._failure is not None:
                raise self._failure
        if not ready:
            raise CameraError("the camera stopped: check its cable")
        return frame

    def _read(self) -> None:
        try:
            for frame in self._camera.frames():
                self._publish(frame)
                with self._changed:
                    self._frame = frame
                    self._changed.notify_all()
                if self._stopped:
                    return
        except Exception as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def _jpeg(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    if width > PREVIEW_WIDTH:
        size = (PREVIEW_WIDTH, round(height * PREVIEW_WIDTH / width))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])
    return encoded.tobytes()
