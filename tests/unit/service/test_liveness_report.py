from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from liveness.challenge import COLOUR_MS, Colour
from service.verification.liveness import (
    CLOCK_TOLERANCE_MS,
    COLOUR_MS_MAX,
    COLOUR_MS_MIN,
    REACTION_MS_MIN,
    check_report,
)
from wire.denial import Denial
from wire.messages import (
    ColourTiming,
    CueScore,
    Level,
    LivenessOutcome,
    LivenessReport,
    StepTiming,
)
from wire.plan import (
    COLOURS,
    COLOURS_AT,
    MOVES,
    STEPS_AT,
    TURNS,
    draw_plan,
    move_orders,
    plans_at,
)

NONCE = b"n" * 32
PLAN = draw_plan(NONCE, Level.STANDARD)
ELAPSED_MS = 8_000
CAMERA = b"c" * 32


def honest(level: Level = Level.STANDARD, *, colours: bool = True) -> LivenessReport:
    plan = draw_plan(NONCE, level, colours=colours)
    starts = range(REACTION_MS_MIN, 1_000 * len(plan.steps) + REACTION_MS_MIN, 1_000)
    moved_ms = 1_000 * len(plan.steps)
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
        colours=tuple(
            ColourTiming(colour=colour, shown_ms=moved_ms + COLOUR_MS_MIN * index)
            for index, colour in enumerate(plan.colours)
        ),
        camera=CAMERA,
    )


def cue(name: str, outcome: LivenessOutcome) -> CueScore:
    return CueScore(name=name, score_milli=500, outcome=outcome)


def check(report: LivenessReport, level: Level = Level.STANDARD) -> Denial | None:
    return check_report(
        report, plan=draw_plan(NONCE, level), level=level, elapsed_ms=ELAPSED_MS, camera=None
    )


@pytest.mark.parametrize("level", Level)
def test_another_camera_than_the_pinned_one_is_refused_first(level: Level) -> None:
    plan = draw_plan(NONCE, level)
    report = replace(honest(level), outcome=LivenessOutcome.ATTACK)
    found = check_report(report, plan=plan, level=level, elapsed_ms=0, camera=bytes(32))
    assert found is Denial.CAMERA_CHANGED


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
    ({"colours": ()}, Denial.LIVENESS_PLAN_CHANGED),
    ({"colours": honest().colours[::-1]}, Denial.LIVENESS_PLAN_CHANGED),
    ({"colours": honest().colours[1:]}, Denial.LIVENESS_PLAN_CHANGED),
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


def test_steps_shorter_than_their_hold_or_faster_than_a_person_are_refused() -> None:
    first, second = honest().steps
    hasty = replace(first, ended_ms=first.started_ms + PLAN.steps[0].hold_ms - 1)
    early = replace(first, started_ms=REACTION_MS_MIN - 1)
    overlapping = replace(second, started_ms=first.ended_ms + REACTION_MS_MIN - 1)
    for steps in ((hasty, second), (early, second), (first, overlapping)):
        assert check(replace(honest(), steps=steps)) is Denial.LIVENESS_PLAN_CHANGED


def shifted(*, first_ms: int = 0, rest_ms: int = 0) -> LivenessReport:
    """The colours later: the first by ``first_ms``, the others by ``rest_ms``."""
    first, *rest = honest().colours
    return replace(
        honest(),
        colours=(
            replace(first, shown_ms=first.shown_ms + first_ms),
            *(replace(each, shown_ms=each.shown_ms + rest_ms) for each in rest),
        ),
    )


@pytest.mark.parametrize(
    ("first_ms", "rest_ms", "denial"),
    [
        (0, 0, None),
        (50, 50, None),
        (0, COLOUR_MS_MAX - COLOUR_MS_MIN, None),
        (0, COLOUR_MS_MAX - COLOUR_MS_MIN + 1, Denial.LIVENESS_PLAN_CHANGED),
        (1, 0, Denial.LIVENESS_PLAN_CHANGED),
        (-2_000, -2_000, Denial.LIVENESS_PLAN_CHANGED),
    ],
    ids=["at once", "a little late", "a slow frame", "too long", "too short", "before the moves"],
)
def test_colours_are_shown_for_their_time_after_the_moves(
    first_ms: int, rest_ms: int, denial: Denial | None
) -> None:
    assert check(shifted(first_ms=first_ms, rest_ms=rest_ms)) is denial


