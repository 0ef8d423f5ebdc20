"""Does the skin answer the colours that the screen shows?

Physics: light adds. In linear light a patch of skin is albedo x (ambient + screen), so its
change against its own mean is the screen's share of the light there, whatever the albedo. The
colours are secret until they are shown: a recording answers others, a screen shines by its own
light, an injected video answers nothing. All of a person's skin answers, the wall behind does
not (light falls with the square of the distance); a picture's background answers as its face
does, for it is on the same sheet. Skin, brows and hair throw the colours back in proportion to
what they throw back anyway; glass mirrors the same over bright and dark, so an answer without the
face's fine differences is a display's.
Sources: Liu et al., Aurora Guard (2019); Tang et al., Face Flashing (NDSS 2018).

The colours follow each other after ``COLOUR_MS``, so no plan flashes more than three times a
second (WCAG 2.2, 2.3.1; ITU-R BT.1702), and none holds a saturated red.

Guarantees: without an answer there is no "live"; an answer that ambient light drowns, or that
was not the one asked for, is undecided; a background that answers like the face, and a mirror
over it, are an attack.

A screen is up to 100 ms late and a camera as much, so an answer after ``DELAY_MS_MAX`` was made
by something that had to compute it first.

Limits: paper and masks answer light as skin does. Where the screen's share of the light on the
face is below ``SHARE_MIN`` it cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Face, Pixels
from liveness.challenge import COLOUR_MS, Colour
from liveness.types import Cue, Outcome
from liveness.view import affine_frame, look

DELAY_MS_MAX = 240
SEARCH_MS_MAX = 640
DELAY_STEP_MS = 10
STILL_FRAMES = 3
WAIT_MS_MAX = 3_000
FRAMES_MIN = 12
GAMMA = 2.2
SHARE_MIN = 0.012
CORRELATION_MIN = 0.94
SHEET_RATIO_MIN = 0.75
SKIN_LIVE_MIN, GLASS_ATTACK_MAX = 0.7, 0.35
CLIPPED = 250
CLIPPED_PART_MAX = 0.6
BLACK = 0.002
DARK, UNUSABLE_PART_MAX = 3, 0.1
# Of an eye distance: finer than a lamp's shade or the edge of what glass mirrors.
FINE = 0.2
PIXELS_MIN = 40

SMOOTHING = 0.35

UNIT_PX = 12
CORNER = (-2.5, -1.5)
SIZE_PX = (60, 42)

Array = NDArray[np.float64]

_LINEAR = (np.arange(256) / 255) ** GAMMA


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownColour:
    colour: Colour
    shown_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``share``: the colours' part of the light on the skin, as a standard deviation;
    ``correlation`` with the colours shown, 0 to 1, at ``delay_ms``; ``behind``: the
    background's share over the face's, None where no background can be seen; ``proportion``:
    1 where what throws back more answers more, 0 where all answers alike; None without answer."""

    share: float
    correlation: float
    delay_ms: int
    behind: float | None
    proportion: float | None


