"""Flaws on a drawn face: each is named, in its order, and told to the person in words."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from face_engine.quality import (
    ENROLMENT,
    HEAD,
    PROBE,
    Flaw,
    Pose,
    Quality,
    assess,
    find_flaw,
    read_pose,
)
from face_engine.types import Face, Pixels

GOOD = Quality(
    inter_eye_px=80.0,
    outside=0.0,
    dark=0.0,
    bright=0.0,
    dynamic_range=120.0,
    pose=Pose(yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0),
    eyes_visible=0.7,
    sharpness=15.0,
)
WORSE: list[tuple[Flaw, dict[str, object]]] = [
    (Flaw.TOO_FAR, {"inter_eye_px": 10.0}),
    (Flaw.CUT_OFF, {"outside": 0.5}),
    (Flaw.TOO_DARK, {"dark": 0.9}),
    (Flaw.TOO_BRIGHT, {"bright": 0.9}),
    (Flaw.LOW_CONTRAST, {"dynamic_range": 10.0}),
    (Flaw.TURNED, {"yaw_deg": -50.0}),
    (Flaw.LOOKING_DOWN, {"pitch_deg": -50.0}),
    (Flaw.TILTED, {"roll_deg": 50.0}),
    (Flaw.EYES_HIDDEN, {"eyes_visible": 0.0}),
    (Flaw.BLURRED, {"sharpness": 0.1}),
]


def worse(quality: Quality, change: dict[str, object]) -> Quality:
    (name,) = change
    if name.endswith("_deg"):
        return replace(quality, pose=replace(quality.pose, **change))
    return replace(quality, **change)


def head(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, *, eyes_px: float = 80.0
) -> np.ndarray:
    """The landmarks of the mean head, turned, in the middle of 640 by 480; degrees."""
    a, b, c = np.radians([yaw, -pitch, roll])
    turned = HEAD @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    turned = turned @ np.array(
        [[1, 0, 0], [0, np.cos(b), np.sin(b) * -1], [0, np.sin(b), np.cos(b)]]
    )
    seen = turned[:, :2] @ np.array([[np.cos(c), np.sin(c)], [-np.sin(c), np.cos(c)]])
    return (seen * eyes_px + (320, 240)).astype(np.float32)


def face_at(landmarks: np.ndarray) -> Face:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    margin = 0.5 * (high - low)
    box = (*(low - margin), *(high + margin))
    return Face(box=tuple(map(float, box)), landmarks=landmarks, score=1.0)  # type: ignore[arg-type]


FACE = face_at(head())


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    """A face of skin, eyes, brows, nose and mouth, with the grain that skin has."""
    pixels = np.full((480, 640, 3), 90, np.uint8)
    cv2.ellipse(pixels, (320, 240), (95, 130), 0, 0, 360, (150, 165, 190), -1)
    for x, y in FACE.landmarks[:2]:
        cv2.ellipse(pixels, (int(x), int(y)), (17, 8), 0, 0, 360, (225, 225, 225), -1)
        cv2.circle(pixels, (int(x), int(y)), 8, (40, 50, 60), -1)
        cv2.ellipse(pixels, (int(x), int(y) - 18), (24, 5), 0, 180, 360, (50, 60, 70), -1)
    cv2.ellipse(pixels, (320, 240), (14, 9), 0, 0, 180, (110, 120, 150), -1)
    cv2.ellipse(pixels, (320, 286), (34, 9), 0, 0, 360, (90, 90, 160), -1)
    grain = np.random.default_rng(1).normal(0, 6, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def test_a_good_picture_has_no_flaw(portrait: Pixels) -> None:
    assert find_flaw(portrait, [FACE], ENROLMENT) is None
    assert assess(portrait, FACE).score > 60


@pytest.mark.parametrize("first", range(len(WORSE)))
def test_of_several_flaws_the_first_is_named(first: int) -> None:
    quality = GOOD
    for _, change in WORSE[first:]:
        quality = worse(quality, change)
    for limits in (ENROLMENT, PROBE):
        assert quality.flaw(limits) is WORSE[first][0]


def test_a_chin_that_is_lifted_too_high_is_lowered() -> None:
    assert worse(GOOD, {"pitch_deg": 50.0}).flaw(PROBE) is Flaw.LOOKING_UP


def test_people_come_before_light_and_position(portrait: Pixels) -> None:
    dark = (portrait * 0.05).astype(np.uint8)
    assert find_flaw(dark, [], PROBE) is Flaw.NO_FACE
    assert find_flaw(dark, [FACE, FACE], PROBE) is Flaw.SEVERAL_FACES
    assert find_flaw(dark, [FACE], PROBE) is Flaw.TOO_DARK


def test_somebody_far_behind_does_not_count(portrait: Pixels) -> None:
    behind = face_at(head(eyes_px=30.0) - 150)
    assert find_flaw(portrait, [FACE, behind], ENROLMENT) is None


def test_a_probe_may_be_worse_than_an_enrolment() -> None:
    assert PROBE.inter_eye_px < ENROLMENT.inter_eye_px
    for name in ("outside", "dark", "bright", "yaw_deg", "pitch_deg", "roll_deg"):
        assert getattr(PROBE, name) > getattr(ENROLMENT, name)
    for name in ("dynamic_range", "eyes_visible", "sharpness"):
        assert getattr(PROBE, name) < getattr(ENROLMENT, name)


def test_every_flaw_has_words_of_its_own_without_a_number() -> None:
    words = [flaw.instruction for flaw in Flaw]
    assert len(set(words)) == len(words)
    assert not any(character.isdigit() for text in words for character in text)


def test_each_flaw_is_seen_in_the_picture(portrait: Pixels) -> None:
    blank = np.full_like(portrait, 160)
    glasses = portrait.copy()
    for x, y in FACE.landmarks[:2]:
        cv2.ellipse(glasses, (int(x), int(y)), (29, 22), 0, 0, 360, (24, 24, 24), -1)
    shaken = cv2.GaussianBlur(portrait, (0, 0), 10, sigmaY=0.1)
    seen = {
        Flaw.TOO_DARK: portrait * 0.1,
        Flaw.TOO_BRIGHT: np.clip(portrait * 4.0, 0, 255),
        Flaw.LOW_CONTRAST: portrait * 0.1 + blank * 0.9,
        Flaw.EYES_HIDDEN: glasses,
        Flaw.BLURRED: shaken,
    }
    for flaw, pixels in seen.items():
        assert find_flaw(pixels.astype(np.uint8), [FACE], PROBE) is flaw


@pytest.mark.parametrize("shift", [(-280, 0), (280, 0), (0, -190), (0, 200)])
def test_a_face_at_any_border_is_cut_off(portrait: Pixels, shift: tuple[int, int]) -> None:
    moved = cv2.warpAffine(portrait, np.array([[1.0, 0, shift[0]], [0, 1.0, shift[1]]]), (640, 480))
    face = face_at((head() + shift).astype(np.float32))
    assert find_flaw(moved, [face], PROBE) is Flaw.CUT_OFF


@pytest.mark.parametrize("roll", [-30, 0, 20])
@pytest.mark.parametrize("pitch", [-20, 0, 25])
@pytest.mark.parametrize("yaw", [-40, -10, 0, 30])
def test_the_pose_of_a_turned_head_is_read(yaw: float, pitch: float, roll: float) -> None:
    pose = read_pose(face_at(head(yaw, pitch, roll)))
    assert pose.yaw_deg == pytest.approx(yaw, abs=2)
    assert pose.pitch_deg == pytest.approx(pitch, abs=2)
    assert pose.roll_deg == pytest.approx(roll, abs=2)


def test_the_measures_do_not_depend_on_the_size_of_the_face(portrait: Pixels) -> None:
    large = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    small, big = assess(portrait, FACE), assess(large, face_at(FACE.landmarks * 2))
    assert big.dynamic_range == pytest.approx(small.dynamic_range, rel=0.15)
    assert big.eyes_visible == pytest.approx(small.eyes_visible, rel=0.15)
    assert big.inter_eye_px == pytest.approx(2 * small.inter_eye_px)


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_one_colour_has_a_flaw_and_crashes_nothing(level: int) -> None:
    plain = np.full((480, 640, 3), level, np.uint8)
    assert find_flaw(plain, [FACE], PROBE) in (Flaw.TOO_DARK, Flaw.TOO_BRIGHT)
    assert 0 <= assess(plain, FACE).score <= 100
