from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from face_engine.types import Embedding, Face, Pixels
from liveness.approach import UNEXPLAINED_MAX, ApproachTracker, find_bulge
from liveness.challenge import COLOUR_MS, Colour, Move, Plan, Step
from liveness.flash import CORRELATION_MIN, DELAY_MS_MAX, FlashTracker, find_answer
from liveness.injection import CLOCK_FRAMES, CLOCK_MS_MAX, InjectionTracker, clock_error_ms
from liveness.motion import (
    DOWN_MIN,
    HELD_MS_MAX,
    REACTION_MS_MAX,
    UP_MIN,
    MotionTracker,
    Pose,
)
from liveness.passive import FRAMES_MIN, PassiveTracker
from liveness.relief import ATTACK_MAX, LIVE_MIN, UNIT_PX, ReliefTracker, grey_view
from liveness.session import LivenessSession
from liveness.texture import SIDE_PX, TextureTracker
from liveness.types import Level, Observation, Outcome
from liveness.view import affine_frame, look
from tests.unit.liveness.scene import DISTANCE, Actor, Depth, bent, check, flat, head, perform

LIVE, ATTACK, UNDECIDED = Outcome.LIVE, Outcome.ATTACK, Outcome.UNDECIDED
C = Colour
COLOURS = (C.WHITE, C.GREEN, C.BLACK, C.ROSE, C.BLUE, C.WHITE, C.ROSE, C.GREEN)
OTHER = {C.WHITE: C.BLACK, C.GREEN: C.WHITE, C.BLACK: C.ROSE, C.ROSE: C.GREEN, C.BLUE: C.BLUE}
LEFT = Step(move=Move.LEFT, hold_ms=300)
FLASH = Plan((LEFT,), COLOURS)
PARADE = Plan((LEFT, Step(move=Move.UP, hold_ms=300)))


def outcome(session: LivenessSession, name: str) -> Outcome:
    return next(cue.outcome for cue in session.verdict().cues if cue.name == name)


# The plan


def test_the_colours_come_after_the_moves_each_for_its_time() -> None:
    session = check(FLASH, Actor())
    assert session.verdict().outcome is LIVE
    shown = session.colours
    assert [each.colour for each in shown] == list(COLOURS)
    assert shown[0].shown_ms >= session.steps[-1].ended_ms
    lasted = np.diff([each.shown_ms for each in shown])
    assert (lasted >= COLOUR_MS).all()
    assert (lasted < COLOUR_MS + 120).all()


def test_the_transcript_covers_the_colours() -> None:
    one, two = (
        check(Plan((LEFT,), colours), Actor()).transcript_digest
        for colours in (COLOURS, COLOURS[::-1])
    )
    assert one != two


@pytest.mark.parametrize("move", list(Move))
def test_every_move_can_be_carried_out(move: Move) -> None:
    steps = (Step(move=move, hold_ms=300),)
    session = check(Plan((*steps, LEFT) if move is not Move.LEFT else steps), Actor())
    assert session.verdict().outcome is LIVE


def test_who_begins_later_than_people_take_is_undecided() -> None:
    session = check(Plan((LEFT,)), Actor(reaction_ms=REACTION_MS_MAX + 300))
    assert session.verdict().outcome is UNDECIDED
    assert outcome(session, "motion") is UNDECIDED


def duration_ms(session: LivenessSession) -> int:
    return int(session._transcript[-1].split()[0])


@pytest.mark.parametrize(
    "obeys", [lambda move: None, lambda move: Move.RIGHT], ids=["nothing", "the wrong way"]
)
def test_who_does_not_begin_the_move_is_asked_again_soon(
    obeys: Callable[[Move], Move | None],
) -> None:
    session = check(FLASH, Actor(obeys=obeys))
    assert session.verdict().outcome is UNDECIDED
    assert duration_ms(session) < REACTION_MS_MAX + 1_000
    assert not session.colours


