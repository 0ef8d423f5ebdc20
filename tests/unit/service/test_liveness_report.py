from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from service.verification.liveness import CLOCK_TOLERANCE_MS, check_report
from service.verification.plan import MOVES, STEPS_AT, draw_plan
from wire.denial import Denial
from wire.messages import CueScore, Level, LivenessOutcome, LivenessReport, StepTiming

NONCE = b"n" * 32
PLAN = draw_plan(NONCE, Level.STANDARD)
ELAPSED_MS = 5_000


def honest(level: Level = Level.STANDARD) -> LivenessReport:
    plan = draw_plan(NONCE, level)
    starts = range(0, 1_000 * len(plan.steps), 1_000)
    return LivenessReport(
        level=level,
        outcome=LivenessOutcome.LIVE,
        plan_digest=plan.digest,
        transcript_digest=bytes(32),
        frames=60,
        cues=(cue("motion", LivenessOutcome.LIVE),),
        steps=tuple(
            StepTiming(move=step.move, started_ms=start, ended_ms=start + step.hold_ms)
            for step, start in zip(plan.steps, starts, strict=True)
        ),
    )


def cue(name: str, outcome: LivenessOutcome) -> CueScore:
    return CueScore(name=name, score_milli=500, outcome=outcome)


def check(report: LivenessReport, level: Level = Level.STANDARD) -> Denial | None:
    return check_report(report, plan=draw_plan(NONCE, level), level=level, elapsed_ms=ELAPSED_MS)


@pytest.mark.parametrize("level", Level)
def test_an_honest_report_passes_at_its_level(level: Level) -> None:
    assert check(honest(level), level) is None


CHANGED = [
    ({"plan_digest": bytes(32)}, Denial.LIVENESS_PLAN_CHANGED),
    ({"level": Level.PASSIVE}, Denial.LIVENESS_PLAN_CHANGED),
    ({"outcome": LivenessOutcome.ATTACK}, Denial.LIVENESS_ATTACK),
    ({"outcome": LivenessOutcome.UNDECIDED}, Denial.LIVENESS_UNDECIDED),
    ({"frames": 0}, Denial.LIVENESS_UNDECIDED),
    ({"cues": (cue("passive", LivenessOutcome.ATTACK),)}, Denial.LIVENESS_ATTACK),
    ({"steps": ()}, Denial.LIVENESS_PLAN_CHANGED),
    ({"steps": honest().steps[::-1]}, Denial.LIVENESS_PLAN_CHANGED),
    ({"steps": honest().steps[:1]}, Denial.LIVENESS_PLAN_CHANGED),
]


@pytest.mark.parametrize(("change", "denial"), CHANGED)
def test_a_changed_report_is_refused_by_name(change: dict[str, object], denial: Denial) -> None:
    assert check(replace(honest(), **change)) is denial


@pytest.mark.parametrize("earlier", range(len(CHANGED)))
def test_the_first_refusal_in_order_is_the_one_named(earlier: int) -> None:
    changes: dict[str, object] = {}
    for change, _ in reversed(CHANGED[earlier:]):
        changes |= change
    assert check(replace(honest(), **changes)) is CHANGED[earlier][1]


def test_steps_shorter_than_their_hold_or_overlapping_or_in_the_future_are_refused() -> None:
    first, second = honest().steps
    hasty = replace(first, ended_ms=first.started_ms + PLAN.steps[0].hold_ms - 1)
    overlapping = replace(second, started_ms=first.ended_ms - 1)
    late_ms = ELAPSED_MS + CLOCK_TOLERANCE_MS
    for steps in (
        (hasty, second),
        (first, overlapping),
        (first, replace(second, ended_ms=late_ms + 1)),
    ):
        assert check(replace(honest(), steps=steps)) is Denial.LIVENESS_PLAN_CHANGED
    assert check(replace(honest(), steps=(first, replace(second, ended_ms=late_ms)))) is None


def test_the_passive_level_takes_a_live_passive_cue_instead_of_the_plan() -> None:
    report = replace(honest(Level.PASSIVE), steps=())
    assert check(report, Level.PASSIVE) is Denial.LIVENESS_PLAN_CHANGED
    live = replace(report, cues=(cue("passive", LivenessOutcome.LIVE),))
    undecided = replace(report, cues=(cue("passive", LivenessOutcome.UNDECIDED),))
    assert check(live, Level.PASSIVE) is None
    assert check(undecided, Level.PASSIVE) is Denial.LIVENESS_PLAN_CHANGED


def test_plans_follow_from_the_nonce_and_no_move_follows_itself() -> None:
    plans = [draw_plan(number.to_bytes(32), Level.STRICT) for number in range(200)]
    assert plans[0] == draw_plan((0).to_bytes(32), Level.STRICT)
    assert len({plan.digest for plan in plans}) == len(plans)
    assert {step.move for plan in plans for step in plan.steps} == set(MOVES)
    for plan in plans:
        moves = [step.move for step in plan.steps]
        assert len(moves) == STEPS_AT[Level.STRICT]
        assert all(one is not two for one, two in itertools.pairwise(moves))
