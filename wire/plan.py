"""Draws the liveness plan from the challenge's nonce.

Guarantee: the plan is a function of the nonce's 256 random bits, uniform over its
plans up to a bias below 2**-23, so whoever does not know the nonce cannot know the
plan. No move follows itself: a held pose would answer both; no colour does either: the
face would have nothing to answer. One move at least is a turn to a side: a nod shows less
of a head's relief, and coming closer none. With colours a plan is one of more than 2**20
even for somebody who may hold every move as long as he likes (``plans_at``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import shake_256
from itertools import pairwise, product
from typing import TypeVar

from wire.messages import Colour, Level, LivenessPlan, Move, PlanStep

STEPS_AT = {Level.NONE: 0, Level.PASSIVE: 1, Level.STANDARD: 2, Level.STRICT: 3}
COLOURS_AT = {Level.NONE: 0, Level.PASSIVE: 0, Level.STANDARD: 8, Level.STRICT: 10}
MOVES = tuple(Move)
TURNS = frozenset({Move.LEFT, Move.RIGHT})
COLOURS = tuple(Colour)
HOLD_MS_MIN, HOLD_MS_SPAN = 300, 500
WORD_BYTES = 4

T = TypeVar("T")


def draw_plan(nonce: bytes, level: Level, *, colours: bool = True) -> LivenessPlan:
    """``colours``: whether the screen may show them; where not, one more move is asked."""
    moves, shown = _lengths(level, colours)
    order, *words = _words(nonce, 1 + moves + shown)
    orders = move_orders(moves)
    steps = tuple(
        PlanStep(move=move, hold_ms=HOLD_MS_MIN + word % HOLD_MS_SPAN)
        for move, word in zip(orders[order % len(orders)], words, strict=False)
    )
    return LivenessPlan(steps=steps, colours=tuple(_draw(COLOURS, words[moves:])))


def plans_at(level: Level, *, colours: bool = True) -> int:
    """How many plans there are, those that differ only in how long a move is held counted once."""
    moves, shown = _lengths(level, colours)
    of_colours = len(COLOURS) * (len(COLOURS) - 1) ** (shown - 1) if shown else 1
    return len(move_orders(moves)) * of_colours


@cache
def move_orders(length: int) -> tuple[tuple[Move, ...], ...]:
    """Every order of so many moves that may be asked, by the moves' codes."""
    return tuple(
        order
        for order in product(MOVES, repeat=length)
        if all(one is not two for one, two in pairwise(order))
        and (not length or TURNS.intersection(order))
    )


def _lengths(level: Level, colours: bool) -> tuple[int, int]:
    """How many moves, how many colours."""
    moves, shown = STEPS_AT[level], COLOURS_AT[level]
    return (moves, shown) if colours or not shown else (moves + 1, 0)


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
