"""The evaluation's numbers against known answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness.challenge import Colour, Move, Plan, Step
from liveness.evaluate import (
    LIVE,
    Attacks,
    CueShares,
    Guessing,
    Result,
    guess_plans,
    summarise,
    upper_bound,
)
from liveness.types import Outcome


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 150, 0.0197734),
        (0, 42, 0.0688426),
        (3, 150, 0.0508771),
        (10, 100, 0.1637176),
        (1, 2, 0.9746794),
        (5, 5, 1.0),
        (0, 0, 1.0),
    ],
)
def test_clopper_pearson(successes: int, trials: int, expected: float) -> None:
    assert upper_bound(successes, trials) == pytest.approx(expected, abs=1e-6)


def test_without_a_success_the_bound_has_a_closed_form() -> None:
    for trials in (1, 7, 150, 10_000):
        assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-9)


@given(st.integers(0, 60), st.integers(1, 60))
def test_at_the_bound_so_few_successes_have_the_probability_that_was_asked(
    successes: int, failures: int
) -> None:
    trials = successes + failures
    rate = upper_bound(successes, trials)
    tail = sum(
        math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(successes + 1)
    )
    assert tail == pytest.approx(0.05, abs=1e-9)
    assert rate > successes / trials


def result(species: str, outcome: Outcome, took_ms: int = 1_000, **cues: Outcome) -> Result:
    return Result(species=species, outcome=outcome, took_ms=took_ms, frames=10, cues=cues)


PASSED, ATTACK, UNDECIDED = Outcome.LIVE, Outcome.ATTACK, Outcome.UNDECIDED
RESULTS = [
    *(result("paper", ATTACK, motion=ATTACK, passive=UNDECIDED) for _ in range(9)),
    result("paper", PASSED, motion=PASSED, passive=PASSED),
    *(result("phone", UNDECIDED, motion=UNDECIDED) for _ in range(10)),
    *(result("loop", ATTACK, motion=PASSED) for _ in range(10)),
    result(LIVE, PASSED, 5_000),
    result(LIVE, PASSED, 7_000),
    result(LIVE, PASSED, 9_000),
    result(LIVE, ATTACK, 1),
    result(LIVE, UNDECIDED, 25_000),
]


def test_rates_by_species_worst_first() -> None:
    evaluation = summarise(RESULTS)
    assert list(evaluation.species) == ["paper", "phone", "loop"]
    paper = evaluation.species["paper"]
    assert (paper.attempts, paper.accepted, paper.undecided, paper.apcer) == (10, 1, 0, 0.1)
    assert evaluation.species["phone"].undecided == 10
    live = evaluation.live
    assert (live.attempts, live.rejected, live.undecided, live.bpcer) == (5, 1, 1, 0.2)
    assert evaluation.verdict_ms_p50 == 7_000


def test_the_order_of_the_attempts_changes_nothing() -> None:
    one, two = summarise(RESULTS), summarise(reversed(RESULTS))
    assert list(one.species.items()) == list(two.species.items())
    assert (one.live, one.verdict_ms_p50) == (two.live, two.verdict_ms_p50)


def test_what_each_cue_said_how_often() -> None:
    found = summarise(RESULTS).cues()
    assert list(found) == [LIVE, "paper", "phone", "loop"]
    assert found["paper"] == {
        "motion": CueShares(attack=0.9, undecided=0.0),
        "passive": CueShares(attack=0.0, undecided=0.9),
    }
    assert found["phone"] == {"motion": CueShares(attack=0.0, undecided=1.0)}


def test_nothing_measured_is_nothing_claimed() -> None:
    evaluation = summarise([])
    assert evaluation.species == {}
    assert evaluation.verdict_ms_p50 is None
    assert evaluation.live.attempts == 0


def attacks(attempts: int, accepted: int) -> Attacks:
    return Attacks(attempts=attempts, accepted=accepted, undecided=0)


def test_an_undecided_attack_is_not_accepted_and_an_undecided_person_not_rejected() -> None:
    evaluation = summarise([result("x", UNDECIDED), result(LIVE, UNDECIDED)])
    assert evaluation.species["x"].accepted == 0
    assert evaluation.live.rejected == 0


PLANS = [
    Plan((Step(move=move, hold_ms=300),), (colour,)) for move in Move for colour in Colour
]  # fmt: skip


def test_guesses_hit_as_often_as_the_plan_is_drawn() -> None:
    assert guess_plans(lambda index: PLANS[index % 25], 100) == (4, 16)
    held = Plan((Step(move=Move.LEFT, hold_ms=800),), PLANS[0].colours)
    assert guess_plans(lambda index: held if index else PLANS[0], 3) == (3, 0)


def test_what_a_guessing_attacker_gets() -> None:
    guessing = Guessing(
        tries=10_000, matched=2, moved=500, plans=5_000,
        right=attacks(10, 5), moves=attacks(150, 0), wrong=attacks(150, 0),
    )  # fmt: skip
    assert guessing.accepted == 1.0
    assert guessing.allowed == 8
    leaky = Guessing(
        tries=10_000, matched=0, moved=500, plans=2**20,
        right=attacks(10, 5), moves=attacks(100, 2), wrong=attacks(100, 1),
    )  # fmt: skip
    assert leaky.accepted == 10 + 95
    assert leaky.allowed == 1
