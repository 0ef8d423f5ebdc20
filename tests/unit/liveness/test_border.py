"""Sheets and devices around a face, and what looks like them: frames, hair, a camera that moves."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from face_engine.types import Face
from liveness.border import FRAMES_MAX, FRAMES_MIN, BorderTracker
from liveness.types import Outcome

SIZE = (480, 360)
EYES_PX = 36.0
LANDMARKS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.6), (-0.4, 1.1), (0.4, 1.1)])
GROWTHS = (1.0, 1.06, 1.12, 1.18, 1.24, 1.3, 1.36)
SHEET, HIGH_SHEET = (-1.9, -1.9, 1.9, 2.6), (-1.6, -2.2, 1.5, 2.2)
Rectangle = tuple[float, float, float, float]
Draw = Callable[[np.ndarray, np.ndarray], None]


def noise(seed: int, blur: float) -> np.ndarray:
    fine = np.random.default_rng(seed).normal(size=(SIZE[1] * 2, SIZE[0] * 2, 3))
    soft = cv2.GaussianBlur(fine, (0, 0), blur)
    return soft / soft.std() * 40 + 120


WALL, SKIN = noise(1, 2.5), noise(2, 4)


def place(growth: float, roll: float = 0.0) -> np.ndarray:
    """From eye distances to pixels: the face comes closer, and wanders a little."""
    along = np.array([np.cos(roll), np.sin(roll)]) * EYES_PX * growth
    middle = SIZE[0] / 2 + 90 * (growth - 1), SIZE[1] * 0.42
    return np.column_stack([along, (-along[1], along[0]), middle])


def fill(canvas: np.ndarray, frame: np.ndarray, corners: np.ndarray, colour: float) -> None:
    points = np.rint((corners @ frame[:, :2].T + frame[:, 2]) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], (colour,) * 3, cv2.LINE_AA, 4)


def box(rectangle: Rectangle) -> np.ndarray:
    left, top, right, bottom = rectangle
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def ellipse(wide: float, high: float, middle: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 60)
    return np.column_stack([wide * np.cos(angle), middle + high * np.sin(angle)])


def sheet(rectangle: Rectangle) -> Draw:
    return lambda canvas, frame: fill(canvas, frame, box(rectangle), 235)


def person(canvas: np.ndarray, frame: np.ndarray) -> None:
    """Long straight hair down both sides, and a collar."""
    fill(canvas, frame, ellipse(1.35, 1.8, 0.4), 40)
    fill(canvas, frame, box((-1.35, 0.2, 1.35, 2.6)), 40)
    fill(canvas, frame, np.array([(-1.2, 2.6), (0.0, 3.4), (1.2, 2.6)]), 240)


def hat(canvas: np.ndarray, frame: np.ndarray) -> None:
    """The same under a straight brim."""
    person(canvas, frame)
    fill(canvas, frame, box((-1.9, -1.4, 1.9, -1.15)), 235)
    fill(canvas, frame, ellipse(1.0, 0.7, -1.5), 235)


def framed_behind(canvas: np.ndarray, frame: np.ndarray) -> None:
    """A picture frame on the wall, and a head before it."""
    fill(canvas, place(1.0), box(SHEET), 235)
    person(canvas, frame)


def watch(draw: Draw, *, roll: float = 0.0, camera_moves: bool = False) -> BorderTracker:
    tracker = BorderTracker()
    for seed, growth in enumerate(GROWTHS):
        frame = place(growth, roll)
        canvas = WALL[: SIZE[1], : SIZE[0]].copy()
        draw(canvas, place(1.0, roll) if camera_moves else frame)
        if camera_moves:
            step = np.vstack([frame, [0, 0, 1]]) @ np.linalg.inv(
                np.vstack([place(1.0, roll), [0, 0, 1]])
            )
            canvas = cv2.warpAffine(canvas, step[:2], SIZE, borderMode=cv2.BORDER_REFLECT)
        fill(canvas, frame, ellipse(0.95, 1.3, 0.45), 150)
        canvas += np.random.default_rng(seed).normal(0, 3, canvas.shape)
        pixels = np.clip(canvas, 0, 255).astype(np.uint8)
        landmarks = (LANDMARKS @ frame[:, :2].T + frame[:, 2]).astype(np.float32)
        tracker.observe(pixels, Face(box=(0, 0, 1, 1), landmarks=landmarks, score=1.0))
    return tracker


@pytest.mark.parametrize("rectangle", [SHEET, HIGH_SHEET])
@pytest.mark.parametrize("roll", [-0.12, 0.0, 0.12])
def test_a_sheet_rides_with_the_face_on_it(rectangle: Rectangle, roll: float) -> None:
    cue = watch(sheet(rectangle), roll=roll).cue()
    assert cue.outcome is Outcome.ATTACK
    assert cue.score < 0.3


@pytest.mark.parametrize("draw", [person, hat, framed_behind])
def test_people_and_pictures_behind_them_are_not_accused(draw: Draw) -> None:
    cue = watch(draw).cue()
    assert cue.outcome is Outcome.UNDECIDED
    assert cue.score > 0.35


def test_a_camera_that_moves_carries_every_edge_along_and_accuses_nobody() -> None:
    tracker = watch(framed_behind, camera_moves=True)
    assert tracker.covered is not None
    assert tracker.cue().outcome is Outcome.UNDECIDED


def test_without_movement_nothing_is_said() -> None:
    tracker = BorderTracker()
    canvas = WALL[: SIZE[1], : SIZE[0]].copy()
    sheet(SHEET)(canvas, place(1.0))
    face = LANDMARKS @ place(1.0)[:, :2].T + place(1.0)[:, 2]
    for _ in range(2 * FRAMES_MAX):
        seen = Face(box=(0, 0, 1, 1), landmarks=face.astype(np.float32), score=1.0)
        tracker.observe(canvas.astype(np.uint8), seen)
    assert tracker.covered is None
    assert tracker.cue().outcome is Outcome.UNDECIDED


def test_a_face_at_the_pictures_edge_or_outside_is_no_error() -> None:
    tracker = BorderTracker()
    for growth in GROWTHS:
        far = LANDMARKS * EYES_PX * growth - 40
        seen = Face(box=(0, 0, 1, 1), landmarks=far.astype(np.float32), score=1.0)
        tracker.observe(np.zeros((200, 200, 3), np.uint8), seen)
    assert tracker.cue().outcome is Outcome.UNDECIDED
    assert len(GROWTHS) >= FRAMES_MIN