@dataclass(slots=True)
class FlashTracker:
    """Shows the colours one by one, and looks at the face until the last answer is in."""

    colours: Sequence[Colour]
    shown: list[ShownColour] = field(default_factory=list)
    _times_ms: list[int] = field(default_factory=list)
    _views: list[Pixels] = field(default_factory=list)
    _frame: NDArray[np.float64] | None = None
    _since_ms: int | None = None
    _still: int = 0
    _ended_ms: int | None = None
    _last_ms: int = 0

    @property
    def current(self) -> Colour | None:
        return self.shown[-1].colour if self.shown and self._ended_ms is None else None

    @property
    def finished(self) -> bool:
        return not self.colours or (
            self._ended_ms is not None and self._last_ms >= self._ended_ms + DELAY_MS_MAX
        )

    @property
    def fraction(self) -> float:
        return len(self.shown) / len(self.colours) if self.colours else 1.0

    def observe(self, pixels: Pixels | None, face: Face, at_ms: int, *, frontal: bool) -> None:
        """A frame after the moves; the first colour waits until the face looks ahead again."""
        if self.finished:
            return
        self._last_ms = at_ms
        self._advance(at_ms, frontal=frontal)
        if not self.shown or pixels is None:
            return
        frame = affine_frame(face)
        if frame is None:
            return
        if self._frame is not None:
            # Landmarks tremble; the face, told to look ahead, moves slowly.
            frame = SMOOTHING * frame + (1 - SMOOTHING) * self._frame
        self._frame = frame
        self._times_ms.append(at_ms)
        self._views.append(look(pixels, frame, corner=CORNER, size=SIZE_PX, unit=UNIT_PX))

    def _advance(self, at_ms: int, *, frontal: bool) -> None:
        if not self.shown:
            self._since_ms = at_ms if self._since_ms is None else self._since_ms
            self._still = self._still + 1 if frontal else 0
            if self._still < STILL_FRAMES and at_ms - self._since_ms < WAIT_MS_MAX:
                return
        elif self._ended_ms is not None or at_ms < self.shown[-1].shown_ms + COLOUR_MS:
            return
        if len(self.shown) == len(self.colours):
            self._ended_ms = at_ms
        else:
            self.shown.append(ShownColour(colour=self.colours[len(self.shown)], shown_ms=at_ms))

    def answer(self) -> Answer | None:
        """None before there is enough to look at."""
        if not self.finished or len(self._times_ms) < FRAMES_MIN or self._ended_ms is None:
            return None
        starts = [each.shown_ms for each in self.shown]
        return find_answer(
            np.array(self._times_ms),
            np.stack(self._views),
            np.array([*starts, self._ended_ms]),
            [each.colour for each in self.shown],
        )

    def cue(self) -> Cue | None:
        """None where the plan has no colours."""
        if not self.colours:
            return None
        answer = self.answer()
        if answer is None:
            return Cue(name="flash", score=0.5, outcome=Outcome.UNDECIDED)
        answered = (
            answer.share >= SHARE_MIN
            and answer.correlation >= CORRELATION_MIN
            and answer.delay_ms <= DELAY_MS_MAX
        )
        proportion = answer.proportion or 0.0
        sheet = (answer.behind or 0.0) >= SHEET_RATIO_MIN
        if answered and (sheet or proportion <= GLASS_ATTACK_MAX):
            return Cue(name="flash", score=0.0, outcome=Outcome.ATTACK)
        answered = answered and proportion >= SKIN_LIVE_MIN
        outcome = Outcome.LIVE if answered else Outcome.UNDECIDED
        score = answer.correlation if answered else min(answer.correlation, 0.5)
        return Cue(name="flash", score=score, outcome=outcome)


def find_answer(
    times_ms: NDArray[np.int64], views: Pixels, edges_ms: NDArray[np.int64],
    colours: Sequence[Colour],
) -> Answer | None:  # fmt: skip
    """``views``: (frames, height, width, 3) uint8, BGR; ``edges_ms``: when each colour came, and
    when the last one went."""
    skin, wall, _ = _regions()
    face, behind = _relative(views[:, skin]), _relative(views[:, wall])
    if not face.any():
        return None
    shown = np.array([[(part / 255) ** GAMMA for part in colour.rgb[::-1]] for colour in colours])
    best: tuple[float, int] = (-1.0, 0)
    for delay_ms in range(0, SEARCH_MS_MAX + 1, DELAY_STEP_MS):
        valid, screen = _screen_at(times_ms - delay_ms, edges_ms, shown)
        if valid.sum() >= FRAMES_MIN:
            best = max(best, (_correlate(face[valid], screen, times_ms[valid]), delay_ms))
    if best[0] < 0:
        return None
    valid, screen = _screen_at(times_ms - best[1], edges_ms, shown)
    share = _share(face[valid], screen, times_ms[valid])
    answer = _share(behind[valid], screen, times_ms[valid]) if behind.any() else None
    return Answer(
        share=share,
        correlation=best[0],
        delay_ms=best[1],
        behind=None if answer is None else answer / max(share, 1e-9),
        proportion=_proportion(views[valid], screen, times_ms[valid]),
    )