def test_who_begins_and_does_not_hold_is_asked_again() -> None:
    """A head that nods to and fro, never as long as it was asked."""
    actor = Actor()
    pose = actor.pose

    def nodding(at_ms: int) -> tuple[float, float, float]:
        swing = 0.5 + 0.4 * np.sin(at_ms / 210) + 0.1 * np.sin(at_ms / 97)
        return pose(at_ms)[0] * swing, 0.0, 1.0

    actor.pose = nodding  # type: ignore[method-assign]
    session = check(Plan((Step(move=Move.LEFT, hold_ms=800),)), actor)
    assert session.verdict().outcome is UNDECIDED
    assert HELD_MS_MAX < duration_ms(session) < HELD_MS_MAX + 1_000


def test_what_is_certain_before_the_moves_are_over_ends_no_check_before() -> None:
    """A face that jumps in the first move: the end does not tell that it was the jump."""
    actor = Actor()
    observe = actor.observe

    def jumping(at_ms: int) -> Observation:
        seen = observe(at_ms)
        face, shift = seen.faces[0], np.float32(250 * (1_700 < at_ms < 1_800))
        moved = replace(face, landmarks=face.landmarks + shift)
        return replace(seen, faces=(moved,))

    actor.observe = jumping  # type: ignore[method-assign]
    session = check(Plan((LEFT, Step(move=Move.UP, hold_ms=300)), COLOURS), actor)
    assert outcome(session, "continuity") is ATTACK
    assert len(session.steps) == 2
    assert not session.colours


def test_a_sheet_is_shown_no_colours() -> None:
    session = check(FLASH, Actor(depth=flat))
    assert session.verdict().outcome is not LIVE
    assert not session.colours


