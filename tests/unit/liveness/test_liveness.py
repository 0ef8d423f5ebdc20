from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import liveness
from face_engine.types import Embedding, Face
from liveness.challenge import Move, Plan, Step
from liveness.fuse import fuse
from liveness.motion import read_pose
from liveness.session import DURATION_MS_MAX, LivenessSession
from liveness.types import Cue, Level, Observation, Outcome

HEAD = np.array(
    [(-0.5, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.6, 0.45), (-0.4, 1.15, 0.0), (0.4, 1.15, 0.0)]
)
FLAT = HEAD * (1, 1, 0)
TURN, NOD = 0.45, 0.4
POSES = {
    Move.LEFT: (TURN, 0.0),
    Move.RIGHT: (-TURN, 0.0),
    Move.UP: (0.0, NOD),
    Move.DOWN: (0.0, -NOD),
}


def face(yaw: float = 0.0, pitch: float = 0.0, *, points: np.ndarray = HEAD, x: float = 320.0
         ) -> Face:  # fmt: skip
    """Five landmarks of a head seen from afar; x grows to the picture's right, y downwards."""
    u, v, w = points.T
    u, w = u * np.cos(yaw) + w * np.sin(yaw), w * np.cos(yaw) - u * np.sin(yaw)
    v = v * np.cos(pitch) - w * np.sin(pitch)
    landmarks = np.stack([u * 80 + x, v * 80 + 200], axis=1).astype(np.float32)
    return Face(box=(x - 80, 120, x + 80, 340), landmarks=landmarks, score=1.0)


def unit(seed: int) -> Embedding:
    vector = np.random.default_rng(seed).normal(size=32)
    return Embedding(
        vector=(vector / np.linalg.norm(vector)).astype(np.float32), model_id=b"m" * 16
    )


PLAN = Plan((Step(move=Move.LEFT, hold_ms=300), Step(move=Move.UP, hold_ms=300)))


def run(
    *,
    level: Level = Level.STANDARD,
    points: np.ndarray = HEAD,
    answers: dict[Move, tuple[float, float]] = POSES,
    passive: float | None = None,
    step_ms: int = 50,
    reaction_frames: int = 5,
) -> LivenessSession:
    """Somebody who takes the pose that ``answers`` has for what is asked."""
    session = LivenessSession(PLAN, level, 0.5)
    at_ms, waited = 1000, 0
    progress = None
    while progress is None or not progress.finished:
        move = progress.move if progress else None
        waited = waited + 1 if move else 0
        yaw, pitch = answers.get(move, (0.0, 0.0)) if waited > reaction_frames else (0.0, 0.0)
        seen = Observation(
            captured_at_ms=at_ms, faces=(face(yaw, pitch, points=points),), passive=passive
        )
        progress = session.observe(seen)
        at_ms += step_ms
    return session


def test_a_head_that_does_what_is_asked_is_live() -> None:
    session = run()
    assert session.verdict().outcome is Outcome.LIVE
    assert [step.move for step in session.steps] == [Move.LEFT, Move.UP]
    for step in session.steps:
        assert step.ended_ms - step.started_ms >= 300
    assert session.steps[0].ended_ms <= session.steps[1].started_ms


@pytest.mark.parametrize("fps", [5, 15, 60])
def test_the_cameras_speed_does_not_matter(fps: int) -> None:
    session = run(step_ms=1000 // fps, reaction_frames=max(1, fps // 5))
    assert session.verdict().outcome is Outcome.LIVE


def test_a_flat_picture_that_is_turned_as_asked_is_an_attack() -> None:
    turned = {move: (2 * yaw, 2 * pitch) for move, (yaw, pitch) in POSES.items()}
    session = run(points=FLAT, answers=turned)
    assert session.verdict().outcome is Outcome.ATTACK
    assert session.steps == ()


@pytest.mark.parametrize(
    "answers",
    [{}, {Move.LEFT: POSES[Move.RIGHT]}, {Move.LEFT: POSES[Move.LEFT]}],
    ids=["still", "wrong way", "half of the plan"],
)
def test_a_plan_that_is_not_carried_out_is_never_live(
    answers: dict[Move, tuple[float, float]],
) -> None:
    session = run(answers=answers)
    assert session.verdict().outcome is Outcome.UNDECIDED
    assert session.frames * 50 >= DURATION_MS_MAX


def test_a_pose_taken_before_it_was_asked_for_does_not_count_at_once() -> None:
    session = LivenessSession(PLAN, Level.STANDARD, 0.5)
    for number in range(5):
        session.observe(Observation(captured_at_ms=1000 + 20 * number, faces=(face(),)))
    ahead = Observation(captured_at_ms=1110, faces=(face(TURN),))
    assert session.observe(ahead).move is Move.LEFT
    assert session.steps == ()


def observe(session: LivenessSession, *seen: Observation) -> Outcome:
    for each in seen:
        session.observe(each)
    return next(cue.outcome for cue in session.verdict().cues if cue.name == "continuity")


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
            [at(0, face(), embedding=unit(1)), at(50, face(), embedding=unit(2))],
            Outcome.ATTACK,
        ),
    ],
    ids=["nothing", "one face", "gap", "backwards", "jump", "two people", "passer-by", "leaves",
         "same person", "another person"],
)  # fmt: skip
def test_continuity(seen: list[Observation], outcome: Outcome) -> None:
    assert observe(LivenessSession(PLAN, Level.STANDARD, 0.5), *seen) is outcome


def cues(**outcomes: Outcome) -> list[Cue]:
    return [Cue(name=name, score=0.5, outcome=outcome) for name, outcome in outcomes.items()]


LIVE, ATTACK, UNDECIDED = Outcome.LIVE, Outcome.ATTACK, Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("level", "found", "outcome"),
    [
        (Level.NONE, {"motion": ATTACK}, LIVE),
        (Level.PASSIVE, {"continuity": LIVE, "motion": UNDECIDED, "passive": LIVE}, LIVE),
        (Level.PASSIVE, {"continuity": LIVE, "motion": UNDECIDED}, UNDECIDED),
        (Level.PASSIVE, {"continuity": LIVE, "motion": LIVE}, LIVE),
        (Level.STANDARD, {"continuity": LIVE, "motion": LIVE}, LIVE),
        (Level.STANDARD, {"continuity": LIVE, "motion": LIVE, "passive": UNDECIDED}, UNDECIDED),
        (Level.STANDARD, {"continuity": LIVE, "motion": LIVE, "passive": ATTACK}, ATTACK),
        (Level.STANDARD, {"continuity": UNDECIDED, "motion": LIVE, "passive": LIVE}, UNDECIDED),
        (Level.STRICT, {"motion": LIVE}, UNDECIDED),
        (Level.STRICT, {}, UNDECIDED),
    ],
)
def test_fusion_lets_no_cue_hide_another(
    level: Level, found: dict[str, Outcome], outcome: Outcome
) -> None:
    assert fuse(cues(**found), level).outcome is outcome


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
