"""The registry of presentations: live people and the attack species of ISO/IEC 30107-1.

``SPECIES`` maps a name to how one attempt of it is made. Add one with :func:`species`;
recordings of real attacks come in as folders (:mod:`liveness.rig.recording`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from liveness.evaluate import Presentation
from liveness.rig import props
from liveness.rig.actor import Actor
from liveness.rig.camera import SIZE
from liveness.rig.head import Portrait, Relief
from liveness.rig.injected import FaceSwap, VirtualCamera
from liveness.rig.looks import Features, matte, with_tone
from liveness.rig.presentation import (
    Conditions,
    Content,
    Filmed,
    dress,
    living,
    paper,
)
from liveness.rig.scene import Subject
from liveness.rig.script import OtherColours, Scripted, random_script

Make = Callable[[Portrait, Conditions], Presentation]
# A display in a picture has no more pixels than this to show.
SMALL = (480, 360)


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
    return _phone(portrait, conditions, _recorded(portrait, conditions, SMALL))


@species("a tablet that shows a photo")
def tablet_still(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _tablet(portrait, conditions, None)


@species("a tablet that plays a recorded genuine attempt, whose plan was another")
def tablet_recording(portrait: Portrait, conditions: Conditions) -> Presentation:
    return _tablet(portrait, conditions, _recorded(portrait, conditions, SMALL))


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


def _recorded(portrait: Portrait, conditions: Conditions, size: tuple[int, int] = SIZE) -> Content:
    """A genuine attempt of earlier, in its own light, with its own plan."""
    earlier = _earlier(conditions)
    content = living(portrait, earlier, size=size)
    return Scripted(content=content, script=random_script(earlier.random))


def _earlier(conditions: Conditions) -> Conditions:
    return Conditions.draw(int(conditions.random.integers(2**31)))


def _phone(portrait: Portrait, conditions: Conditions, content: Content | None) -> Presentation:
    random = conditions.random
    half = float(random.uniform(1.35, 1.7)), float(random.uniform(2.5, 3.2))
    return _replay(portrait, conditions, content, half, bezel=float(random.uniform(0.05, 0.2)),
                   distance=float(random.uniform(3.5, 6.5)))  # fmt: skip


def _tablet(portrait: Portrait, conditions: Conditions, content: Content | None) -> Presentation:
    random = conditions.random
    half = float(random.uniform(2.2, 3.3)), float(random.uniform(2.4, 3.3))
    return _replay(portrait, conditions, content, half, bezel=float(random.uniform(0.1, 0.35)),
                   distance=float(random.uniform(5.5, 10)))  # fmt: skip


def _replay(
    portrait: Portrait,
    conditions: Conditions,
    content: Content | None,
    half: tuple[float, float],
    *,
    bezel: float,
    distance: float,
) -> Presentation:
    """A display that shines by itself, and throws little of the light on it back."""
    random = conditions.random
    x, y = portrait.grid()
    inside = np.minimum(half[0] - np.abs(x), half[1] - np.abs(y))
    warmth, power = random.uniform(-0.12, 0.08), random.uniform(0.7, 1.5)
    texture = props.display(portrait, half, bezel, random)
    left, top, right, bottom = window = props.edges(portrait, half)
    if content is None:
        picture = dress(portrait, random)
        texture[top:bottom, left:right, :3] = picture[top:bottom, left:right]
    return Filmed(
        scene=conditions.scene(distance=distance),
        subject=Subject(
            portrait=portrait,
            texture=texture,
            relief=Relief.flat(portrait),
            emits=np.asarray(np.clip(inside * 10 + 0.5, 0, 1), np.float32),
            power=(power * (1 - warmth), power, power * (1 + warmth)),
            sheen=float(random.uniform(0.004, 0.03)),
            gloss=float(random.uniform(0.005, 0.04)),
            pixel_pitch=float(random.uniform(0.009, 0.022)),
            grid_contrast=float(random.uniform(0.01, 0.09)),
        ),
        actor=Actor(random=random, obedient=bool(content is None and random.random() < 0.5)),
        content=content,
        window=window,
    )


def _informed(show: Callable[[Portrait, Conditions, Content], Presentation]) -> Make:
    def make(portrait: Portrait, conditions: Conditions) -> Presentation:
        return show(portrait, conditions, living(portrait, _earlier(conditions)))

    return make


def _half_informed(show: Callable[[Portrait, Conditions, Content], Presentation]) -> Make:
    def make(portrait: Portrait, conditions: Conditions) -> Presentation:
        content = living(portrait, _earlier(conditions))
        other = OtherColours(content=content, random=conditions.random)
        return show(portrait, conditions, other)

    return make


def _inject(_portrait: Portrait, conditions: Conditions, content: Content) -> Presentation:
    return VirtualCamera.draw(content, conditions.random, loop_ms=None)


GUESSED = {
    name: Species(name=name, about=about, make=_informed(show))
    for name, about, show in (
        ("guessed_phone", "a phone that plays a recording of the right plan", _phone),
        ("guessed_tablet", "a tablet that plays a recording of the right plan", _tablet),
        ("guessed_virtual", "a recording of the right plan, fed in as a camera", _inject),
    )
}
"""What a recording does whose maker guessed the plan; no attack can choose it, so these are no
species of their own."""

MOVES_GUESSED = {
    name: Species(name=name, about=about, make=_half_informed(show))
    for name, about, show in (
        ("moves_phone", "a phone that plays the right moves under other colours", _phone),
        ("moves_tablet", "a tablet that plays the right moves under other colours", _tablet),
        ("moves_virtual", "the right moves under other colours, fed in as a camera", _inject),
    )
}
"""The same where only the moves were guessed: one of few, since colours are most of a plan."""
