"""One subject before a background, lit by the place and the screen, seen by a camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Pixels
from liveness.rig.actor import Actor, Expression
from liveness.rig.camera import Camera
from liveness.rig.head import CELL_PX, Field, HeadPose, Lens, Portrait, Relief, View, cast, look_up
from liveness.rig.light import GAMMA, Light, Rgb
from liveness.rig.looks import Features

BEHIND = 9.0
BLUR_FROM_PX = 1.2
BLUR_MAX_PX = 9
DIMMEST = 1e-4
NEARER, FARTHER = 0.5, 4.0
SCREEN_HALF = (1.7, 1.2)
# The square of how many half screens beside it: e**-FAR**2 is nothing in single precision.
FAR = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """``texture``: (height, width, 4) uint8, BGRA, of the portrait's size; ``features`` move
    with an expression; ``emits`` on the relief's grid where a display shines with ``power``
    (BGR), and ``sheen`` the part of the light that its glass throws back whatever it shows;
    ``gloss`` is how much of a mirror the surface is;
    ``pixel_pitch`` of the display in eye distances, 0 for none."""

    portrait: Portrait
    texture: Pixels
    relief: Relief
    features: Features | None = None
    emits: Field | None = None
    power: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sheen: float = 0.0
    gloss: float = 0.0
    pixel_pitch: float = 0.0
    grid_contrast: float = 0.0

    @property
    def half(self) -> tuple[float, float]:
        height, width = self.portrait.pixels.shape[:2]
        return width / 2 / self.portrait.eyes_px, height / 2 / self.portrait.eyes_px


@dataclass(slots=True, kw_only=True)
class Scene:
    """``background``: (height, width, 3) float32, encoded; it does not move."""

    background: Field
    light: Light
    lens: Lens
    camera: Camera
    _rays: tuple[Field, Field] = field(init=False)
    _behind: tuple[bytes, Pixels] | None = None

    def __post_init__(self) -> None:
        self._rays = self.lens.rays()

    def take(self, subject: Subject, actor: Actor, at_ms: int, shown: Expression) -> Pixels:
        rows = self.lens.size[1] // CELL_PX
        screen = self.light.of_screen(self.camera.rows_ms(at_ms, rows), self.camera.exposure_ms)[
            :, None
        ]
        pose = actor.pose(at_ms)
        view = cast(subject.relief, pose, self.lens, self._rays, subject.half)
        scene = self._lit_background(screen)
        self._place(scene, subject, view, screen, shown, self._smear(actor, at_ms, pose))
        return self.camera.photograph(scene)

    def _lit_background(self, screen: Rgb) -> Pixels:
        key = screen.tobytes()
        if self._behind is None or self._behind[0] != key:
            far = (self.lens.distance / (self.lens.distance + BEHIND)) ** 2
            gain = _encode(self.light.ambient + np.float32(far) * screen) * self.camera.gain
            rows = _enlarge(np.repeat(gain, 2, axis=1), self.lens.size)
            lit = cv2.multiply(self.background, rows, dtype=cv2.CV_8U)
            self._behind = key, np.asarray(lit, np.uint8)
        return self._behind[1].copy()

    def _place(
        self,
        scene: Pixels,
        subject: Subject,
        view: View,
        screen: Rgb,
        shown: Expression,
        smear: NDArray[np.float32] | None,
    ) -> None:
        """Draws the subject over ``scene``, in the rectangle that it fills."""
        x, y = self._texture_points(subject, view, shown)
        left, top, right, bottom = _filled(x, y, subject.portrait.pixels.shape[:2])
        if left >= right or top >= bottom:
            return
        cells = np.s_[top:bottom, left:right]
        at = np.s_[top * CELL_PX : bottom * CELL_PX, left * CELL_PX : right * CELL_PX]
        size = ((right - left) * CELL_PX, (bottom - top) * CELL_PX)
        map_x, map_y = (_enlarge(values[cells], size) for values in (x, y))
        drawn = cv2.remap(subject.texture, map_x, map_y, cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))  # fmt: skip
        if smear is not None:
            drawn = cv2.filter2D(drawn, -1, smear)
        coarse_gain, coarse_glare = self._gain(subject, view, screen)
        gain = _enlarge(coarse_gain[cells] * self.camera.gain, size)
        if subject.grid_contrast:
            gain = np.asarray(cv2.multiply(gain, _pixel_grid(subject, map_x, map_y)), np.float32)
        face = cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR)
        if coarse_glare is None:
            face = cv2.multiply(face, gain, dtype=cv2.CV_8U)
        else:
            lit = np.asarray(cv2.multiply(face, gain, dtype=cv2.CV_32F), np.float32)
            glare = _enlarge(coarse_glare[cells] * self.camera.gain, size)
            face = cv2.convertScaleAbs(_add_light(lit, glare))
        alpha = cv2.cvtColor(cv2.extractChannel(drawn, 3), cv2.COLOR_GRAY2BGR)
        behind = cv2.multiply(scene[at], cv2.bitwise_not(alpha), scale=1 / 255)
        cv2.add(cv2.multiply(face, alpha, scale=1 / 255), behind, dst=scene[at])

    def _texture_points(
        self, subject: Subject, view: View, shown: Expression
    ) -> tuple[Field, Field]:
        x, y, portrait = view.x, view.y, subject.portrait
        if subject.features is not None:
            moved = _at(subject.features.offsets(shown), x, y, subject)
            x, y = x + moved[..., 0], y + moved[..., 1]
        return (
            x * np.float32(portrait.eyes_px) + np.float32(portrait.centre[0]),
            y * np.float32(portrait.eyes_px) + np.float32(portrait.centre[1]),
        )

    def _gain(self, subject: Subject, view: View, screen: Rgb) -> tuple[Field, Field | None]:
        """What the portrait's encoded values are multiplied by, and the glare added."""
        place_light = self._shade(view)[..., None] * self.light.ambient
        thrown_back = place_light + self._lambert(view)[..., None] * screen
        if subject.emits is None and not subject.gloss:
            return _encode(np.asarray(thrown_back, np.float32)), None
        glare = subject.gloss * self._mirror(view)[..., None] * screen
        if subject.emits is not None:
            shines = _at(subject.emits, view.x, view.y, subject)[..., None]
            glare = (glare + subject.sheen * thrown_back) * shines
            thrown_back = thrown_back * (1 - shines) + np.array(subject.power) * shines
        gain = _encode(np.asarray(thrown_back, np.float32))
        return gain, np.asarray(_encode(np.asarray(glare, np.float32)) * 255, np.float32)

    def _mirror(self, view: View) -> Field:
        """How much of the screen's own image a mirror would show here, over its light on a face:
        the ray from the camera, thrown back, meets the screen or passes it."""
        (x, y, z), (nx, ny, nz), distance = view.place, view.normal, self.lens.distance
        to_z = distance - z
        along = 2 * (nz * to_z - nx * x - ny * y)
        back_x, back_y, back_z = along * nx + x, along * ny + y, along * nz - to_z
        reach = to_z / np.maximum(back_z, DIMMEST)
        hit_x, hit_y = x + reach * back_x, y + reach * back_y + self.light.above
        # Squares of squares: a power of an array takes ten times as long.
        beside, over = (
            np.minimum((hit / half) ** 2, FAR)
            for hit, half in zip((hit_x, hit_y), SCREEN_HALF, strict=True)
        )
        inside = np.exp(-beside * beside - over * over)
        size = 4 * SCREEN_HALF[0] * SCREEN_HALF[1]
        return np.asarray(inside * (np.pi * distance**2 / size), np.float32)

    def _shade(self, view: View) -> Field:
        """The lamp's light on the turned surface, over that on one that faces the camera."""
        lamp, part = self.light.lamp, self.light.lamp_part
        nx, ny, nz = view.normal
        lit = np.clip(nx * lamp[0] + ny * lamp[1] + nz * lamp[2], 0, None)
        return np.asarray(1 - part + part * lit / lamp[2], np.float32)

    def _lambert(self, view: View) -> Field:
        """The screen's light: cosine over the square of the distance, 1 at rest."""
        (x, y, z), (nx, ny, nz), distance = view.place, view.normal, self.lens.distance
        to_x, to_y, to_z = -x, -self.light.above - y, distance - z
        square = to_x * to_x + to_y * to_y + to_z * to_z
        cosine = np.clip((nx * to_x + ny * to_y + nz * to_z) / np.sqrt(square), 0, None)
        return np.asarray(cosine * np.clip(distance**2 / square, NEARER, FARTHER), np.float32)

    def _smear(self, actor: Actor, at_ms: int, now: HeadPose) -> NDArray[np.float32] | None:
        """The line that the middle of the face draws during the exposure."""
        began = actor.pose(at_ms - self.camera.exposure_ms)
        across = (now.yaw - began.yaw) * 1.2 + now.shift_x - began.shift_x
        down = -(now.pitch - began.pitch) * 1.2 + now.shift_y - began.shift_y
        long = np.array([across, down]) * self.lens.eyes_px
        if float(np.abs(long).max()) < BLUR_FROM_PX:
            return None
        half = np.clip(np.ceil(np.abs(long) / 2), 0, BLUR_MAX_PX // 2).astype(int)
        kernel = np.zeros((2 * half[1] + 1, 2 * half[0] + 1), np.float32)
        steps = np.linspace(-0.5, 0.5, 17)
        for step in steps:
            row, column = np.rint(half[::-1] + step * long[::-1]).astype(int)
            kernel[np.clip(row, 0, 2 * half[1]), np.clip(column, 0, 2 * half[0])] += 1
        return np.asarray(kernel / steps.size, np.float32)


def _encode(light: Field) -> Field:
    return np.asarray(cv2.pow(np.maximum(light, DIMMEST).astype(np.float32), 1 / GAMMA), np.float32)


def _at(values: Field, x: Field, y: Field, subject: Subject) -> Field:
    return look_up(values, x, y, subject.half)


def _enlarge(coarse: Field, size: tuple[int, int]) -> Field:
    whole = np.ascontiguousarray(coarse, np.float32)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _add_light(one: Field, two: Field) -> Field:
    """The sum of two lights by their encoded values, as if the gamma were 2."""
    added = cv2.magnitude(one.reshape(-1), two.reshape(-1))
    return np.asarray(added, np.float32).reshape(one.shape)


def _filled(x: Field, y: Field, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The cells (left, top, right, bottom) that see the portrait, and one more around."""
    inside = (x > -4) & (y > -4) & (x < shape[1] + 4) & (y < shape[0] + 4)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    high, wide = x.shape
    return (
        max(0, int(columns[0]) - 1),
        max(0, int(rows[0]) - 1),
        min(wide, int(columns[-1]) + 2),
        min(high, int(rows[-1]) + 2),
    )


def _pixel_grid(subject: Subject, map_x: Field, map_y: Field) -> Field:
    """The display's pixels as the camera samples them: what is finer than the camera's own
    pixels comes out as a moiré."""
    pitch_px = subject.pixel_pitch * subject.portrait.eyes_px
    per_cell = np.float32(_TILE_PX / pitch_px)
    tile = 1 + subject.grid_contrast * _tile()
    sampled = cv2.remap(
        tile, map_x * per_cell, map_y * per_cell, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP
    )
    return np.asarray(sampled, np.float32)


_TILE_PX = 24


def _tile() -> Field:
    """One pixel of a display: three stripes, dark lines between rows; mean 0."""
    across = np.arange(_TILE_PX) / _TILE_PX
    stripes = np.stack(
        [np.cos(2 * np.pi * (across - shift)) for shift in (5 / 6, 1 / 2, 1 / 6)], axis=-1
    )
    lines = np.cos(2 * np.pi * (across - 0.5))
    return (0.6 * stripes[None] + 0.4 * lines[:, None, None]).astype(np.float32)
