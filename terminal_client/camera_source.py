"""Opens what ``--camera`` names: a device, a stream, a video, pictures, or a rendered customer."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from face_engine.engine import Engine
from face_engine.pictures import SUFFIXES, PictureError, read_picture
from liveness.rig.presentation import live_customer
from terminal_client.camera import Camera, SimulatedCamera, Stills, VideoCamera
from terminal_client.errors import CameraError

SIMULATED = "simulated:"
STREAMS = ("rtsp://", "rtsps://", "http://", "https://")


def open_camera(where: str, engine: Engine) -> Camera:
    """``where``: ``0`` (device), ``rtsp://…``, a video file, a folder, or ``simulated:PHOTO``.

    Raises :class:`CameraError`; a device or stream may also fail later, at its first frame.
    """
    _silence()
    if where.isascii() and where.isdigit():
        return VideoCamera(int(where))
    if where.lower().startswith(STREAMS):
        return VideoCamera(where)
    if where.startswith(SIMULATED):
        return _simulated(Path(where.removeprefix(SIMULATED)), engine)
    path = Path(where)
    if not path.exists():
        raise CameraError(f"there is no camera, file or folder {where}")
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return _stills(path)
    return VideoCamera(path)


def _silence() -> None:
    """OpenCV and FFmpeg print to standard error, a stream's password too; errors come as ours."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _stills(path: Path) -> Stills:
    try:
        return Stills.open(path)
    except OSError as error:
        raise CameraError(f"{path.name}: {error.strerror}") from error


def _simulated(path: Path, engine: Engine) -> SimulatedCamera:
    try:
        pixels = read_picture(path)
    except PictureError as error:
        raise CameraError(str(error)) from error
    faces = engine.detect(pixels)
    if not faces:
        raise CameraError(f"{path.name} shows no face")
    return SimulatedCamera(live_customer(pixels, faces[0], seed=int.from_bytes(os.urandom(4))))
