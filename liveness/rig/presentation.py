"""Who stands before the camera: a live customer, or an attack instrument (ISO/IEC 30107-1).

Each presentation sees the screen (:meth:`Presentation.follow`), says when its next frame comes
(:meth:`Presentation.next_ms`) and is photographed (:meth:`Presentation.frame`). The same seed
and the same calls give the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from face_engine.types import Face, Frame, Pixels
from liveness.challenge import Colour, Move
from liveness.rig import props
from liveness.rig.actor import Actor, Expression
from liveness.rig.camera import SIZE, Camera
from liveness.rig.head import Lens, Portrait, Relief
from liveness.rig.light import Light
from liveness.rig.looks import Features, matte, put_on_glasses, with_tone
from liveness.rig.scene import Scene, Subject

PORTRAIT_SIZE = (640, 720)
EYES_PX = 80.0
LEVEL_MIN, LEVEL_MAX = 0.13, 1.0
GLASSES_PART = 0.2
CALM = 0.55


class Content(Protocol):
    """What a display or a virtual camera plays; a recording hears nothing of the screen."""

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None: ...

    def frame(self, at_ms: int) -> Frame: ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """The random numbers of one attempt, and how well lit it is: 1 is a shop, 0.1 a bar."""

    random: np.random.Generator
    level: float

    @classmethod
    def draw(cls, seed: int) -> Conditions:
        random = np.random.default_rng(seed)
        return cls(random, float(np.exp(random.uniform(np.log(LEVEL_MIN), np.log(LEVEL_MAX)))))

    @classmethod
    def calm(cls, seed: int) -> Conditions:
        """A well-kept shop, where demonstrations take place."""
        return cls(np.random.default_rng(seed), CALM)

    def scene(self, *, distance: float | None = None, size: tuple[int, int] = SIZE) -> Scene:
        """``distance`` in eye distances; drawn where it is not given."""
        random = self.random
        unit = size[0] / SIZE[0]
        lens = Lens(
            size=size,
            distance=distance or float(random.uniform(7.0, 11.0)),
            eyes_px=float(random.uniform(60, 84)) * unit,
            centre=(
                size[0] / 2 + float(random.uniform(-30, 30)) * unit,
                size[1] / 2 + float(random.uniform(-15, 25)) * unit,
            ),
        )
        return Scene(
            background=props.room(size, random),
            light=Light.draw(random, level=self.level),
            lens=lens,
            camera=Camera.draw(random, level=self.level),
        )


@dataclass(slots=True, kw_only=True)
class Filmed:
    """A subject before a camera; ``content`` plays on its display, in ``window`` (left, top,
    right, bottom) of its texture."""

    scene: Scene
    subject: Subject
    actor: Actor
    content: Content | None = None
    window: tuple[int, int, int, int] = (0, 0, 0, 0)
    _still: Expression = field(default_factory=Expression)

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        self.actor.follow(move, at_ms)
        self.scene.light.show(colour, at_ms)
        if self.content is not None:
            self.content.follow(move, at_ms, colour)

    def next_ms(self, after_ms: int) -> int:
        return self.scene.camera.next_ms(after_ms)

    def frame(self, at_ms: int) -> Frame:
        if self.content is not None:
            self._play(self.content.frame(at_ms).pixels)
        shown = self.actor.expression(at_ms) if self.subject.features else self._still
        return Frame(
            pixels=self.scene.take(self.subject, self.actor, at_ms, shown), captured_at_ms=at_ms
        )

    def _play(self, frame: Pixels) -> None:
        """Shows the frame's middle, cut to the display's shape."""
        left, top, right, bottom = self.window
        width, height = right - left, bottom - top
        scale = max(width / frame.shape[1], height / frame.shape[0])
        across, down = round(width / scale), round(height / scale)
        x, y = (frame.shape[1] - across) // 2, (frame.shape[0] - down) // 2
        part = cv2.cvtColor(frame[y : y + down, x : x + across], cv2.COLOR_BGR2BGRA)
        cv2.resize(part, (width, height), dst=self.subject.texture[top:bottom, left:right])


def frame_portrait(pixels: Pixels, face: Face) -> Portrait:
    return Portrait.frame(pixels, face, size=PORTRAIT_SIZE, eyes_px=EYES_PX)


def dress(portrait: Portrait, random: np.random.Generator, *, varied: bool = True) -> Pixels:
    """The person of the portrait with a drawn skin tone and perhaps glasses."""
    if not varied:
        return portrait.pixels
    pixels = with_tone(portrait, float(random.uniform(-0.15, 0.8)))
    if random.random() < GLASSES_PART:
        pixels = put_on_glasses(pixels, portrait, random)
    return pixels


def head_of(portrait: Portrait, pixels: Pixels, random: np.random.Generator) -> Subject:
    """A living head."""
    return Subject(
        portrait=portrait,
        texture=np.dstack([pixels, matte(portrait)]),
        relief=Relief.head(
            portrait,
            depth=float(random.uniform(0.9, 1.1)),
            nose=float(random.uniform(0.85, 1.2)),
        ),
        features=Features(portrait),
    )


def living(
    portrait: Portrait,
    conditions: Conditions,
    *,
    varied: bool = True,
    size: tuple[int, int] = SIZE,
) -> Filmed:
    random = conditions.random
    return Filmed(
        scene=conditions.scene(size=size),
        subject=head_of(portrait, dress(portrait, random, varied=varied), random),
        actor=Actor(random=random),
    )


def paper(portrait: Portrait, conditions: Conditions, relief: Relief, *, obedient: bool) -> Filmed:
    """The portrait on paper of that shape, in a hand that follows the screen or does not."""
    random = conditions.random
    picture = props.printed(dress(portrait, random), random)
    return Filmed(
        scene=conditions.scene(),
        subject=Subject(
            portrait=portrait,
            texture=props.sheet(portrait, picture, random),
            relief=relief,
            gloss=float(random.choice([0.0, 0.0, 0.01, 0.03])),
        ),
        actor=Actor(random=random, obedient=obedient, sway=float(random.uniform(0.8, 1.8))),
    )


def live_customer(pixels: Pixels, face: Face, *, seed: int) -> Filmed:
    return living(frame_portrait(pixels, face), Conditions.calm(seed), varied=False)


def flat_print(pixels: Pixels, face: Face, *, seed: int) -> Filmed:
    """The portrait on paper, tilted by somebody who sees the screen."""
    portrait = frame_portrait(pixels, face)
    return paper(portrait, Conditions.calm(seed), Relief.flat(portrait), obedient=True)


def still(pixels: Pixels, face: Face, *, seed: int) -> Filmed:
    """The portrait on paper, held still."""
    portrait = frame_portrait(pixels, face)
    return paper(portrait, Conditions.calm(seed), Relief.flat(portrait), obedient=False)
