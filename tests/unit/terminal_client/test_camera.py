"""The simulated customer's time: from frame to frame, and never before the true time."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client import camera
from terminal_client.camera import SimulatedCamera

INTERVALS_MS = (60, 71, 66)


class Machine:
    """Its clock; ``busy_ms`` passes whenever a frame is rendered."""

    def __init__(self, busy_ms: list[int]) -> None:
        self.now_ms = 1_000_000.0
        self.busy_ms = busy_ms
        self.frames = 0

    def monotonic_ms(self) -> int:
        return int(self.now_ms)

    def sleep(self, seconds: float) -> None:
        self.now_ms += seconds * 1000

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None) -> None:
        pass

    def next_ms(self, after_ms: int) -> int:
        self.frames += 1
        return after_ms + INTERVALS_MS[self.frames % 3]

    def frame(self, at_ms: int) -> Frame:
        assert at_ms <= self.now_ms + 1
        self.now_ms += self.busy_ms.pop(0) if self.busy_ms else 1
        return Frame(pixels=np.zeros((2, 2, 3), np.uint8), captured_at_ms=at_ms)


@pytest.mark.parametrize("busy_ms", [[], [5_000], [300] * 30, [900, 1] * 15])
def test_a_slow_machine_makes_no_gap_and_a_quick_one_does_not_hurry(
    monkeypatch: pytest.MonkeyPatch, busy_ms: list[int]
) -> None:
    machine = Machine(busy_ms)
    monkeypatch.setattr(camera, "monotonic_ms", machine.monotonic_ms)
    monkeypatch.setattr(camera.time, "sleep", machine.sleep)
    seen = SimulatedCamera(machine)
    machine.now_ms += 10_000  # what passed before the camera was looked at is no customer's time
    started_ms = machine.monotonic_ms()
    times = [frame.captured_at_ms for frame in islice(seen.frames(), 40)]
    assert {later - earlier for earlier, later in pairwise([started_ms, *times])} == set(
        INTERVALS_MS
    )
