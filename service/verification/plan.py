"""Draws the liveness plan from the challenge's nonce.

Guarantee: the plan is a function of the nonce's 256 random bits, uniform over its
plans up to a bias below 2**-24, so whoever does not know the nonce cannot know the
plan. No move follows itself: a held pose would answer both.
"""

from __future__ import annotations

from hashlib import shake_256

from wire.messages import Level, LivenessPlan, Move, PlanStep

STEPS_AT = {Level.NONE: 0, Level.PASSIVE: 1, Level.STANDARD: 2, Level.STRICT: 3}
MOVES = (Move.LEFT, Move.RIGHT, Move.UP, Move.DOWN)
HOLD_MS_MIN, HOLD_MS_SPAN = 300, 500


def draw_plan(nonce: bytes, level: Level) -> LivenessPlan:
    stream = shake_256(b"countenance/v1/plan" + nonce).digest(8 * STEPS_AT[level])
    steps: list[PlanStep] = []
    for index in range(STEPS_AT[level]):
        word = stream[8 * index : 8 * index + 8]
        choices = [move for move in MOVES if not steps or move is not steps[-1].move]
        move = choices[int.from_bytes(word[:4], "big") % len(choices)]
        hold_ms = HOLD_MS_MIN + int.from_bytes(word[4:], "big") % HOLD_MS_SPAN
        steps.append(PlanStep(move=move, hold_ms=hold_ms))
    return LivenessPlan(steps=tuple(steps))
