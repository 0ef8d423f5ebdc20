"""The camera and its preview: who is slow misses pictures, and who looks away sees none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event

import cv2
import numpy as np
import pytest

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client.camera import identify
from terminal_client.errors import CameraError
from terminal_client.kiosk import feed as feeds
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.scanner import Scanner
from terminal_client.kiosk.screen import Screen, View
from wire.messages import Source


@dataclass
class Rolling:
    """A camera that goes on whether or not anybody looks."""

    interval_s: float = 0.005
    fails_after: int | None = None
    shows: np.ndarray = field(default_factory=lambda: np.zeros((48, 64, 3), np.uint8))  # type: ignore[type-arg]
    closed: Event = field(default_factory=Event)
    source: Source = Source.CAMERA
    identity: bytes = identify(Source.CAMERA)

    def frames(self) -> Iterator[Frame]:
        number = 0
        try:
            while self.fails_after is None or number < self.fails_after:
                number += 1
                time.sleep(self.interval_s)
                yield Frame(pixels=self.shows, captured_at_ms=number)
            raise CameraError("the camera stopped: check its cable")
        finally:
            self.closed.set()

    def show(self, move: Move | None, colour: Colour | None) -> None:
        return


def test_who_is_slower_than_the_camera_gets_the_newest_picture() -> None:
    camera = Rolling()
    frames = Feed(camera).frames()
    first = next(frames).captured_at_ms
    time.sleep(0.5)
    assert next(frames).captured_at_ms > first + 5
    frames.close()  # type: ignore[attr-defined]
    assert camera.closed.wait(2)


def test_the_preview_goes_on_while_a_picture_is_looked_at() -> None:
    feed = Feed(Rolling())
    frames = feed.frames()
    next(frames)
    seen = feed.picture(0, timeout_s=0)[0]
    time.sleep(0.5)
    assert feed.picture(seen, timeout_s=0)[0] > seen + 5
    frames.close()  # type: ignore[attr-defined]
    assert feed.picture(-1, timeout_s=0)[2] == b""


def test_a_camera_that_stops_is_an_error_after_its_last_picture() -> None:
    camera = Rolling(fails_after=1)
    with pytest.raises(CameraError, match="cable"):
        list(Feed(camera).frames())
    assert not Feed(Rolling(fails_after=0)).answers()
    assert Feed(Rolling()).answers()


def test_a_camera_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "STALLED_S", 0.1)
    monkeypatch.setattr(feeds, "STOP_S", 0.1)
    with pytest.raises(CameraError):
        next(Feed(Rolling(interval_s=1.0)).frames())


def test_a_file_is_read_picture_by_picture() -> None:
    camera = Rolling(fails_after=3, source=Source.FILE)
    frames = Feed(camera).frames()
    numbers = []
    for _ in range(3):
        time.sleep(0.02)
        numbers.append(next(frames).captured_at_ms)
    assert numbers == [1, 2, 3]


def test_a_code_before_the_camera_says_who_claims_to_be_there_once() -> None:
    code = cv2.QRCodeEncoder.create().encode("qr:4711")
    code = cv2.copyMakeBorder(code, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
    big = cv2.resize(code, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
    camera = Rolling(shows=cv2.cvtColor(big, cv2.COLOR_GRAY2BGR).astype(np.uint8))
    screen = Screen(lambda: View(name="door", claims=True))
    with Scanner(Feed(camera), screen) as scanner:
        scanner.look()
        begun = screen.meet(wait_s=1)
        assert begun is not None
        assert begun["claim"] == "qr:4711"
        scanner.look()
        assert screen.meet(wait_s=0.05) is None
    assert camera.closed.wait(2)


def test_a_scanner_waits_for_a_camera_that_does_not_answer() -> None:
    scanner = Scanner(Feed(Rolling(fails_after=0)), Screen(lambda: View(name="door")))
    with scanner:
        scanner.look()
        assert not scanner.answers


def test_nobody_holds_a_code_before_a_simulated_camera() -> None:
    camera = Rolling(source=Source.SIMULATED)
    assert not Scanner(Feed(camera), Screen(lambda: View(name="door"))).useful
