"""The plan: what the person is asked to do. The service draws it; here it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

STEPS_MAX = 8
HOLD_MS_MAX = 5_000
COLOURS_MAX = 12
COLOUR_MS = 400


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


class Colour(StrEnum):
    """What the whole screen shows during the flash."""

    BLACK = "black"
    WHITE = "white"
    GREEN = "green"
    BLUE = "blue"
    ROSE = "rose"

    @property
    def rgb(self) -> tuple[int, int, int]:
        return _RGB[self]


# None is a saturated red (WCAG 2.2, 2.3.1: R / (R + G + B) below 0.8, in linear light).
_RGB = {
    Colour.BLACK: (0, 0, 0),
    Colour.WHITE: (255, 255, 255),
    Colour.GREEN: (60, 255, 60),
    Colour.BLUE: (60, 60, 255),
    Colour.ROSE: (255, 120, 120),
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
    """Moves first, then the colours, each shown for ``COLOUR_MS``; either may be empty."""

    steps: tuple[Step, ...]
    colours: tuple[Colour, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) > STEPS_MAX or len(self.colours) > COLOURS_MAX:
            raise ValueError("a plan has at most 8 steps and 12 colours")
