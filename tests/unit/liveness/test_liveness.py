from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import liveness
from face_engine.types import Embedding, Face
from liveness.challenge import Move, Plan, Step
from liveness.continuity import ContinuityTracker
from liveness.fuse import fuse
from liveness.motion import read_pose
from liveness.session import LivenessSession
from liveness.types import Cue, Level, Observation, Outcome
from tests.unit.liveness.scene import LANDMARKS, Actor, Depth, bent, check, flat

PLAN = Plan((Step(move=Move.LEFT, hold_ms=400), Step(move=Move.UP, hold_ms=350)))


def unit(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).normal(size=32)
    return Embedding(
        vector=(vector / np.linalg.norm(vector)).astype(np.float32), model_id=b"m" * 16
    )


def face(yaw: float = 0.0, *, x: float = 320.0) -> Face:
    """Five landmarks of a head; x grows to the picture's right."""
    u, v, depth = np.append(LANDMARKS.T, [[0, 0, 0.45, 0, 0]], axis=0)
    u = u * np.cos(yaw) + depth * np.sin(yaw)
    landmarks = np.stack([u * 80 + x, v * 80 + 200], axis=1).astype(np.float32)
    return Face(box=(x - 80, 120, x + 80, 340), landmarks=landmarks, score=1.0)


def outcomes(session: LivenessSession) -> dict[str, Outcome]:
    return {cue.name: cue.outcome for cue in session.verdict().cues}


def test_a_head_that_does_what_is_asked_is_live() -> None:
    session = check(PLAN, Actor())
    assert session.verdict().outcome is Outcome.LIVE
    assert [step.move for step in session.steps] == [Move.LEFT, Move.UP]
    for done, asked in zip(session.steps, PLAN.steps, strict=True):
        assert done.ended_ms - done.started_ms >= asked.hold_ms
    assert session.steps[0].ended_ms <= session.steps[1].started_ms


@pytest.mark.parametrize("fps", [5, 12, 60])
def test_the_cameras_speed_does_not_matter(fps: int) -> None:
    session = check(PLAN, Actor(), fps=fps)
    assert session.verdict().outcome is Outcome.LIVE


@pytest.mark.parametrize("depth", [flat, bent], ids=["flat", "bent"])
def test_a_sheet_that_is_turned_as_asked_is_never_live(depth: Depth) -> None:
    session = check(PLAN, Actor(depth=depth), fps=10)
    assert session.verdict().outcome is not Outcome.LIVE
    assert outcomes(session)["relief"] is not Outcome.LIVE


@pytest.mark.parametrize(
    "obeys",
    [
        lambda move: None,
        lambda move: Move.RIGHT if move is Move.LEFT else move,
        lambda move: move if move is Move.LEFT else None,
    ],
    ids=["still", "wrong way", "half of the plan"],
)
def test_a_plan_that_is_not_carried_out_is_never_live(
    obeys: Callable[[Move], Move | None],
) -> None:
    session = check(PLAN, Actor(obeys=obeys), fps=6)
    assert session.verdict().outcome is Outcome.UNDECIDED
    assert "motion" in outcomes(session)


def test_frames_without_pixels_are_never_live() -> None:
    session, actor = LivenessSession(PLAN, Level.STANDARD, 0.5), Actor()
    for at_ms in range(1000, 60_000, 50):
        seen = replace(actor.observe(at_ms), pixels=None)
        progress = session.observe(seen)
        if progress.finished:
            break
        actor.tell(at_ms, progress.move, progress.colour)
    assert outcomes(session)["motion"] is Outcome.LIVE
    assert session.verdict().outcome is Outcome.UNDECIDED


def test_a_pose_taken_before_it_was_asked_for_does_not_count_at_once() -> None:
    session = LivenessSession(PLAN, Level.STANDARD, 0.5)
    for number in range(5):
        session.observe(at(1000 + 20 * number, face()))
    assert session.observe(at(1110, face(0.45))).move is Move.LEFT
    assert session.steps == ()


def observe(*seen: Observation) -> Outcome:
    tracker = ContinuityTracker(same_person_min=0.5)
    for each in seen:
        tracker.observe(each)
    return tracker.cue().outcome


def at(ms: int, *faces: Face, embedding: Embedding | None = None) -> Observation:
    return Observation(captured_at_ms=ms, faces=faces, embedding=embedding)


