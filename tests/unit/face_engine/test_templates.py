from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_engine.templates import Candidate, Disagreement, choose_references, pool
from face_engine.types import Embedding, Vector

MODEL_ID = b"a model of tests"
SAME_MIN = 0.6
DIMENSIONS = 64


def unit(vector: np.ndarray) -> Vector:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def person(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=DIMENSIONS))


def frame(
    seed: int = 0,
    *,
    of: int = 1,
    quality: float = 80.0,
    yaw: float = 0.0,
    pitch: float = 0.0,
    noise: float = 0.05,
    model_id: bytes = MODEL_ID,
) -> Candidate:
    scattered = person(of) + noise * np.random.default_rng(100 + seed).normal(size=DIMENSIONS)
    return Candidate(
        embedding=Embedding(vector=unit(scattered), model_id=model_id),
        quality=quality,
        yaw_deg=yaw,
        pitch_deg=pitch,
    )


def references(*candidates: Candidate, maximum: int = 5) -> tuple[Embedding, ...]:
    chosen = choose_references(candidates, same_person_min=SAME_MIN, maximum=maximum)
    assert not isinstance(chosen, Disagreement)
    return chosen


def probe(*candidates: Candidate) -> Embedding:
    pooled = pool(candidates, same_person_min=SAME_MIN)
    assert not isinstance(pooled, Disagreement)
    return pooled


def test_the_most_frontal_comes_first_then_what_differs_most() -> None:
    turned, frontal, between, up = (
        frame(1, yaw=20),
        frame(2, yaw=1),
        frame(3, yaw=10),
        frame(4, pitch=12),
    )
    assert references(turned, frontal, between, up) == (
        frontal.embedding,
        turned.embedding,
        up.embedding,
        between.embedding,
    )


def test_frames_of_one_pose_are_one_reference_the_best() -> None:
    poor, good = frame(1, quality=40), frame(2, quality=90, yaw=3)
    assert references(poor, good) == (good.embedding,)


def test_of_two_equally_turned_the_better_is_kept() -> None:
    front, poor, good = frame(1), frame(2, yaw=15, quality=50), frame(3, yaw=15, quality=70)
    assert references(front, poor, good) == (front.embedding, good.embedding)


@pytest.mark.parametrize("maximum", [1, 2, 5])
def test_no_more_than_the_maximum(maximum: int) -> None:
    many = [frame(n, yaw=10.0 * n - 40) for n in range(9)]
    assert len(references(*many, maximum=maximum)) == maximum


@pytest.mark.parametrize("turn", [choose_references, pool])
def test_frames_of_two_people_are_neither_enrolled_nor_sent(turn: object) -> None:
    candidates = [frame(1), frame(2, yaw=10), frame(3, of=2, yaw=20)]
    assert isinstance(turn(candidates, same_person_min=SAME_MIN), Disagreement)  # type: ignore[operator]


def test_every_two_frames_must_agree_not_only_neighbours() -> None:
    """A face that turns into another, step by step, stays below the threshold at its ends."""
    one, two = person(1), person(2)
    steps = [
        Candidate(
            embedding=Embedding(vector=unit((1 - t) * one + t * two), model_id=MODEL_ID),
            quality=80,
            yaw_deg=0,
            pitch_deg=0,
        )
        for t in (0.5, 0.25, 0.0, 0.75, 1.0)
    ]
    assert isinstance(pool(steps, same_person_min=SAME_MIN), Disagreement)
    assert not isinstance(pool(steps[:2], same_person_min=SAME_MIN), Disagreement)


def test_the_probe_is_the_weighted_mean() -> None:
    one, two = frame(1, quality=90), frame(2, quality=10)
    mean = 0.9 * one.embedding.vector + 0.1 * two.embedding.vector
    assert probe(one, two).vector == pytest.approx(unit(mean), abs=1e-6)
    assert probe(one).vector == pytest.approx(one.embedding.vector, abs=1e-6)


def test_a_probe_of_more_frames_is_nearer_to_the_person() -> None:
    frames = [frame(n, noise=0.06) for n in range(6)]
    alone = np.mean([person(1) @ one.embedding.vector for one in frames])
    assert person(1) @ probe(*frames).vector > alone + 0.05


@given(st.permutations(range(6)))
def test_the_order_of_frames_does_not_change_the_probe(order: list[int]) -> None:
    frames = [frame(n, quality=50.0 + n) for n in range(6)]
    shuffled = probe(*[frames[n] for n in order])
    assert shuffled.vector == pytest.approx(probe(*frames).vector, abs=1e-6)


def test_misuse_is_refused() -> None:
    for turn in (choose_references, pool):
        with pytest.raises(ValueError, match="no candidates"):
            turn([], same_person_min=SAME_MIN)
        with pytest.raises(ValueError, match="different models"):
            turn([frame(1), frame(2, model_id=b"another-model-id")], same_person_min=SAME_MIN)
    with pytest.raises(ValueError, match="at least one"):
        choose_references([frame(1)], same_person_min=SAME_MIN, maximum=0)
    for quality in (0.0, -1.0, 101.0, float("nan")):
        with pytest.raises(ValueError, match="quality"):
            frame(1, quality=quality)