@cache
def _regions() -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Where skin is in a view, where what is behind the head, and where the head."""
    y, x = np.mgrid[0 : SIZE_PX[1], 0 : SIZE_PX[0]]
    u, v = x / UNIT_PX + CORNER[0], y / UNIT_PX + CORNER[1]
    skin = (u / 0.75) ** 2 + ((v - 0.4) / 0.9) ** 2 < 1
    head = (u / 1.2) ** 2 + ((v - 0.3) / 1.6) ** 2 < 1
    return skin, (np.abs(u) > 2.0) & (v < 0.5), head


def _relative(values: Pixels) -> Array:
    """(frames, pixels, 3) to (frames, 3): the light over its mean, less one.

    The median over the pixels that are neither black nor clipped, by channel; a channel without
    any is 0.
    """
    light = _LINEAR[values]
    mean = light.mean(axis=0)
    usable = ((values > CLIPPED).mean(axis=0) <= CLIPPED_PART_MAX) & (mean > BLACK)
    relative = np.zeros((len(values), 3))
    for channel in np.flatnonzero(usable.sum(axis=0) >= PIXELS_MIN):
        some = usable[:, channel]
        relative[:, channel] = np.median(light[:, some, channel] / mean[some, channel], axis=1) - 1
    return relative


def _proportion(views: Pixels, screen: Array, times_ms: NDArray[np.int64]) -> float | None:
    """How the answer's fine differences over the head compare with those of its brightness: 1
    where each place answers in proportion to what it throws back anyway, 0 where all answer
    alike. None where nothing answers. Broad differences are the lamp's and the mirror's own."""
    values = _LINEAR[views]
    unusable = ((views > CLIPPED) | (views < DARK)).mean(axis=0) > UNUSABLE_PART_MAX
    usable = _regions()[2][..., None] & ~unusable
    screen = _flatten(screen, times_ms)
    power = np.maximum((screen**2).sum(axis=0), 1e-9)
    # A screen without its mean and its drift is blind to theirs.
    light, answer = values.mean(axis=0), np.einsum("nc,nhwc->hwc", screen, values) / power
    drawn = expected = 0.0
    for channel in range(3):
        some = usable[..., channel]
        if some.sum() < PIXELS_MIN:
            continue
        gain = answer[some, channel].sum() / light[some, channel].sum()
        fine = _fine(light[..., channel], some) * gain
        drawn += power[channel] * float((_fine(answer[..., channel], some) * fine).sum())
        expected += power[channel] * float((fine**2).sum())
    return drawn / expected if expected > 0 else None


def _fine(values: Array, some: NDArray[np.bool_]) -> Array:
    """Against the mean around; 0 outside ``some``."""
    weight = some.astype(np.float64)
    spread = FINE * UNIT_PX
    around = cv2.GaussianBlur(values * weight, (0, 0), spread)
    share = np.maximum(cv2.GaussianBlur(weight, (0, 0), spread), 1e-3)
    return np.asarray((values - around / share) * weight)


def _screen_at(
    times_ms: NDArray[np.int64], edges_ms: NDArray[np.int64], shown: Array
) -> tuple[NDArray[np.bool_], Array]:
    """Which frames saw a colour, and its linear light, (frames that did, 3)."""
    index = np.searchsorted(edges_ms, times_ms, side="right") - 1
    valid = (index >= 0) & (index < len(shown))
    return valid, shown[index[valid]]


def _flatten(values: Array, times_ms: NDArray[np.int64]) -> Array:
    """Without their mean and their drift."""
    drift = np.column_stack([np.ones(len(times_ms)), times_ms - times_ms.mean()])
    flattened: Array = values - drift @ np.linalg.lstsq(drift, values, rcond=None)[0]
    return flattened


def _correlate(face: Array, screen: Array, times_ms: NDArray[np.int64]) -> float:
    """Of both, over the three channels; each channel has a gain of its own, none negative."""
    face, screen = _flatten(face, times_ms), _flatten(screen, times_ms)
    along = np.clip((face * screen).sum(axis=0), 0, None)
    explained = (along**2 / np.maximum((screen**2).sum(axis=0), 1e-9)).sum()
    return float(np.sqrt(explained / max((face**2).sum(), 1e-12)))


def _share(face: Array, screen: Array, times_ms: NDArray[np.int64]) -> float:
    """The part of the light that follows the colours, as a standard deviation."""
    face, screen = _flatten(face, times_ms), _flatten(screen, times_ms)
    seen = face.any(axis=0)
    gain = (face * screen).sum() / max((screen[:, seen] ** 2).sum(), 1e-9)
    return float(max(gain, 0.0) * np.sqrt((screen**2).mean()))
