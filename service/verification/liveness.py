"""Checks a terminal's liveness report against the challenge's plan and the policy.

Guarantee: only a report of the challenge's own plan, carried out in order and within
the time that passed since the challenge was issued, at the level asked for, is let
through. The frames themselves are the terminal's: a terminal that lies is a stolen
key, not a stolen face, and is revoked.
"""

from __future__ import annotations

from hmac import compare_digest

from wire.denial import Denial
from wire.messages import Level, LivenessOutcome, LivenessPlan, LivenessReport, StepTiming

CLOCK_TOLERANCE_MS = 2_000
PASSIVE_CUE = "passive"


def check_report(
    report: LivenessReport, *, plan: LivenessPlan, level: Level, elapsed_ms: int
) -> Denial | None:
    """``elapsed_ms``: from the challenge's issue to the evidence's arrival."""
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
    return None if _carried_out(report.steps, plan, elapsed_ms) else Denial.LIVENESS_PLAN_CHANGED


def _passively_live(report: LivenessReport) -> bool:
    return any(
        cue.name == PASSIVE_CUE and cue.outcome is LivenessOutcome.LIVE for cue in report.cues
    )


def _carried_out(steps: tuple[StepTiming, ...], plan: LivenessPlan, elapsed_ms: int) -> bool:
    if [step.move for step in steps] != [step.move for step in plan.steps]:
        return False
    clock = 0
    for done, asked in zip(steps, plan.steps, strict=True):
        if done.started_ms < clock or done.ended_ms - done.started_ms < asked.hold_ms:
            return False
        clock = done.ended_ms
    return clock <= elapsed_ms + CLOCK_TOLERANCE_MS