def small(big: Face) -> Face:
    return Face(box=(0, 0, 20, 20), landmarks=big.landmarks / 8, score=1.0)


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        ([], Outcome.UNDECIDED),
        ([at(0, face()), at(50, face())], Outcome.LIVE),
        ([at(0, face()), at(2000, face())], Outcome.UNDECIDED),
        ([at(50, face()), at(0, face())], Outcome.UNDECIDED),
        ([at(0, face()), at(50, face(x=500.0))], Outcome.ATTACK),
        ([at(0, face()), at(50, face(), face(x=100.0))], Outcome.UNDECIDED),
        ([at(0, face()), at(50, face(), small(face()))], Outcome.LIVE),
        (
            [at(0, face()), *(at(50 * n, *()) for n in range(1, 12)), at(600, face())],
            Outcome.UNDECIDED,
        ),
        (
            [at(0, face(), embedding=unit(1)), at(50, face(), embedding=unit(1))],
            Outcome.LIVE,
        ),
        (
            [at(0, face(), embedding=unit(1)), at(50, face(), embedding=unit(3))],
            Outcome.ATTACK,
        ),
        (
            [at(0, face(), embedding=unit(1)), at(50, face(), embedding=unit(6))],
            Outcome.UNDECIDED,
        ),
    ],
    ids=["nothing", "one face", "gap", "backwards", "jump", "two people", "passer-by", "leaves",
         "same person", "another person", "somebody like him"],
)  # fmt: skip
def test_continuity(seen: list[Observation], outcome: Outcome) -> None:
    assert observe(*seen) is outcome


def cues(**outcomes: Outcome) -> list[Cue]:
    return [Cue(name=name, score=0.5, outcome=outcome) for name, outcome in outcomes.items()]


EVERY = ("continuity", "injection", "motion", "relief", "flash", "passive")
LIVE, ATTACK, UNDECIDED = Outcome.LIVE, Outcome.ATTACK, Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("level", "changes", "colours", "outcome"),
    [
        (Level.NONE, {"motion": ATTACK}, True, LIVE),
        (Level.NONE, {}, True, LIVE),
        (Level.PASSIVE, {"motion": UNDECIDED, "relief": UNDECIDED}, False, LIVE),
        (Level.PASSIVE, {"passive": None}, False, LIVE),
        (Level.PASSIVE, {"passive": None, "relief": UNDECIDED}, False, UNDECIDED),
        (Level.STANDARD, {}, True, LIVE),
        (Level.STANDARD, {"passive": None}, True, LIVE),
        (Level.STANDARD, {"flash": None}, False, LIVE),
        (Level.STANDARD, {"flash": None}, True, UNDECIDED),
        *[(Level.STANDARD, {name: UNDECIDED}, True, UNDECIDED) for name in EVERY],
        *[(Level.STANDARD, {name: ATTACK}, True, ATTACK) for name in EVERY],
        *[(Level.STRICT, {name: UNDECIDED}, True, UNDECIDED) for name in EVERY],
    ],
)
def test_fusion_lets_no_cue_hide_another(
    level: Level, changes: dict[str, Outcome | None], colours: bool, outcome: Outcome
) -> None:
    found = {name: changes.get(name, LIVE) for name in EVERY}
    given = {name: each for name, each in found.items() if each is not None}
    verdict = fuse(cues(**given), level, has_passive="passive" in given, has_colours=colours)
    assert verdict.outcome is outcome


def test_landmarks_that_span_nothing_give_no_pose() -> None:
    collapsed = Face(box=(0, 0, 1, 1), landmarks=np.zeros((5, 2), np.float32), score=1.0)
    assert read_pose(collapsed) is None


def test_the_transcript_covers_times_and_poses() -> None:
    def digest(ms: int, yaw: float) -> bytes:
        session = LivenessSession(PLAN, Level.STANDARD, 0.5)
        session.observe(at(0, face()))
        session.observe(at(ms, face(yaw)))
        return session.transcript_digest

    assert len({digest(50, 0.0), digest(51, 0.0), digest(50, 0.1)}) == 3


def test_no_detector_knows_the_renderer() -> None:
    folder = Path(liveness.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith("liveness.rig") for name in names), path.name
