"""The registry of presentations: live people and the attack species of ISO/IEC 30107-1.

``SPECIES`` maps a name to how one attempt of it is made. Add one with :func:`species`;
recordings of real attacks come in as folders (:mod:`liveness.rig.recording`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from face_engine.types import Pixels
from liveness.rig import props
from liveness.rig.actor import Actor
from liveness.rig.head import Portrait, Relief
from liveness.rig.injected import FaceSwap, VirtualCamera
from liveness.rig.looks import Features, matte, with_tone
from liveness.rig.presentation import (
    Conditions,
    Filmed,
    Presentation,
    dress,
    living,
    paper,
)
from liveness.rig.scene import Subject
from liveness.rig.script import Scripted, random_script

Make = Callable[[Portrait, Conditions], Presentation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Species:
    """``about`` says in plain words what is held before the camera."""

    name: str
    about: str
    make: Make

    def present(self, portrait: Portrait, seed: int) -> Presentation:
        return self.make(portrait, Conditions.draw(seed))


LIVE = Species(name="live", about="a person who does what the screen asks", make=living)
SPECIES: dict[str, Species] = {}


def species(about: str) -> Callable[[Make], Make]:
    """Registers an attack under the function's name."""

    def register(make: Make) -> Make:
        SPECIES[make.__name__] = Species(name=make.__name__, about=about, make=make)
        return make

    return register


@species("a photo on paper, held still")
def print_flat(portrait: Portrait, conditions: Conditions) -> Presentation:
    return paper(portrait, conditions, Relief.flat(portrait), obedient=False)


@species("a photo on paper, tilted and brought nearer as the screen asks")
def print_tilted(portrait: Portrait, conditions: Conditions) -> Presentation:
    return paper(portrait, conditions, Relief.flat(portrait), obedient=True)


@species("a photo on paper bent like a tube, turned as the screen asks")
def print_bent(portrait: Portrait, conditions: Conditions) -> Presentation:
    radius = float(conditions.random.uniform(1.4, 3.5))
    upright = bool(conditions.random.random() < 0.75)
    bent = Relief.bent(portrait, radius=radius, upright=upright)
    return paper(portrait, conditions, bent, obedient=True)


@species("a printed face with eye holes, worn as a mask; the wearer blinks and turns as asked")
def cutout_mask(portrait: Portrait, conditions: Conditions) -> Presentation:
    random = conditions.random
    mask = props.printed(portrait.pixels, random)
    wearer = with_tone(portrait, float(random.uniform(0.1, 0.9)))
    return Filmed(
        scene=conditions.scene(),
        subject=Subject(
            portrait=portrait,
            texture=props.cut_mask(portrait, mask, wearer, matte(portrait)),
            relief=Relief.bent(portrait, radius=float(random.uniform(1.3, 2.2)), neck=True),
            features=Features(portrait, mouth=False),
        ),
        actor=Actor(random=random),
    )


@species("a mask with the head's own shape and no expression, turned as the screen asks")
def rigid_mask(portrait: Portrait, conditions: Conditions) -> Presentation:
    random = conditions.random
    soft = cv2.bilateralFilter(dress(portrait, random), 7, 30, 5)
    return Filmed(
        scene=conditions.scene(),
        subject=Subject(
            portrait=portrait,
            texture=np.dstack([soft, matte(portrait)]),
            relief=Relief.head(
                portrait,
                depth=float(random.uniform(0.9, 1.1)),
                nose=float(random.uniform(0.75, 1.1)),
            ),
        ),
        actor=Actor(random=random),
    )


