"""``countenance terminal door run`` as it ships, but for the camera and the face engine.

Who stands before the camera, and the code that they hold up, is read from ``SCENE`` (JSON, its
``face`` a seed, its ``shown`` a claim); a face is the made-up embedding of its seed, a code a
picture that is read as any other. ``SKEW_MS`` is how far ahead this machine's clock is. All else is
the command's own: its loop, gate, link, keeper, driver, log.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from countenance.cli import main
from countenance.commands import terminal_door, terminal_gate
from face_engine.catalogue import load_pack
from face_engine.templates import Candidate
from face_engine.types import Frame as CameraFrame
from face_engine.types import Pixels
from liveness.types import Observation
from terminal_client.camera import identify, monotonic_ms
from terminal_client.ceremony import Frame
from terminal_client.terminal import Terminal
from tests.processes.till import FACE, made_up
from wire.messages import Source

FRAME_S = 0.02
SCENE = "COUNTENANCE_TEST_SCENE"
SKEW = "COUNTENANCE_TEST_SKEW_MS"


class MadeUpEngine:
    def __init__(self) -> None:
        self.pack = load_pack("pip")
        self.model_id = self.pack.model_id

    @classmethod
    def open(cls, _pack: str) -> MadeUpEngine:
        return cls()


class Scene:
    source = Source.SIMULATED
    identity = identify(Source.SIMULATED)

    def __init__(self, _where: str, _engine: object) -> None:
        pass

    def frames(self) -> Iterator[CameraFrame]:
        while True:
            time.sleep(FRAME_S)
            yield CameraFrame(pixels=code(look().get("shown") or ""), captured_at_ms=monotonic_ms())

    def show(self, *_: object) -> None:
        return


def look() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ[SCENE]).read_text())
    return found


@cache
def code(text: str) -> Pixels:
    """A QR code; nothing in an empty hand."""
    if not text:
        return np.full((64, 64, 3), 255, np.uint8)
    drawn = cv2.QRCodeEncoder.create().encode(text)
    framed = cv2.copyMakeBorder(drawn, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
    large = cv2.resize(framed, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)


def observe(_terminal: Terminal, _ceremony: object, frame: CameraFrame) -> Frame:
    embedding = made_up(look()["face"])
    seen = Observation(
        captured_at_ms=frame.captured_at_ms, faces=(FACE,), passive=None, embedding=embedding
    )
    view = Candidate(embedding=embedding, quality=50, yaw_deg=0, pitch_deg=0)
    return Frame(observation=seen, flaw=None, view=view)


def run() -> None:
    true_ns, skew_ns = time.time_ns, int(os.environ[SKEW]) * 1_000_000
    time.time_ns = lambda: true_ns() + skew_ns
    terminal_door.Engine = MadeUpEngine  # type: ignore[misc, assignment]
    terminal_gate.open_camera = Scene  # type: ignore[assignment]
    Terminal._observe = observe  # type: ignore[method-assign, assignment]
    main(sys.argv[1:])


if __name__ == "__main__":
    run()
