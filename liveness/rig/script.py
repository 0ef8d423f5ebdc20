"""A plan that a recording was made with: what its screen asked and showed, at which times."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from face_engine.types import Frame
from liveness.challenge import COLOUR_MS, Colour, Move
from liveness.rig.presentation import Content

MOVES, COLOURS = 3, 6
SETTLE_MS = (400, 900)
MOVE_MS = (1_100, 1_900)


@dataclass(frozen=True, slots=True)
class Line:
    """From ``at_ms`` of the recording on."""

    at_ms: int
    move: Move | None
    colour: Colour | None


def random_script(random: np.random.Generator) -> tuple[Line, ...]:
    """Moves, then colours, as an attempt of the level standard has them."""
    at_ms = int(random.integers(*SETTLE_MS))
    lines: list[Line] = []
    for index in random.permutation(len(Move))[:MOVES]:
        lines.append(Line(at_ms, list(Move)[int(index)], None))
        at_ms += int(random.integers(*MOVE_MS))
    for index in random.integers(len(Colour), size=COLOURS):
        lines.append(Line(at_ms, None, list(Colour)[int(index)]))
        at_ms += COLOUR_MS
    return (*lines, Line(at_ms, None, None))


@dataclass(slots=True, kw_only=True)
class OtherColours:
    """Plays ``content`` as if its screen had shown other colours than this one shows."""

    content: Content
    random: np.random.Generator
    _shown: Colour | None = None
    _recorded: Colour | None = None

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        if colour is not self._shown:
            others = [other for other in Colour if other is not self._recorded]
            drawn = others[int(self.random.integers(len(others)))]
            self._shown, self._recorded = colour, drawn if colour is not None else None
        self.content.follow(move, at_ms, self._recorded)

    def frame(self, at_ms: int) -> Frame:
        return self.content.frame(at_ms)


@dataclass(slots=True, kw_only=True)
class Scripted:
    """Plays ``content`` with its script from the first frame asked for."""

    content: Content
    script: tuple[Line, ...]
    _began_ms: int | None = None
    _spoken: int = field(default=0)

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        """A recording hears nothing."""

    def frame(self, at_ms: int) -> Frame:
        if self._began_ms is None:
            self._began_ms = at_ms
        while self._spoken < len(self.script):
            line = self.script[self._spoken]
            if line.at_ms > at_ms - self._began_ms:
                break
            self.content.follow(line.move, self._began_ms + line.at_ms, line.colour)
            self._spoken += 1
        return self.content.frame(at_ms)