def test_what_ends_after_the_evidence_arrived_is_refused() -> None:
    ends_ms = honest().colours[-1].shown_ms + COLOUR_MS_MIN

    def at(elapsed_ms: int) -> Denial | None:
        return check_report(
            honest(), plan=PLAN, level=Level.STANDARD, elapsed_ms=elapsed_ms, camera=CAMERA
        )

    assert at(ends_ms - CLOCK_TOLERANCE_MS) is None
    assert at(ends_ms - CLOCK_TOLERANCE_MS - 1) is Denial.LIVENESS_PLAN_CHANGED


@pytest.mark.parametrize("level", [Level.STANDARD, Level.STRICT])
def test_without_colours_one_more_move_is_asked(level: Level) -> None:
    plan = draw_plan(NONCE, level, colours=False)
    assert plan.colours == ()
    assert len(plan.steps) == STEPS_AT[level] + 1
    report = honest(level, colours=False)
    assert (
        check_report(report, plan=plan, level=level, elapsed_ms=ELAPSED_MS, camera=CAMERA) is None
    )


def test_the_passive_level_takes_a_live_passive_cue_instead_of_the_plan() -> None:
    report = replace(honest(Level.PASSIVE), steps=())
    assert check(report, Level.PASSIVE) is Denial.LIVENESS_PLAN_CHANGED
    live = replace(report, cues=(cue("passive", LivenessOutcome.LIVE),))
    undecided = replace(report, cues=(cue("passive", LivenessOutcome.UNDECIDED),))
    assert check(live, Level.PASSIVE) is None
    assert check(undecided, Level.PASSIVE) is Denial.LIVENESS_PLAN_CHANGED


def test_plans_follow_from_the_nonce_and_nothing_follows_itself() -> None:
    plans = [draw_plan(number.to_bytes(32), Level.STRICT) for number in range(200)]
    assert plans[0] == draw_plan((0).to_bytes(32), Level.STRICT)
    assert len({plan.digest for plan in plans}) == len(plans)
    assert {step.move for plan in plans for step in plan.steps} == set(MOVES)
    assert {colour for plan in plans for colour in plan.colours} == set(COLOURS)
    for plan in plans:
        moves = [step.move for step in plan.steps]
        assert len(moves) == STEPS_AT[Level.STRICT]
        assert len(plan.colours) == COLOURS_AT[Level.STRICT]
        for one, two in [*itertools.pairwise(moves), *itertools.pairwise(plan.colours)]:
            assert one is not two


def test_there_are_more_than_a_million_plans_whatever_the_holds() -> None:
    colours = 5 * 4**7
    assert plans_at(Level.STANDARD) == len(move_orders(2)) * colours >= 2**20
    assert plans_at(Level.STRICT) > plans_at(Level.STANDARD)
    assert plans_at(Level.STANDARD, colours=False) == len(move_orders(3))


@pytest.mark.parametrize(("length", "number"), [(0, 1), (1, 2), (2, 14), (3, 68)])
def test_every_order_of_moves_turns_the_head_to_a_side(length: int, number: int) -> None:
    orders = move_orders(length)
    assert len(set(orders)) == len(orders) == number
    for order in orders:
        assert not order or TURNS.intersection(order)
        assert all(one is not two for one, two in itertools.pairwise(order))


def test_every_order_is_drawn_about_as_often_as_another() -> None:
    plans = [draw_plan(number.to_bytes(32), Level.STANDARD) for number in range(4_000)]
    for orders, number in (
        (Counter(tuple(step.move for step in plan.steps) for plan in plans), 14),
        (Counter(plan.colours[-2:] for plan in plans), 5 * 4),
    ):
        assert len(orders) == number
        even = len(plans) / number
        assert all(0.65 * even < drawn < 1.35 * even for drawn in orders.values())


def test_no_plan_flashes_more_than_three_times_a_second_nor_in_saturated_red() -> None:
    """WCAG 2.2, 2.3.1. A flash is two opposing changes, and each colour lasts COLOUR_MS."""
    assert COLOUR_MS >= COLOUR_MS_MIN
    assert 1000 / COLOUR_MS_MIN / 2 <= 3
    for colour in Colour:
        linear = [(part / 255) ** 2.2 for part in colour.rgb]
        assert linear[0] < 0.8 * sum(linear) or sum(linear) == 0
    assert {colour.name for colour in Colour} == {colour.name for colour in COLOURS}
