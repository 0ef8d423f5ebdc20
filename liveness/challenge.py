"""The plan: what the person is asked to do. The service draws it; here it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

STEPS_MAX = 8
HOLD_MS_MAX = 5_000


class Move(StrEnum):
    """From the person's own point of view."""

    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"
    CLOSER = "closer"

    @property
    def instruction(self) -> str:
        return _INSTRUCTION[self]


_INSTRUCTION = {
    Move.LEFT: "Turn your head to your left",
    Move.RIGHT: "Turn your head to your right",
    Move.UP: "Look up",
    Move.DOWN: "Look down",
    Move.CLOSER: "Come closer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    move: Move
    hold_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.hold_ms <= HOLD_MS_MAX:
            raise ValueError("a hold lasts 0 to 5 s")


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if len(self.steps) > STEPS_MAX:
            raise ValueError("a plan has at most 8 steps")
