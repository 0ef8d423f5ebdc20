"""Looks for a QR code in the camera's pictures while somebody is to say who they are.

Guarantees: the camera is open only inside the block; one that does not answer is no error here,
and asked again after ``AGAIN_S``. A code left in view says it once in ``SAME_S``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self

from face_engine.types import Frame
from terminal_client.errors import CameraError
from terminal_client.kiosk.feed import OWN_SPEED, Feed
from terminal_client.kiosk.screen import Screen
from terminal_client.qr import read_claim

AGAIN_S, SAME_S = 2.0, 10.0


class Scanner:
    """A context; ``answers``: whether the camera did."""

    def __init__(self, feed: Feed, screen: Screen) -> None:
        self._feed, self._screen = feed, screen
        self._frames: Iterator[Frame] | None = None
        self._again_at = 0.0
        self._last, self._last_until = "", 0.0
        self.answers = True

    @property
    def useful(self) -> bool:
        """Nobody holds a code before a simulated camera."""
        return self._feed.source in OWN_SPEED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._frames = None

    def look(self) -> None:
        """At one picture."""
        if not self.useful or time.monotonic() < self._again_at:
            return
        self._frames = self._frames or self._feed.frames()
        try:
            frame = next(self._frames)
        except (CameraError, StopIteration):
            self._frames, self.answers = None, False
            self._again_at = time.monotonic() + AGAIN_S
            return
        self.answers = True
        claim = read_claim(frame.pixels)
        if claim is None or (claim == self._last and time.monotonic() < self._last_until):
            return
        self._last, self._last_until = claim, time.monotonic() + SAME_S
        self._screen.offer(claim)
