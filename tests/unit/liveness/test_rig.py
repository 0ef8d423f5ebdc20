"""The laws that the renderer keeps, on a portrait that is drawn here."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import liveness.rig
from face_engine.types import Face, Pixels
from liveness.challenge import Colour, Move
from liveness.rig.actor import Actor, Expression
from liveness.rig.head import HeadPose, Lens, Portrait, Relief, cast
from liveness.rig.light import Light
from liveness.rig.looks import Features, matte
from liveness.rig.presentation import Conditions, Filmed, frame_portrait, living, paper
from liveness.rig.scene import Subject
from liveness.rig.species import GUESSED, LIVE, MOVES_GUESSED, SPECIES

LENS = Lens(size=(640, 480), distance=8.0, eyes_px=80.0, centre=(320, 240))
TURNED = HeadPose(yaw=0.4)
NOSE, EARS = [(0.0, 0.25)], [(-0.95, 0.1), (0.95, 0.1)]


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    pixels = np.full((480, 480, 3), (90, 110, 70), np.uint8)
    cv2.ellipse(pixels, (240, 230), (95, 135), 0, 0, 360, (120, 150, 190), -1)
    cv2.rectangle(pixels, (130, 370), (350, 480), (60, 40, 30), -1)
    for x in (200, 280):
        cv2.circle(pixels, (x, 200), 10, (40, 30, 30), -1)
    cv2.line(pixels, (210, 290), (270, 290), (60, 60, 140), 8)
    pixels = cv2.GaussianBlur(pixels, (5, 5), 0)
    landmarks = np.array([(200, 200), (280, 200), (240, 245), (210, 290), (270, 290)], np.float32)
    return frame_portrait(pixels, Face(box=(145, 95, 335, 365), landmarks=landmarks, score=1.0))


def seen_at(
    relief: Relief, pose: HeadPose, portrait: Portrait, points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the camera sees points of the portrait, in eye distances of the picture."""
    y, x = np.mgrid[-150:150, -150:150].astype(np.float32) / 80
    half = portrait.centre[0] / portrait.eyes_px, portrait.centre[1] / portrait.eyes_px
    view = cast(relief, pose, LENS, (x, y), half)
    found = []
    for point in points:
        far = (view.x - point[0]) ** 2 + (view.y - point[1]) ** 2
        weight = np.exp(-far / (2 * 0.02**2))
        found.append([(x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()])
    return np.array(found)


def misfit_of_a_plane(relief: Relief, portrait: Portrait) -> float:
    """How far a turned face is from any homography of itself at rest, in eye distances."""
    points = np.vstack(
        [portrait.landmarks, [(0.6, 0.3), (-0.6, 0.3), (0.0, -0.9), (0.0, 0.95), (0.3, 0.1)]]
    )
    rest = seen_at(relief, HeadPose(), portrait, points)
    turned = seen_at(relief, TURNED, portrait, points)
    plane, _ = cv2.findHomography(rest, turned)
    carried = cv2.perspectiveTransform(rest[None], plane)[0]
    return float(np.abs(carried - turned).max())


def test_a_flat_print_moves_by_a_homography_and_a_head_does_not(portrait: Portrait) -> None:
    assert misfit_of_a_plane(Relief.flat(portrait), portrait) < 0.005
    assert misfit_of_a_plane(Relief.head(portrait), portrait) > 0.03
    assert misfit_of_a_plane(Relief.bent(portrait, radius=1.5), portrait) > 0.01


def test_the_nose_goes_where_the_head_turns(portrait: Portrait) -> None:
    def parallax(pose: HeadPose) -> NDArray[np.float64]:
        seen = seen_at(Relief.head(portrait), pose, portrait, portrait.landmarks)
        return seen[2] - seen[[0, 1, 3, 4]].mean(axis=0)

    rest = parallax(HeadPose())
    assert (parallax(HeadPose(yaw=0.4)) - rest)[0] > 0.1
    assert (parallax(HeadPose(yaw=-0.4)) - rest)[0] < -0.1
    assert (parallax(HeadPose(pitch=0.4)) - rest)[1] < -0.1


def test_coming_closer_enlarges_a_head_more_in_its_middle_and_a_print_evenly(
    portrait: Portrait,
) -> None:
    def growth(relief: Relief) -> tuple[float, float]:
        points = np.array([(-0.15, 0.25), (0.15, 0.25), (-1.1, 0.25), (1.1, 0.25)])
        rest = seen_at(relief, HeadPose(), portrait, points)[:, 0]
        near = seen_at(relief, HeadPose(scale=1.4), portrait, points)[:, 0]
        return (near[1] - near[0]) / (rest[1] - rest[0]), (near[3] - near[2]) / (rest[3] - rest[2])

    middle, edge = growth(Relief.flat(portrait))
    assert middle == pytest.approx(edge, rel=0.01)
    middle, edge = growth(Relief.head(portrait))
    assert middle > 1.04 * edge


def answer(filmed: Filmed, places: list[tuple[float, float]]) -> float:
    """How much lighter a place gets from a black to a white screen, in parts."""
    lens = filmed.scene.lens
    values = []
    for start, colour in ((1_000, Colour.BLACK), (3_000, Colour.WHITE)):
        filmed.follow(None, start, colour)
        frames = [filmed.frame(start + 500 + 40 * n).pixels.astype(float) for n in range(8)]
        picture = np.mean(frames, axis=0)
        spots = [
            picture[
                round(lens.centre[1] + y * lens.eyes_px) + np.arange(-6, 7)[:, None],
                round(lens.centre[0] + x * lens.eyes_px) + np.arange(-6, 7)[None],
            ].mean()
            for x, y in places
        ]
        values.append(float(np.mean(spots)))
    return values[1] / values[0] - 1


def still_head(portrait: Portrait, seed: int) -> Filmed:
    filmed = living(portrait, Conditions.calm(seed), varied=False)
    filmed.actor = Actor(random=np.random.default_rng(0), sway=0.0)
    return filmed


def test_the_screen_lights_the_nose_more_than_the_ears(portrait: Portrait) -> None:
    head = still_head(portrait, 1)
    nose, ears = answer(head, NOSE), answer(still_head(portrait, 1), EARS)
    assert nose > 0.04
    assert nose > 1.3 * ears


def test_the_screen_lights_a_flat_print_evenly(portrait: Portrait) -> None:
    def sheet() -> Filmed:
        flat = paper(portrait, Conditions.calm(1), Relief.flat(portrait), obedient=False)
        flat.actor = Actor(random=np.random.default_rng(0), obedient=False, sway=0.0)
        flat.subject = replace(flat.subject, gloss=0.0)
        return flat

    assert answer(sheet(), NOSE) == pytest.approx(answer(sheet(), EARS), rel=0.25)


def test_a_display_shines_by_itself(portrait: Portrait) -> None:
    phone = SPECIES["phone_still"].make(portrait, Conditions.calm(1))
    assert isinstance(phone, Filmed)
    phone.subject = replace(phone.subject, gloss=0.0)
    assert abs(answer(phone, NOSE)) < 0.3 * answer(still_head(portrait, 1), NOSE)


def test_glass_mirrors_the_screen(portrait: Portrait) -> None:
    def mirror(gloss: float) -> Filmed:
        phone = SPECIES["phone_still"].make(portrait, Conditions.calm(1))
        assert isinstance(phone, Filmed)
        phone.scene.light.above = 0.0
        phone.actor = Actor(random=np.random.default_rng(0), obedient=False, sway=0.0)
        phone.subject = replace(phone.subject, gloss=gloss)
        return phone

    assert answer(mirror(0.04), NOSE) > 2 * answer(mirror(0.0), NOSE)


def test_the_screen_shows_a_colour_late_and_a_frame_may_mix_two() -> None:
    light = Light.draw(np.random.default_rng(1), level=0.5)
    light.latency_ms = 50
    light.show(Colour.BLACK, 0)
    light.show(Colour.WHITE, 1_000)

    def at(ms: float) -> float:
        return float(light.of_screen(np.array([ms]), 20.0).mean())

    assert at(1_029) == 0.0
    assert 0.0 < at(1_040) < at(1_050)
    assert at(1_051) == at(2_000) > 0.0


def frames(species: str, portrait: Portrait, seed: int, count: int = 6) -> list[Pixels]:
    known = {**SPECIES, **GUESSED, **MOVES_GUESSED, LIVE.name: LIVE}
    presentation = known[species].present(portrait, seed)
    taken, at_ms = [], 500
    for number in range(count):
        at_ms = presentation.next_ms(at_ms) or 0
        taken.append(presentation.frame(at_ms).pixels)
        presentation.follow(Move.LEFT, at_ms, Colour.GREEN if number > 2 else None)
    return taken


@pytest.mark.parametrize("species", [LIVE.name, *SPECIES, *GUESSED, *MOVES_GUESSED])
def test_the_same_seed_gives_the_same_frames(species: str, portrait: Portrait) -> None:
    one, two = frames(species, portrait, 7), frames(species, portrait, 7)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert one[0].shape == (480, 640, 3)
    assert not np.array_equal(one[0], frames(species, portrait, 8, 1)[0])


def times(species: str, portrait: Portrait, seed: int) -> NDArray[np.int64]:
    presentation = {**SPECIES, LIVE.name: LIVE}[species].present(portrait, seed)
    taken = [1_000]
    for _ in range(40):
        at_ms = presentation.next_ms(taken[-1])
        assert at_ms is not None
        if species != LIVE.name and len(taken) == 1:
            presentation.frame(at_ms)
        taken.append(at_ms)
    return np.array(taken[1:])


@pytest.mark.parametrize("species", ["virtual_recording", "virtual_loop", "face_swap"])
def test_a_virtual_cameras_times_are_perfect(species: str, portrait: Portrait) -> None:
    taken = times(species, portrait, 3)
    steps = np.arange(taken.size)
    line = np.polyval(np.polyfit(steps, taken, 1), steps)
    assert np.abs(taken - line).max() <= 1.0


def test_a_real_cameras_times_are_not(portrait: Portrait) -> None:
    for seed in range(5):
        intervals = np.diff(times(LIVE.name, portrait, seed))
        assert (intervals > 0).all()
        assert np.std(intervals) > 0.8


def test_a_loop_repeats_its_frames(portrait: Portrait) -> None:
    loop = SPECIES["virtual_loop"].present(portrait, 5)
    at_ms, seen = 0, {}
    for number in range(90):
        at_ms = loop.next_ms(at_ms) or 0
        seen.setdefault(loop.frame(at_ms).pixels.tobytes(), []).append(number)
    periods = {numbers[1] - numbers[0] for numbers in seen.values() if len(numbers) > 1}
    assert len(periods) == 1


def test_a_recording_does_not_hear_the_screen(portrait: Portrait) -> None:
    def last(move: Move) -> Pixels:
        played = SPECIES["virtual_recording"].present(portrait, 4)
        at_ms = 0
        for _ in range(12):
            at_ms = played.next_ms(at_ms) or 0
            pixels = played.frame(at_ms).pixels
            played.follow(move, at_ms, Colour.WHITE)
        return pixels

    assert np.array_equal(last(Move.LEFT), last(Move.RIGHT))


def test_the_background_stays_while_the_head_turns(portrait: Portrait) -> None:
    filmed = still_head(portrait, 2)
    rest = np.mean([filmed.frame(1_000 + 40 * n).pixels for n in range(6)], axis=0)
    filmed.actor.follow(Move.LEFT, 1_300)
    turned = np.mean([filmed.frame(3_000 + 40 * n).pixels for n in range(6)], axis=0)
    assert np.abs(rest - turned)[:100, :100].mean() < 2
    assert np.abs(rest - turned)[150:300, 250:400].mean() > 6


def test_eyes_close_and_mouths_open_only_there(portrait: Portrait) -> None:
    offsets = Features(portrait).offsets(Expression(blink=1.0))
    x, y = portrait.grid()
    eye = portrait.landmarks[0]
    near = np.hypot(x - eye[0], y - eye[1]) < 0.08
    assert (offsets[near][:, 1] < -0.05).all()
    assert np.abs(offsets[y > 0.3]).max() < 1e-3
    assert np.abs(Features(portrait).offsets(Expression())).max() == 0


def test_the_matte_is_the_person(portrait: Portrait) -> None:
    inside = matte(portrait) > 128
    assert inside[360, 320]
    assert not inside[20, 20]
    assert 0.1 < inside.mean() < 0.6


def test_a_subject_that_leaves_the_picture_leaves_the_background(portrait: Portrait) -> None:
    filmed = still_head(portrait, 3)
    gone = Subject(
        portrait=portrait,
        texture=np.zeros((*portrait.pixels.shape[:2], 4), np.uint8),
        relief=Relief.flat(portrait),
    )
    filmed.subject = gone
    pixels = filmed.frame(1_000).pixels.astype(float)
    gain = filmed.scene.camera.gain
    expected = filmed.scene.background.mean() * gain
    assert pixels.mean() == pytest.approx(expected, rel=0.15)


def test_the_renderer_knows_no_detector() -> None:
    allowed = ("liveness.challenge", "liveness.evaluate", "liveness.rig")
    folder = Path(liveness.rig.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("liveness"):
                assert (node.module or "").startswith(allowed), path.name
