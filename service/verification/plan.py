"""Draws the liveness plan from the challenge's nonce.

Guarantee: the plan is a function of the nonce's 256 random bits, uniform over its
plans up to a bias below 2**-24, so whoever does not know the nonce cannot know the
plan. No move follows itself: a held pose would answer both; no colour does either: the
face would have nothing to answer. With colours a plan is one of more than 2**20 even for
somebody who may hold every move as long as he likes (``plans_at``).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256
from typing import TypeVar

from wire.messages import Colour, Level, LivenessPlan, Move, PlanStep

STEPS_AT = {Level.NONE: 0, Level.PASSIVE: 1, Level.STANDARD: 2, Level.STRICT: 3}
COLOURS_AT = {Level.NONE: 0, Level.PASSIVE: 0, Level.STANDARD: 8, Level.STRICT: 10}
MOVES = tuple(Move)
# Coming closer shows no relief, so it is never all that is asked.
TURNS = MOVES[:4]
COLOURS = tuple(Colour)
HOLD_MS_MIN, HOLD_MS_SPAN = 300, 500
WORD_BYTES = 4

T = TypeVar("T")


def draw_plan(nonce: bytes, level: Level, *, colours: bool = True) -> LivenessPlan:
    """``colours``: whether the screen may show them; where not, one more move is asked."""
    shown, moves = COLOURS_AT[level], STEPS_AT[level]
    if shown and not colours:
        shown, moves = 0, moves + 1
    words = _words(nonce, 2 * moves + shown)
    steps = tuple(
        PlanStep(move=move, hold_ms=HOLD_MS_MIN + word % HOLD_MS_SPAN)
        for move, word in zip(
            _draw(MOVES if moves > 1 else TURNS, words[:moves]), words[moves:], strict=False
        )
    )
    return LivenessPlan(steps=steps, colours=tuple(_draw(COLOURS, words[2 * moves :])))


def plans_at(level: Level, *, colours: bool = True) -> int:
    """How many plans there are, those that differ only in how long a move is held counted once."""
    shown, moves = COLOURS_AT[level], STEPS_AT[level]
    if shown and not colours:
        shown, moves = 0, moves + 1
    return _orders(len(MOVES if moves > 1 else TURNS), moves) * _orders(len(COLOURS), shown)


def _orders(choices: int, length: int) -> int:
    return choices * (choices - 1) ** (length - 1) if length else 1


def _words(nonce: bytes, count: int) -> list[int]:
    stream = shake_256(b"countenance/v1/plan" + nonce).digest(WORD_BYTES * count)
    return [
        int.from_bytes(stream[WORD_BYTES * index : WORD_BYTES * (index + 1)])
        for index in range(count)
    ]


def _draw(every: Sequence[T], words: Sequence[int]) -> list[T]:
    """One of ``every`` for each word, none twice in a row."""
    drawn: list[T] = []
    for word in words:
        choices = [one for one in every if not drawn or one is not drawn[-1]]
        drawn.append(choices[word % len(choices)])
    return drawn