@species("a phone that shows a photo")
def phone_still(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _phone(portrait, conditions, None)


@species("a phone that plays a recorded genuine attempt, whose plan was another")
def phone_recording(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _phone(portrait, conditions, _recorded(portrait, conditions))


@species("a tablet that shows a photo")
def tablet_still(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _tablet(portrait, conditions, None)


@species("a tablet that plays a recorded genuine attempt, whose plan was another")
def tablet_recording(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _tablet(portrait, conditions, _recorded(portrait, conditions))


@species("a recorded genuine attempt, whose plan was another, fed in as a camera's stream")
def virtual_recording(portrait: Portrait, conditions: Conditions) -> Presentation:
    return VirtualCamera.draw(_recorded(portrait, conditions), conditions.random, loop_ms=None)


@species("a few seconds of a genuine recording, fed in as a camera's stream over and over")
def virtual_loop(portrait: Portrait, conditions: Conditions) -> Presentation:
    loop_ms = int(conditions.random.uniform(1_500, 4_000))
    return VirtualCamera.draw(_recorded(portrait, conditions), conditions.random, loop_ms=loop_ms)


@species("software that puts the face on an impostor who follows the plan, a little late")
def face_swap(portrait: Portrait, conditions: Conditions) -> Presentation:
    impostor = living(portrait, conditions)
    return FaceSwap.draw(impostor, conditions.random)


def _recorded(portrait: Portrait, conditions: Conditions) -> Scripted:
    """A genuine attempt of earlier, in its own light, with its own plan."""
    random = conditions.random
    earlier = Conditions.draw(int(random.integers(2**31)))
    return Scripted(presentation=living(portrait, earlier), script=random_script(earlier.random))


def _phone(portrait: Portrait, conditions: Conditions, content: Scripted | None) -> Presentation:
    random = conditions.random
    half = float(random.uniform(1.35, 1.7)), float(random.uniform(2.5, 3.2))
    return _replay(portrait, conditions, content, half, bezel=float(random.uniform(0.05, 0.2)),
                   distance=float(random.uniform(3.5, 6.5)))  # fmt: skip


def _tablet(portrait: Portrait, conditions: Conditions, content: Scripted | None) -> Presentation:
    random = conditions.random
    half = float(random.uniform(2.2, 3.3)), float(random.uniform(2.4, 3.3))
    return _replay(portrait, conditions, content, half, bezel=float(random.uniform(0.1, 0.35)),
                   distance=float(random.uniform(5.5, 10)))  # fmt: skip


def _replay(
    portrait: Portrait,
    conditions: Conditions,
    content: Scripted | None,
    half: tuple[float, float],
    *,
    bezel: float,
    distance: float,
) -> Presentation:
    """A display that shines by itself, and throws little of the light on it back."""
    random = conditions.random
    x, y = portrait.grid()
    emits = np.clip(np.minimum(half[0] - np.abs(x), half[1] - np.abs(y)) * 10 + 0.5, 0, 1).astype(
        np.float32
    )
    warmth, power = random.uniform(-0.12, 0.08), random.uniform(0.7, 1.5)
    screen = _Screen(portrait, half, content, None if content else dress(portrait, random))
    return Filmed(
        scene=conditions.scene(distance=distance),
        subject=Subject(
            portrait=portrait,
            texture=props.display(portrait, half, bezel, random),
            relief=Relief.flat(portrait),
            emits=emits,
            power=(power * (1 - warmth), power, power * (1 + warmth)),
            sheen=float(random.uniform(0.004, 0.03)),
            pixel_pitch=float(random.uniform(0.009, 0.022)),
            grid_contrast=float(random.uniform(0.01, 0.09)),
        ),
        actor=Actor(random=random, obedient=bool(content is None and random.random() < 0.5)),
        content=screen.show,
    )


class _Screen:
    """Puts a picture, or a recording's frame of the moment, on the display."""

    def __init__(
        self,
        portrait: Portrait,
        half: tuple[float, float],
        recording: Scripted | None,
        picture: Pixels | None,
    ) -> None:
        self._edges = props.edges(portrait, half)
        self._recording = recording
        self._picture = picture

    def show(self, subject: Subject, at_ms: int) -> Subject:
        left, top, right, bottom = self._edges
        lit = subject.texture[top:bottom, left:right]
        if self._recording is not None:
            lit[..., :3] = self._fit(self._recording.frame(at_ms).pixels)
        elif self._picture is not None:
            lit[..., :3] = self._picture[top:bottom, left:right]
            self._picture = None
        return subject

    def _fit(self, frame: Pixels) -> Pixels:
        """The frame's middle, cut to the display's shape."""
        left, top, right, bottom = self._edges
        width, height = right - left, bottom - top
        scale = max(width / frame.shape[1], height / frame.shape[0])
        shift = ((width - frame.shape[1] * scale) / 2, (height - frame.shape[0] * scale) / 2)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        return np.asarray(cv2.warpAffine(frame, matrix, (width, height)), np.uint8)