def test_who_makes_every_move_in_turn_is_undecided() -> None:
    """A recording, played until the plan is met."""
    actor, parade = Actor(), [Move.RIGHT, Move.LEFT, Move.DOWN, Move.UP]
    actor.obeys = lambda move: parade[0]
    session, at_ms, progress = LivenessSession(PARADE, Level.STANDARD, 0.5), 1_000, None
    while progress is None or not progress.finished:
        seen = actor.observe(at_ms)
        progress = session.observe(seen)
        shown = parade[(at_ms - 1_000) // 1_200 % len(parade)] if at_ms > 2_000 else None
        actor.obeys = lambda move, shown=shown: shown
        if shown is not None:
            actor.tell(at_ms, shown, None)
        at_ms += 66 + at_ms % 5
    assert outcome(session, "motion") is UNDECIDED


@pytest.mark.parametrize(
    ("passive", "asked"), [(0.95, 0), (0.4, 1), (None, 1)], ids=["sure", "unsure", "no network"]
)
def test_at_the_level_passive_a_move_answers_where_the_network_cannot(
    passive: float | None, asked: int
) -> None:
    session = LivenessSession(Plan((LEFT,)), Level.PASSIVE, 0.5)
    perform(session, Actor(), passive=passive)
    assert session.verdict().outcome is LIVE
    assert len(session.steps) == asked


# Relief


def relief(depth: Depth, move: Move, seed: int = 1) -> ReliefTracker:
    actor, tracker = Actor(depth=depth, seed=seed), ReliefTracker()
    ahead = actor.observe(1_000)
    tracker.remember(ahead.pixels, ahead.faces[0])
    actor.tell(1_000, move, None)
    for at_ms in range(2_000, 2_500, 100):
        seen = actor.observe(at_ms)
        tracker.observe(seen.pixels, seen.faces[0], at_ms, 0, move)
    return tracker


MOVES = [Move.LEFT, Move.RIGHT, Move.UP, Move.DOWN]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_head_has_a_nose(move: Move, seed: int) -> None:
    tracker = relief(head, move, seed)
    assert tracker.relief > LIVE_MIN
    assert tracker.cue().outcome is LIVE


def lying(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Paper around a cylinder that lies."""
    return bent(v - 0.4, u)


def slanting(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return bent((u + v - 0.4) / np.sqrt(2), u)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("depth", [flat, bent, lying, slanting])
def test_a_sheet_has_none_however_it_is_bent(depth: Depth, move: Move) -> None:
    tracker = relief(depth, move)
    assert tracker.relief < ATTACK_MAX
    assert tracker.cue().outcome is ATTACK


def test_no_relief_is_seen_in_a_face_that_only_comes_closer() -> None:
    tracker = relief(head, Move.CLOSER)
    assert tracker.relief is None
    assert tracker.cue().outcome is UNDECIDED


# Coming closer

CLOSER = Plan((Step(move=Move.CLOSER, hold_ms=500), LEFT))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_head_that_comes_closer_looks_as_near_as_it_is(seed: int) -> None:
    session = check(CLOSER, Actor(seed=seed))
    assert outcome(session, "approach") is UNDECIDED
    nearness = session._approach.nearness
    assert nearness is not None
    assert 0.5 / DISTANCE < nearness < 2 / DISTANCE


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_flat_picture_that_comes_closer_looks_infinitely_far(seed: int) -> None:
    session = perform(LivenessSession(CLOSER, Level.STANDARD, 0.5), Actor(depth=flat, seed=seed))
    assert outcome(session, "approach") is ATTACK
    assert session.verdict().outcome is ATTACK


def test_a_bent_sheet_that_comes_closer_is_nobody_to_accuse() -> None:
    assert outcome(check(CLOSER, Actor(depth=bent)), "approach") is UNDECIDED


def wavy(view: Pixels, waves: float) -> Pixels:
    """The view, shifted to and fro by 0.05 eye distances."""
    y, x = np.mgrid[0 : view.shape[0], 0 : view.shape[1]].astype(np.float32)
    shift = np.float32(0.05 * UNIT_PX) * np.sin(np.float32(waves) * (x + y)).astype(np.float32)
    return cv2.remap(view, x + shift, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def test_a_motion_that_no_fit_explains_accuses_nobody() -> None:
    seen = Actor(depth=flat).observe(1_000)
    view = grey_view(seen.pixels, seen.faces[0])
    assert find_bulge(view, view)[1] <= UNEXPLAINED_MAX
    assert find_bulge(view, wavy(view, 0.2))[1] > UNEXPLAINED_MAX
    for unexplained, wanted in ((0.9, ATTACK), (1.1, UNDECIDED)):
        tracker = ApproachTracker()
        tracker._found = [0.0] * 3
        tracker._unexplained = [unexplained * UNEXPLAINED_MAX] * 3
        assert tracker.cue().outcome is wanted


def test_without_coming_closer_the_approach_says_nothing() -> None:
    assert outcome(check(Plan((LEFT,)), Actor(depth=flat)), "approach") is UNDECIDED


# Flash


def flash(actor: Actor, *, fps: float = 20, seconds: float = 6) -> FlashTracker:
    tracker, at_ms = FlashTracker(COLOURS), 1_000
    random = np.random.default_rng(3)
    while not tracker.finished and at_ms < 1_000 + 1_000 * seconds:
        seen = actor.observe(at_ms)
        tracker.observe(seen.pixels, seen.faces[0], at_ms, frontal=True)
        actor.tell(at_ms, None, tracker.current)
        at_ms += round(1_000 / fps + random.uniform(-4, 4))
    return tracker


@pytest.mark.parametrize("fps", [5, 12, 30])
@pytest.mark.parametrize("late_ms", [10, 120])
def test_skin_answers_at_the_right_delay(fps: float, late_ms: int) -> None:
    tracker = flash(Actor(late_ms=late_ms), fps=fps)
    answer = tracker.answer()
    assert answer.correlation > 0.95
    assert abs(answer.delay_ms - late_ms) <= 1_000 / fps
    assert tracker.cue().outcome is LIVE


@pytest.mark.parametrize("trembling_px", [1.5])
def test_landmarks_may_tremble(trembling_px: float) -> None:
    actor, random = Actor(share=0.12), np.random.default_rng(5)
    observe = actor.observe

    def trembling(at_ms: int) -> Observation:
        seen = observe(at_ms)
        moved = seen.faces[0].landmarks + random.normal(0, trembling_px, (5, 2))
        return replace(seen, faces=(replace(seen.faces[0], landmarks=moved.astype(np.float32)),))

    actor.observe = trembling  # type: ignore[method-assign]
    assert flash(actor).cue().outcome is LIVE


@pytest.mark.parametrize(
    "actor",
    [
        Actor(share=0.0),
        Actor(share=0.01),
        Actor(answers=lambda colour: OTHER[colour]),
        Actor(late_ms=DELAY_MS_MAX + 80),
    ],
    ids=["no answer", "drowned by the light of the place", "other colours", "too late"],
)
def test_an_answer_that_is_none_is_undecided(actor: Actor) -> None:
    assert flash(actor).cue().outcome is UNDECIDED


def test_a_background_that_answers_like_the_face_is_on_the_same_sheet() -> None:
    assert flash(Actor(lit_behind=1.0)).cue().outcome is ATTACK
    assert flash(Actor(lit_behind=0.3)).cue().outcome is LIVE


def test_a_mirror_over_the_face_is_glass() -> None:
    """A display: it shines by itself, and its glass throws the same back everywhere."""
    actor, photograph = Actor(), Actor(share=0.0)

    def mirroring(at_ms: int) -> np.ndarray:
        _, _, colour = actor.heard(at_ms)
        light = (photograph.photograph(at_ms) / 255) ** 2.2
        shadow = np.where(np.arange(240) < 120, 0.15, 1.0)[None, :, None]
        shown = np.array(colour.rgb[::-1] if colour else (0, 0, 0)) / 255
        lit = light * shadow + 0.04 * shown**2.2
        return np.clip(255 * lit ** (1 / 2.2), 0, 255).astype(np.uint8)

    actor.photograph = mirroring  # type: ignore[method-assign]
    tracker = flash(actor)
    assert tracker.answer().correlation > CORRELATION_MIN
    assert tracker.cue().outcome is ATTACK


def test_black_and_clipped_frames_cannot_be_read() -> None:
    for value in (0, 255):
        actor = Actor()
        actor.photograph = lambda at_ms, value=value: np.full((216, 240, 3), value, np.uint8)
        assert flash(actor).cue().outcome is UNDECIDED


def test_a_flash_that_drowns_is_told_from_other_doubts() -> None:
    assert check(FLASH, Actor(share=0.0)).colours_unreadable
    assert not check(FLASH, Actor()).colours_unreadable
    assert not check(FLASH, Actor(share=0.0, depth=flat), fps=8).colours_unreadable
    assert not check(FLASH, Actor(share=0.0), jitter_ms=0.0).colours_unreadable


def test_a_flash_that_did_not_end_is_undecided() -> None:
    assert flash(Actor(), seconds=2).cue().outcome is UNDECIDED


def test_a_plan_without_colours_has_no_flash() -> None:
    tracker = FlashTracker(())
    assert tracker.finished
    assert tracker.cue() is None


def test_a_recorded_answer_to_other_colours_rarely_fits() -> None:
    """The correlation by chance: what an attacker has who knows all but the colours."""
    random = np.random.default_rng(7)
    edges = np.arange(len(COLOURS) + 1) * COLOUR_MS
    times = np.arange(0, edges[-1] + DELAY_MS_MAX, 50)
    fits = sum(
        correlation_of(draw(random), draw(random), times, edges) >= CORRELATION_MIN
        for _ in range(300)
    )
    assert fits <= 1


def draw(random: np.random.Generator) -> list[Colour]:
    drawn: list[Colour] = []
    while len(drawn) < len(COLOURS):
        colour = list(Colour)[random.integers(5)]
        if not drawn or colour is not drawn[-1]:
            drawn.append(colour)
    return drawn


def correlation_of(
    asked: list[Colour], recorded: list[Colour], times: np.ndarray, edges: np.ndarray
) -> float:
    lit = np.array([colour.rgb[::-1] for colour in recorded]) / 255
    index = np.clip((times - 100) // COLOUR_MS, 0, len(recorded) - 1)
    levels = (120 * (1 + 0.3 * lit[index] ** 2.2) ** (1 / 2.2)).astype(np.uint8)
    views = np.broadcast_to(levels[:, None, None, :], (len(times), 42, 60, 3))
    answer = find_answer(times, views, edges, asked)
    return answer.correlation if answer and answer.delay_ms <= DELAY_MS_MAX else 0.0


# Injection


def inject(frames: list[np.ndarray], *, jitter_ms: float = 4.0) -> Outcome:
    tracker, random = InjectionTracker(), np.random.default_rng(1)
    for number, frame in enumerate(frames):
        tracker.observe(frame, round(1_000 + 33.3 * number + random.normal(0, jitter_ms)))
    return tracker.cue().outcome


def sensed(count: int, noise: float = 2.0) -> list[np.ndarray]:
    random = np.random.default_rng(2)
    scene = cv2.GaussianBlur(random.uniform(0, 255, (240, 320, 3)), (0, 0), 4) + 20
    frames = []
    for number in range(count):
        moved = np.roll(scene, round(3 * np.sin(number / 5)), axis=1)
        noisy = moved + random.normal(0, noise, moved.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return frames


def recoded(frame: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], 1)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (sensed(60), LIVE),
        (sensed(60, noise=0.8), LIVE),
        (sensed(5), UNDECIDED),
        ([], UNDECIDED),
        (sensed(60, noise=0.0), ATTACK),
        ([sensed(1)[0]] * 60, ATTACK),
        (sensed(20) * 3, ATTACK),
        ([recoded(frame) for frame in sensed(20)] * 3, ATTACK),
        ([frame for frame in sensed(30) for _ in range(2)], ATTACK),
        ([*sensed(59), sensed(59)[-1]], LIVE),
    ],
    ids=["camera", "good camera", "few", "none", "noiseless", "one still", "loop", "coded loop",
         "every frame twice", "one frame twice"],
)  # fmt: skip
def test_frames_as_a_sensor_makes_them(frames: list[np.ndarray], expected: Outcome) -> None:
    assert inject(frames) is expected


def test_a_clock_that_is_too_good_is_undecided() -> None:
    assert inject(sensed(60), jitter_ms=0.0) is UNDECIDED


def test_frames_of_changing_size_are_no_error() -> None:
    frames = sensed(40)
    frames[20:] = [cv2.resize(frame, (80, 60)) for frame in frames[20:]]
    assert inject(frames) in Outcome


@pytest.mark.parametrize("fps", [7.5, 15, 24, 29.97, 30, 60])
def test_whole_milliseconds_and_drops_are_still_a_perfect_clock(fps: float) -> None:
    times = [round(1_000 + 1_000 / fps * number) for number in range(90) if number % 11]
    assert clock_error_ms(times) < CLOCK_MS_MAX
    random = np.random.default_rng(1)
    late = [round(time + abs(random.normal(0, 1.5))) for time in times]
    assert clock_error_ms(late) > CLOCK_MS_MAX
    assert clock_error_ms(times[: CLOCK_FRAMES - 1]) == float("inf")


# Passive and texture


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.95] * FRAMES_MIN, LIVE),
        ([0.95] * (FRAMES_MIN - 1), UNDECIDED),
        ([0.5] * FRAMES_MIN, UNDECIDED),
        ([0.02] * FRAMES_MIN, ATTACK),
        ([0.02] * (FRAMES_MIN - 1), UNDECIDED),
    ],
)
def test_the_networks_word_needs_several_frames(scores: list[float], expected: Outcome) -> None:
    tracker = PassiveTracker()
    assert tracker.cue() is None
    for score in scores:
        tracker.observe(Observation(captured_at_ms=0, faces=(), passive=score))
    assert tracker.cue().outcome is expected


def grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 4 * np.cos(2 * np.pi * x / 3.1) * np.cos(2 * np.pi * y / 3.4)


def stripes_of_jpeg(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 3 * np.cos(2 * np.pi * x / 4)


@pytest.mark.parametrize(
    ("pattern", "count", "expected"),
    [
        (lambda x, y: 0 * x, 8, UNDECIDED),
        (grid, 8, ATTACK),
        (grid, 4, UNDECIDED),
        (stripes_of_jpeg, 8, UNDECIDED),
    ],
    ids=["skin", "raster", "few frames", "the grid of JPEG"],
)
def test_a_raster_is_seen(
    pattern: Callable[[np.ndarray, np.ndarray], np.ndarray], count: int, expected: Outcome
) -> None:
    random, tracker = np.random.default_rng(1), TextureTracker()
    y, x = np.mgrid[0:240, 0:240]
    smooth = cv2.GaussianBlur(random.uniform(0, 255, (240, 240)), (0, 0), 2)
    landmarks = np.array([(95, 80), (145, 80), (120, 110), (100, 140), (140, 140)], np.float32)
    face = Face(box=(70, 50, 170, 170), landmarks=landmarks, score=1.0)
    for _ in range(count):
        frame = smooth + pattern(x, y) + random.normal(0, 2, smooth.shape)
        tracker.observe(np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, 2), face)
    assert tracker.cue().outcome is expected


def test_a_small_face_or_one_at_the_edge_shows_no_raster() -> None:
    landmarks = np.array([(5, 20), (55, 20), (30, 45), (10, 70), (50, 70)], np.float32)
    face = Face(box=(0, 0, 60, 90), landmarks=landmarks, score=1.0)
    tracker = TextureTracker()
    for _ in range(8):
        tracker.observe(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8), face)
    assert tracker.cue().outcome is UNDECIDED


# The view


def test_a_view_looks_the_same_whatever_the_size_and_place_of_the_face() -> None:
    small, large = Actor(noise=0), Actor(noise=0)
    seen = small.observe(1_000)
    view = {"corner": (-1.0, -0.5), "size": (32, 32), "unit": 16}
    frame = affine_frame(seen.faces[0])
    expected = look(seen.pixels, frame, **view)
    twice = cv2.resize(large.observe(1_000).pixels, None, fx=2, fy=2)
    moved = np.pad(twice, ((20, 0), (30, 0), (0, 0)))
    doubled = frame * 2
    doubled[:, 2] += (30.5, 20.5)
    found = look(moved, doubled, **view)
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_a_view_beyond_the_pictures_edge_is_no_error() -> None:
    seen = Actor().observe(1_000)
    frame = affine_frame(seen.faces[0])
    frame[:, 2] -= 5_000
    assert look(seen.pixels, frame, corner=(-1, -1), size=(8, 8), unit=4).shape == (8, 8, 3)


# Whole checks that go wrong


def test_two_people_who_take_turns_are_an_attack() -> None:
    random = np.random.default_rng(4)

    def unit() -> Embedding:
        vector = random.normal(size=64)
        return Embedding(
            vector=(vector / np.linalg.norm(vector)).astype(np.float32), model_id=b"m" * 16
        )

    first, second = unit(), unit()
    session, actor, at_ms = LivenessSession(Plan((LEFT,)), Level.STANDARD, 0.5), Actor(), 1_000
    finished = False
    while not finished:
        embedding = (second if session.steps else first) if session.wants_embedding else None
        progress = session.observe(replace(actor.observe(at_ms), embedding=embedding))
        actor.tell(at_ms, progress.move, progress.colour)
        at_ms += 47 + at_ms % 7
        finished = progress.finished
    assert outcome(session, "continuity") is ATTACK


Happens = Callable[[int, Observation], Observation | None]


def missing(number: int, seen: Observation) -> Observation | None:
    return seen if number % 4 else None


def blinking(number: int, seen: Observation) -> Observation:
    """A face that is not found now and then."""
    return replace(seen, faces=()) if number % 8 == 7 else seen


def leaving(number: int, seen: Observation) -> Observation:
    return replace(seen, faces=()) if 25 < number < 40 else seen


def out_of_order(number: int, seen: Observation) -> Observation:
    return replace(seen, captured_at_ms=seen.captured_at_ms - 200 * (number == 25))


def changing_size(number: int, seen: Observation) -> Observation:
    if number < 25:
        return seen
    face = seen.faces[0]
    larger = Face(box=face.box, landmarks=face.landmarks * np.float32(2), score=1.0)
    return replace(seen, pixels=cv2.resize(seen.pixels, None, fx=2, fy=2), faces=(larger,))


@pytest.mark.parametrize(
    ("happens", "expected"),
    [(missing, LIVE), (blinking, LIVE), (out_of_order, UNDECIDED), (leaving, UNDECIDED),
     (changing_size, UNDECIDED)],
)  # fmt: skip
def test_frames_that_are_not_as_they_should_be_have_a_clear_outcome(
    happens: Happens, expected: Outcome
) -> None:
    session, actor, at_ms = LivenessSession(FLASH, Level.STANDARD, 0.5), Actor(), 1_000
    for number in range(400):
        seen = happens(number, actor.observe(at_ms))
        if seen is not None:
            progress = session.observe(seen)
            if progress.finished:
                break
            actor.tell(at_ms, progress.move, progress.colour)
        at_ms += 61 + at_ms % 7
    assert outcome(session, "continuity") is expected
    assert session.verdict().outcome is expected


def test_a_second_face_is_seen_soon_although_the_first_is_followed() -> None:
    """Whoever looks where the session says sees somebody beside only on a whole picture."""
    session, actor, at_ms, followed = LivenessSession(FLASH, Level.STANDARD, 0.5), Actor(), 1_000, 0
    for number in range(60):
        seen = actor.observe(at_ms)
        beside = replace(seen.faces[0], landmarks=seen.faces[0].landmarks + np.float32(90))
        whole = session.follow is None
        followed += not whole
        faces = (*seen.faces, beside) if whole and number in range(30, 33) else seen.faces
        progress = session.observe(replace(seen, faces=faces))
        actor.tell(at_ms, progress.move, progress.colour)
        at_ms += 61 + at_ms % 7
    assert followed > 30
    assert outcome(session, "continuity") is UNDECIDED


def test_before_anything_is_asked_the_whole_picture_is_looked_at() -> None:
    session, actor = LivenessSession(FLASH, Level.STANDARD, 0.5), Actor()
    for at_ms in range(1_000, 1_400, 50):
        assert session.follow is None or not session.waiting
        session.observe(actor.observe(at_ms))
    session.observe(replace(actor.observe(1_500), faces=()))
    assert session.follow is None


@pytest.mark.parametrize("move", [Move.UP, Move.DOWN])
def test_who_still_looks_up_or_down_does_not_look_ahead(move: Move) -> None:
    """His embedding differs by as much as another person's."""
    tracker = MotionTracker(Plan((LEFT,)), baseline=Pose(0.0, 0.0, 4.0))
    enough = -UP_MIN if move is Move.UP else DOWN_MIN
    for part, ahead in ((0.4, True), (0.7, False), (0.95, False)):
        tracker.poses.append((1_000, Pose(0.0, part * enough, 4.0)))
        assert tracker.frontal is ahead


def test_a_motion_tracker_needs_landmarks_that_span_a_frame() -> None:
    tracker = MotionTracker(Plan((LEFT,)))
    tracker.observe(
        Face(box=(0, 0, 1, 1), landmarks=np.zeros((5, 2), np.float32), score=1.0), 1_000
    )
    assert tracker.current is None
    assert not tracker.frontal
