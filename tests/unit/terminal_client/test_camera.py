"""The simulated customer's time: from frame to frame, and never before the true time."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client import camera
from terminal_client.camera import (
    SimulatedCamera,
    Stills,
    VideoCamera,
    describe_device,
    identify,
)
from wire.messages import Source

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


def plug_in(root: Path, port: str, *, name: str = "Camera", serial: str = "17") -> Path:
    """The folders that Linux makes for a USB camera."""
    bus = root / "devices" / port / f"{port}:1.0"
    device = bus / "video4linux" / "video0"
    device.mkdir(parents=True)
    (bus / "driver").symlink_to(root / "drivers" / "uvcvideo")
    (root / "drivers" / "uvcvideo").mkdir(parents=True, exist_ok=True)
    (bus / "modalias").write_text("usb:v046Dp0825\n")
    (bus.parent / "serial").write_text(f"{serial}\n")
    (device / "name").write_text(f"{name}\n")
    (device / "device").symlink_to(bus)
    return device


def test_a_device_is_described_by_its_place_driver_ids_serial_number_and_name(
    tmp_path: Path,
) -> None:
    found = describe_device(plug_in(tmp_path, "1-1"))
    assert found[1:] == ("uvcvideo", "usb:v046Dp0825", "17", "Camera")
    others = [
        describe_device(plug_in(tmp_path, "1-2")),
        describe_device(plug_in(tmp_path, "1-3", name="Loopback")),
        describe_device(plug_in(tmp_path, "1-4", serial="18")),
        describe_device(tmp_path / "nothing"),
    ]
    assert len({identify(Source.CAMERA, *each) for each in [found, *others]}) == 5
    assert identify(Source.CAMERA, *found) != identify(Source.STREAM, *found)


def test_a_device_behind_which_no_hardware_stands_is_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = tmp_path / "devices" / "virtual"
    (virtual / "video7").mkdir(parents=True)
    plug_in(tmp_path, "1-1")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "video7").symlink_to(virtual / "video7")
    monkeypatch.setattr(camera, "SYSFS", tmp_path / "class")
    monkeypatch.setattr(camera, "VIRTUAL", virtual)
    assert VideoCamera(7).source is Source.STREAM
    assert VideoCamera(0).source is Source.CAMERA
    assert VideoCamera(7).identity != VideoCamera(0).identity


def test_the_mode_that_a_file_was_read_in_is_no_part_of_its_identity() -> None:
    assert VideoCamera(Path("a.mp4")).identity == Stills().identity == identify(Source.FILE)
