"""Where frames come from.

Guarantees: a camera that is missing or stops is a :class:`CameraError`; frames carry the
terminal's monotonic time; :attr:`Camera.source` says truly what it is, and goes into the
evidence, and so does :attr:`Camera.identity`, to which the service pins the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from face_engine.pictures import SUFFIXES, PictureError, read_picture
from face_engine.types import Frame, Pixels
from liveness.challenge import Colour, Move
from terminal_client.errors import CameraError
from wire.messages import Source

STILL_INTERVAL_MS = 40
MISSED_FRAMES_MAX = 10
IDENTITY_LABEL = "countenance/v1/camera"
SYSFS = Path("/sys/class/video4linux")
VIRTUAL = Path("/sys/devices/virtual")
_MODE = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 5_000, 2_000
_MISSING = {
    Source.CAMERA: "the camera is missing: check that it is plugged in",
    Source.STREAM: "the stream does not answer: check its address and password",
    Source.FILE: "the file is no video that can be read here",
}


class Camera(Protocol):
    @property
    def source(self) -> Source: ...

    @property
    def identity(self) -> bytes:
        """A digest of 32 bytes; of the camera and mode that the last frames came from."""

    def frames(self) -> Iterator[Frame]:
        """Raises :class:`CameraError`."""

    def show(self, move: Move | None, colour: Colour | None) -> None:
        """Tells a simulated customer what the screen asks; cameras do not care."""


class VideoCamera:
    """A device by its number, a stream by its URL, or a video file."""

    def __init__(self, where: int | str | Path) -> None:
        self._where = where
        self._mode = ""

    @property
    def source(self) -> Source:
        if isinstance(self._where, int):
            virtual = _sysfs(self._where).resolve().is_relative_to(VIRTUAL)
            return Source.STREAM if virtual else Source.CAMERA
        return Source.STREAM if "://" in str(self._where) else Source.FILE

    @property
    def identity(self) -> bytes:
        """Of a device: where it is plugged in, what it is, its driver, name, size and rate.

        A driver and an operating system say so, and whoever holds them can say anything.
        """
        if isinstance(self._where, int):
            return identify(self.source, *describe_device(_sysfs(self._where)), self._mode)
        if self.source is Source.STREAM:
            return identify(self.source, str(self._where), self._mode)
        return identify(self.source)

    def frames(self) -> Iterator[Frame]:
        capture = self._open()
        try:
            if not capture.isOpened():
                raise CameraError(_MISSING[self.source])
            self._mode = "{:.0f}x{:.0f}@{:.3f}".format(*map(capture.get, _MODE))
            yield from self._read(capture)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self._where, int):
            return cv2.VideoCapture(self._where, cv2.CAP_ANY)
        bounds = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS),
        ]
        return cv2.VideoCapture(str(self._where), cv2.CAP_FFMPEG, bounds)

    def _read(self, capture: cv2.VideoCapture) -> Iterator[Frame]:
        missed = 0
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        index = 0
        while missed < MISSED_FRAMES_MAX:
            done, pixels = capture.read()
            if not done:
                if self.source is Source.FILE:
                    return
                missed += 1
                continue
            missed = 0
            index += 1
            at_ms = int(index * 1000 / rate) if self.source is Source.FILE else monotonic_ms()
            yield Frame(pixels=pixels.astype(np.uint8, copy=False), captured_at_ms=at_ms)
        raise CameraError("the camera stopped: check its cable")

    def show(self, move: Move | None, colour: Colour | None) -> None:
        return


def identify(source: Source, *description: str) -> bytes:
    """The digest of a camera's identity: its source, and what else tells it from others."""
    return sha256("\n".join([IDENTITY_LABEL, source.name.lower(), *description]).encode()).digest()


def describe_device(device: Path) -> tuple[str, ...]:
    """What Linux says of a video device: bus address, driver, ids, serial number and name.

    ``device``: its folder below ``/sys/class/video4linux``. Missing parts are empty.
    """
    bus = device / "device"
    files = (bus / "modalias", bus.resolve().parent / "serial", device / "name")
    return (
        str(bus.resolve()) if bus.exists() else "",
        (bus / "driver").resolve().name if (bus / "driver").exists() else "",
        *(file.read_text().strip() if file.is_file() else "" for file in files),
    )


def _sysfs(index: int) -> Path:
    return SYSFS / f"video{index}"


class Stills:
    """Photos, one frame each; a file or a folder of files."""

    source = Source.FILE
    identity = identify(Source.FILE)

    def __init__(self, *pictures: Pixels) -> None:
        self._pictures = pictures

    @classmethod
    def open(cls, path: Path) -> Stills:
        """Raises :class:`CameraError` for a place without a picture that can be read."""
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        try:
            pictures = [read_picture(file) for file in files if file.suffix.lower() in SUFFIXES]
        except PictureError as error:
            raise CameraError(str(error)) from error
        if not pictures:
            raise CameraError(f"{path.name} holds no picture")
        return cls(*pictures)

    def frames(self) -> Iterator[Frame]:
        for index, pixels in enumerate(self._pictures):
            yield Frame(pixels=pixels, captured_at_ms=index * STILL_INTERVAL_MS)

    def show(self, move: Move | None, colour: Colour | None) -> None:
        return


class Customer(Protocol):
    """A presentation of :mod:`liveness.rig`."""

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None) -> None: ...

    def next_ms(self, after_ms: int) -> int | None: ...

    def frame(self, at_ms: int) -> Frame: ...


class SimulatedCamera:
    """A rendered customer, who sees the screen, before a rendered camera with its own jitter.

    The customer's time goes from frame to frame, so a machine that is slow makes no gap in it,
    and the same seed looks the same at any load. It never runs before the true time: the
    service refuses a plan that was carried out in less time than passed.
    """

    source = Source.SIMULATED
    identity = identify(Source.SIMULATED)

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._at_ms = 0

    def frames(self) -> Iterator[Frame]:
        self._at_ms = monotonic_ms()
        while (following := self._customer.next_ms(self._at_ms)) is not None:
            self._at_ms = following
            time.sleep(max(0, self._at_ms - monotonic_ms()) / 1000)
            yield self._customer.frame(self._at_ms)

    def show(self, move: Move | None, colour: Colour | None) -> None:
        self._customer.follow(move, self._at_ms, colour)


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
