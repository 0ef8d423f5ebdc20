"""Recordings of real people: what the cues that need no answer say of them.

Needs ../shared/videos, which is no part of the product. What is asked of the recordings here is
the worst case: each move in turn, so that whatever the head does is measured against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import pytest

from face_engine.calibration import shipped
from face_engine.engine import Engine
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Face, Frame, Pixels
from liveness.challenge import Move, Plan, Step
from liveness.evaluate import watch
from liveness.rig.recording import Recording
from liveness.session import LivenessSession
from liveness.types import Level, Observation, Outcome

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
pytestmark = pytest.mark.skipif(not VIDEOS.is_dir(), reason="../shared with videos is not here")

LIVE = ("stage_performance.mp4", "head_motion_stage.gif")
DESK = "live_print_replay_desk.gif"
# First and last frame of what the desk shows, by ../shared/README.md.
DESK_LIVE = ((0, 11), (26, 29), (46, 53), (66, 69))
DESK_ATTACKS = ((30, 33), (36, 45), (54, 65), (70, 75), (78, 84))
ACCUSERS = ("continuity", "motion", "relief")
PERSON_FMR = 1e-3


@pytest.fixture(scope="module")
def engine() -> Engine:
    cv2.setNumThreads(1)
    return Remembering.open("pip")


class Remembering(Engine):
    """Looks at each frame once, however often it is shown."""

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        if id(pixels) not in FOUND:
            FOUND[id(pixels)] = pixels, super().detect(pixels)
        return FOUND[id(pixels)][1]


FOUND: dict[int, tuple[Pixels, tuple[Face, ...]]] = {}


class Part:
    """Some frames of a recording, at their times."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = iter(frames)
        self._next: Frame | None = next(self._frames)

    def follow(self, move: object, at_ms: int, colour: object = None) -> None:
        """A recording hears nothing."""

    def next_ms(self, after_ms: int) -> int | None:
        return None if self._next is None else max(after_ms + 1, self._next.captured_at_ms + 1)

    def frame(self, at_ms: int) -> Frame:
        assert self._next is not None
        now, self._next = self._next, next(self._frames, None)
        return Frame(pixels=now.pixels, captured_at_ms=at_ms)


@cache
def frames(name: str) -> list[Frame]:
    recording, at_ms, found = Recording(VIDEOS / name), 0, []
    while (next_ms := recording.next_ms(at_ms)) is not None:
        at_ms = next_ms
        found.append(recording.frame(at_ms))
    return found


def same_person_min(engine: Engine) -> float:
    return shipped()[engine.model_id].threshold_for(PERSON_FMR)


def whole_checks(
    engine: Engine, seen: list[Frame], plan: Plan
) -> Iterator[tuple[LivenessSession, dict[str, Outcome]]]:
    """Every check that these frames make: a flaw before anything is asked begins it anew."""
    session = LivenessSession(plan, Level.STANDARD, same_person_min(engine))
    for frame in seen:
        faces = engine.detect(frame.pixels)
        flawed = find_flaw(frame.pixels, faces, PROBE) is not None
        if not (flawed and session.waiting):
            embed = not flawed and session.wants_embedding
            progress = session.observe(
                Observation(
                    captured_at_ms=frame.captured_at_ms,
                    faces=faces,
                    pixels=frame.pixels,
                    embedding=engine.embed(frame.pixels, faces[0]) if embed else None,
                )
            )
            if not progress.finished:
                continue
        yield session, {cue.name: cue.outcome for cue in session.verdict().cues}
        session = LivenessSession(plan, Level.STANDARD, same_person_min(engine))
    yield session, {cue.name: cue.outcome for cue in session.verdict().cues}


@pytest.mark.parametrize("name", LIVE)
def test_a_real_person_is_never_called_an_attack_by_motion_and_continuity(
    engine: Engine, name: str
) -> None:
    seen = frames(name)[:: 2 if name.endswith(".mp4") else 1]
    for move in (Move.LEFT, Move.DOWN):
        for _, cues in whole_checks(engine, seen, Plan((Step(move=move, hold_ms=300),))):
            assert all(cues[accuser] is not Outcome.ATTACK for accuser in ACCUSERS), (move, cues)


def test_the_live_part_of_the_desk_is_never_called_an_attack(engine: Engine) -> None:
    desk = frames(DESK)
    for first, last in DESK_LIVE:
        for move in (Move.LEFT, Move.DOWN):
            plan = Plan((Step(move=move, hold_ms=300),))
            for _, cues in whole_checks(engine, desk[first : last + 1], plan):
                assert all(cues[each] is not Outcome.ATTACK for each in ACCUSERS), (first, cues)


def test_print_and_replay_on_the_desk_never_reach_standard_without_a_plan(engine: Engine) -> None:
    desk = frames(DESK)
    for first, last in DESK_ATTACKS:
        result = watch(
            "held up",
            Part(desk[first : last + 1]),
            engine,
            level=Level.STANDARD,
            same_person_min=same_person_min(engine),
            assumed=frozenset({"injection"}),
        )
        assert result.outcome is not Outcome.LIVE, first
