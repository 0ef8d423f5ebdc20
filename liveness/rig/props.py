"""Things: paper, displays, the hand that holds them, the room behind."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from face_engine.types import Pixels
from liveness.rig.head import Field, Portrait
from liveness.rig.looks import oval

SKINS = ((130, 160, 205), (105, 135, 190), (75, 100, 150), (50, 65, 100))
EDGE_PX = 5


def room(size: tuple[int, int], random: np.random.Generator) -> Field:
    """Shelves, boxes and lamps out of focus: (height, width, 3) float32, encoded."""
    width, height = size
    wall = np.clip(random.normal(random.uniform(60, 200), 18, 3), 20, 240)
    canvas = np.full((height, width, 3), wall, np.uint8)
    for _ in range(int(random.integers(12, 40))):
        x, y = int(random.integers(-40, width)), int(random.integers(-40, height))
        wide, high = random.integers(15, 160, 2)
        grey = random.uniform(20, 235)
        colour = tuple(float(part) for part in np.clip(random.normal(grey, 28, 3), 5, 250))
        cv2.rectangle(canvas, (x, y), (x + int(wide), y + int(high)), colour, -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(random.uniform(1.5, 7)))
    ramp = np.linspace(random.uniform(0.75, 1.1), random.uniform(0.75, 1.1), width)
    return np.asarray(np.clip(blurred * ramp[None, :, None], 0, 255), np.float32)


def printed(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """What a printer makes of it: paper white, ink black, fewer colours, a raster."""
    black, white = random.uniform(12, 45), random.uniform(205, 245)
    ink = black + pixels.astype(np.float32) * (white - black) / 255
    grey = ink.mean(axis=2, keepdims=True)
    ink = grey + float(random.uniform(0.65, 1.0)) * (ink - grey)
    if random.random() < 0.6:
        pitch, angle = random.uniform(2.0, 3.2), random.uniform(0.3, 1.2)
        rows, columns = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]].astype(np.float32)
        turned = columns * np.cos(angle) + rows * np.sin(angle)
        other = rows * np.cos(angle) - columns * np.sin(angle)
        raster = np.cos(turned * 2 * np.pi / pitch) * np.cos(other * 2 * np.pi / pitch)
        ink += float(random.uniform(3, 14)) * raster[..., None].astype(np.float32)
    soft = cv2.GaussianBlur(ink, (0, 0), float(random.uniform(0.4, 1.1)))
    return np.asarray(np.clip(soft, 0, 255), np.uint8)


def sheet(portrait: Portrait, pixels: Pixels, random: np.random.Generator) -> Pixels:
    """``pixels`` on a sheet of paper that a hand holds: BGRA."""
    wide, high = random.uniform(1.7, 2.6), random.uniform(2.2, 2.9)
    texture = _framed(portrait, pixels, (wide, high))
    margin = float(random.choice([0.0, 0.08, 0.15]))
    inner = rectangle(portrait, (wide - margin, high - margin))
    paper = np.array([235, 238, 240], np.float32)
    texture[..., :3] = np.where(inner[..., None] > 0, texture[..., :3], paper)
    return hold(portrait, texture, (wide, high), random)


def cut_mask(portrait: Portrait, mask: Pixels, wearer: Pixels, alpha: NDArray[np.uint8]) -> Pixels:
    """``mask`` with holes for the eyes, worn by ``wearer``: BGRA."""
    cover = oval(portrait, grown=1.08)
    for eye in portrait.landmarks[:2]:
        hole = np.zeros(cover.shape, np.float32)
        axes = round(0.24 * portrait.eyes_px), round(0.13 * portrait.eyes_px)
        at = tuple(round(float(v)) for v in eye * portrait.eyes_px + portrait.centre)
        cv2.ellipse(hole, at, axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        cover = cover * (1 - hole)
    worn = mask * cover[..., None] + wearer * (1 - cover[..., None])
    return np.dstack([worn.astype(np.uint8), alpha])


def display(
    portrait: Portrait, half: tuple[float, float], bezel: float, random: np.random.Generator
) -> Pixels:
    """A phone or tablet, off, in a hand: BGRA. ``half`` is the glass's half width and height."""
    outer = half[0] + bezel, half[1] + bezel * float(random.uniform(1.0, 2.5))
    case = np.full_like(portrait.pixels, int(random.choice([15, 25, 40, 190])))
    texture = _framed(portrait, case, outer)
    inner = rectangle(portrait, half) > 0
    texture[inner, :3] = 8
    return hold(portrait, texture, outer, random)


def rectangle(portrait: Portrait, half: tuple[float, float]) -> NDArray[np.uint8]:
    mask = np.zeros(portrait.pixels.shape[:2], np.uint8)
    left, top, right, bottom = edges(portrait, half)
    mask[top:bottom, left:right] = 255
    return mask


def edges(portrait: Portrait, half: tuple[float, float]) -> tuple[int, int, int, int]:
    """The pixels (left, top, right, bottom) of a rectangle around the middle."""
    x, y = portrait.centre
    wide, high = half[0] * portrait.eyes_px, half[1] * portrait.eyes_px
    height, width = portrait.pixels.shape[:2]
    return (
        max(0, round(x - wide)),
        max(0, round(y - high)),
        min(width, round(x + wide)),
        min(height, round(y + high)),
    )


def hold(
    portrait: Portrait, texture: Pixels, half: tuple[float, float], random: np.random.Generator
) -> Pixels:
    """A thumb over the lower edge, and the forearm below."""
    held = texture.copy()
    left, _, right, bottom = edges(portrait, half)
    skin = tuple(int(part) for part in SKINS[int(random.integers(len(SKINS)))])
    unit = portrait.eyes_px
    x = int(random.uniform(left + 0.2 * unit, right - 0.2 * unit))
    y = bottom + round(0.15 * unit)
    hand = np.zeros(texture.shape[:2], np.uint8)
    cv2.ellipse(hand, (x, y), (round(0.22 * unit), round(0.6 * unit)), random.uniform(-25, 25),
                0, 360, 255, -1, cv2.LINE_AA)  # fmt: skip
    cv2.ellipse(hand, (x, y + round(unit)), (round(0.7 * unit), round(0.8 * unit)), 0, 0, 360,
                255, -1, cv2.LINE_AA)  # fmt: skip
    cv2.line(hand, (x, y + round(unit)), (x + round(random.uniform(-1, 1) * unit), 2 * y),
             255, round(1.1 * unit), cv2.LINE_AA)  # fmt: skip
    fade = cv2.GaussianBlur(hand, (0, 0), 6)[..., None] / 255 * 0.35 + 0.65
    over = hand[..., None] / 255
    held[..., :3] = (held[..., :3] * (1 - over) + np.array(skin) * fade * over).astype(np.uint8)
    held[..., 3] = np.maximum(held[..., 3], hand)
    return held


def _framed(portrait: Portrait, pixels: Pixels, half: tuple[float, float]) -> Pixels:
    return np.dstack([pixels, cv2.GaussianBlur(rectangle(portrait, half), (3, 3), 0)])
