"""What lights the face: the place, and the colour that the terminal's screen shows.

Light is linear and relative to the place's light on a face at rest. The screen is an area
above or below the camera; what it adds falls with the square of the distance and with the
cosine to the surface (Lambert). A screen shows a colour some milliseconds after it was told to,
and a camera exposes its rows one after the other, so a change may fall into a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from liveness.challenge import Colour

GAMMA = 2.2
# A page of prompts is as bright as a quarter of a white screen.
PAGE = 0.25
LINES_MAX = 64
# How much of a screen's primary another channel of the camera sees, too.
CROSSTALK = np.array([[0.88, 0.10, 0.02], [0.07, 0.86, 0.07], [0.02, 0.10, 0.88]])

Rgb = NDArray[np.float32]


@dataclass(slots=True, kw_only=True)
class Light:
    """``ambient``: the place's light by channel (BGR), as the camera's white balance leaves it.

    ``screen``: a white screen's light on a face at rest, in parts of the ambient; ``above`` is
    the screen's middle in eye distances above the camera; ``latency_ms`` from being told a
    colour to showing it; ``lamp`` the direction of the place's lamp and ``lamp_part`` how much
    of the ambient comes from it rather than from everywhere.
    """

    ambient: Rgb
    screen: float
    above: float
    latency_ms: int
    lamp: tuple[float, float, float]
    lamp_part: float
    _shown: list[tuple[int, Rgb]] = field(default_factory=list)

    @classmethod
    def draw(cls, random: np.random.Generator, *, level: float) -> Light:
        """``level``: 1 is a well-lit shop, 0.1 a bar; the darker, the more the screen counts."""
        warmth = random.uniform(-0.1, 0.1)
        direction = random.uniform(-0.8, 0.8), random.uniform(-1.0, -0.2), 0.8
        long = float(np.linalg.norm(direction))
        return cls(
            ambient=np.array([1 - warmth, 1.0, 1 + warmth], np.float32),
            screen=float(0.11 * random.uniform(0.75, 1.35) / level),
            above=float(random.uniform(-2.5, 1.0)),
            latency_ms=int(random.uniform(20, 90)),
            lamp=(direction[0] / long, direction[1] / long, direction[2] / long),
            lamp_part=float(random.uniform(0.1, 0.45)),
        )

    def show(self, colour: Colour | None, at_ms: int) -> None:
        emitted = _PAGE if colour is None else _linear(colour)
        if not self._shown or not np.array_equal(self._shown[-1][1], emitted):
            self._shown = [*self._shown[-LINES_MAX:], (at_ms + self.latency_ms, emitted)]

    def of_screen(self, started_ms: NDArray[np.float64], exposure_ms: float) -> Rgb:
        """The screen's mean colour (BGR) while each row was exposed: shape (rows, 3)."""
        light = np.tile(_PAGE if not self._shown else self._shown[0][1], (started_ms.size, 1))
        for (_, before), (at_ms, after) in zip(self._shown, self._shown[1:], strict=False):
            part = np.clip((started_ms + exposure_ms - at_ms) / exposure_ms, 0, 1)
            light = light + part[:, None] * (after - before)
        return np.asarray(light * self.screen, np.float32)


def _linear(colour: Colour) -> Rgb:
    emitted = (np.array(colour.rgb) / 255) ** GAMMA @ CROSSTALK
    return np.asarray(emitted[::-1], np.float32)


_PAGE = np.full(3, PAGE, np.float32)
