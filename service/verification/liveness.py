"""Checks a terminal's liveness report against the challenge's plan and the policy.

Guarantee: only a report of the challenge's own plan, carried out in order, no faster than
people react and the screen shows colours, and within the time that passed since the challenge
was issued, at the level asked for, from the camera that the terminal is pinned to, is let
through. The frames themselves are the terminal's:
a terminal that lies is a stolen key, not a stolen face, and is revoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from itertools import pairwise

from wire.denial import Denial
from wire.messages import (
    ColourTiming,
    Level,
    LivenessOutcome,
    LivenessPlan,
    LivenessReport,
    PlanStep,
    StepTiming,
)

CLOCK_TOLERANCE_MS = 2_000
REACTION_MS_MIN = 100
COLOUR_MS_MIN = 400
COLOUR_MS_MAX = 1_200
PASSIVE_CUE = "passive"


def check_report(
    report: LivenessReport,
    *,
    plan: LivenessPlan,
    level: Level,
    elapsed_ms: int,
    camera: bytes | None,
) -> Denial | None:
    """``elapsed_ms``: from the challenge's issue to the evidence's arrival; ``camera``: the
    digest that the terminal is pinned to, None before its first live report."""
    if camera is not None and not compare_digest(report.camera, camera):
        return Denial.CAMERA_CHANGED
    if level is Level.NONE:
        return None
    if not compare_digest(report.plan_digest, plan.digest) or report.level is not level:
        return Denial.LIVENESS_PLAN_CHANGED
    if report.outcome is LivenessOutcome.ATTACK:
        return Denial.LIVENESS_ATTACK
    if report.outcome is not LivenessOutcome.LIVE or report.frames == 0:
        return Denial.LIVENESS_UNDECIDED
    if any(cue.outcome is LivenessOutcome.ATTACK for cue in report.cues):
        return Denial.LIVENESS_ATTACK
    if level is Level.PASSIVE and _passively_live(report) and not report.steps:
        return None
    return None if _carried_out(report, plan, elapsed_ms) else Denial.LIVENESS_PLAN_CHANGED


def _passively_live(report: LivenessReport) -> bool:
    return any(
        cue.name == PASSIVE_CUE and cue.outcome is LivenessOutcome.LIVE for cue in report.cues
    )


def _carried_out(report: LivenessReport, plan: LivenessPlan, elapsed_ms: int) -> bool:
    moved_ms = _moved_until(report.steps, plan.steps)
    if moved_ms is None or [each.colour for each in report.colours] != list(plan.colours):
        return False
    shown_ms = _shown_until(report.colours, moved_ms)
    return shown_ms is not None and shown_ms <= elapsed_ms + CLOCK_TOLERANCE_MS


def _moved_until(steps: Sequence[StepTiming], plan: Sequence[PlanStep]) -> int | None:
    """When the last move ended; None for moves that are not the plan's."""
    if [step.move for step in steps] != [step.move for step in plan]:
        return None
    clock = 0
    for done, asked in zip(steps, plan, strict=True):
        if done.started_ms < clock + REACTION_MS_MIN:
            return None
        if done.ended_ms - done.started_ms < asked.hold_ms:
            return None
        clock = done.ended_ms
    return clock


def _shown_until(colours: Sequence[ColourTiming], moved_ms: int) -> int | None:
    """When the last colour left the screen; None for colours too early, too short or too long."""
    if not colours:
        return moved_ms
    shown = [each.shown_ms for each in colours]
    lasted = [after - before for before, after in pairwise(shown)]
    if shown[0] < moved_ms or not all(COLOUR_MS_MIN <= ms <= COLOUR_MS_MAX for ms in lasted):
        return None
    return shown[-1] + COLOUR_MS_MIN
