"""Faces made of arithmetic: a textured surface, lit and photographed, with its landmarks known.

Nothing of the rig: what the detectors are tested with here is written down here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from face_engine.types import Embedding, Face
from liveness.challenge import Colour, Move, Plan
from liveness.session import LivenessSession
from liveness.types import Level, Observation

EYES_PX = 36.0
SIZE = (240, 216)
CENTRE = (120.0, 80.0)
CELL_PX = 8
DISTANCE = 9.0
GAMMA = 2.2
LANDMARKS = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.65), (-0.4, 1.15), (0.4, 1.15)])
TURN, NOD, NEARER = 0.42, 0.42, 1.4

Depth = Callable[[np.ndarray, np.ndarray], np.ndarray]


def head(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Half an ellipsoid with a nose on it, in eye distances towards the camera."""
    dome = np.sqrt(np.clip(1 - (u / 1.35) ** 2 - ((v - 0.4) / 1.9) ** 2, 0.05, None))
    return 1.1 * dome + 0.38 * np.exp(-((u / 0.24) ** 2 + ((v - 0.6) / 0.3) ** 2) / 2)


def flat(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.zeros_like(u)


def bent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Paper around an upright cylinder."""
    return np.sqrt(np.clip(1.3**2 - u**2, 0.05, None)) - 0.9


@dataclass
class Actor:
    """Somebody, or something, that does what is asked."""

    depth: Depth = head
    seed: int = 1
    noise: float = 2.0
    ambient: float = 0.8
    share: float = 0.25
    lit_behind: float = 0.1
    reaction_ms: int = 250
    late_ms: int = 60
    answers: Callable[[Colour], Colour] = lambda colour: colour
    obeys: Callable[[Move], Move | None] = lambda move: move
    told: list[tuple[int, Move | None, Colour | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        fine = self.random.normal(size=(300, 300))
        texture = cv2.GaussianBlur(fine, (0, 0), 3)
        texture = texture / texture.std() * 14 + 120
        self.texture = np.stack([texture * part for part in (0.75, 0.85, 1.1)], axis=-1)
        self.wall = cv2.GaussianBlur(self.random.uniform(60, 160, (*SIZE[::-1], 3)), (0, 0), 8)

    def tell(self, at_ms: int, move: Move | None, colour: Colour | None) -> None:
        if not self.told or self.told[-1][1:] != (move, colour):
            self.told.append((at_ms, move, colour))

    def heard(self, at_ms: int) -> tuple[Move | None, int, Colour | None]:
        """What it does now, since when, and the light that falls on it."""
        move, since, colour = None, 0, None
        for told_ms, asked, shown in self.told:
            if told_ms + self.reaction_ms <= at_ms and asked is not move:
                move, since = asked, told_ms + self.reaction_ms
            if told_ms + self.late_ms <= at_ms:
                colour = shown
        return (self.obeys(move) if move else None), since, colour

    def pose(self, at_ms: int) -> tuple[float, float, float]:
        move, since, _ = self.heard(at_ms)
        done = min(1.0, (at_ms - since) / 400)
        yaw = {Move.LEFT: TURN, Move.RIGHT: -TURN}.get(move, 0.0) * done
        pitch = {Move.UP: NOD, Move.DOWN: -NOD}.get(move, 0.0) * done
        nearer = 1 + (NEARER - 1) * done * (move is Move.CLOSER)
        sway = 0.01 * np.sin(at_ms / 400)
        return yaw + sway, pitch + sway / 2, nearer

    def project(self, u: np.ndarray, v: np.ndarray, at_ms: int) -> tuple[np.ndarray, np.ndarray]:
        yaw, pitch, nearer = self.pose(at_ms)
        w, v = self.depth(u, v), v - 0.4
        u, w = u * np.cos(yaw) + w * np.sin(yaw), w * np.cos(yaw) - u * np.sin(yaw)
        v, w = v * np.cos(pitch) - w * np.sin(pitch), w * np.cos(pitch) + v * np.sin(pitch)
        scale = EYES_PX * DISTANCE / (DISTANCE / nearer - w)
        return u * scale + CENTRE[0], (v + 0.4) * scale + CENTRE[1]

    def observe(self, at_ms: int) -> Observation:
        x, y = self.project(*LANDMARKS.T, at_ms)
        landmarks = np.stack([x, y], axis=1).astype(np.float32)
        left, right = x[:2].mean() - 1.3 * EYES_PX, x[:2].mean() + 1.3 * EYES_PX
        face = Face(
            box=(left, y[0] - EYES_PX, right, y[3] + EYES_PX), landmarks=landmarks, score=1.0
        )
        return Observation(captured_at_ms=at_ms, faces=(face,), pixels=self.photograph(at_ms))

    def photograph(self, at_ms: int) -> np.ndarray:
        want_x, want_y = np.meshgrid(
            *(np.arange(CELL_PX / 2, n, CELL_PX, dtype=float) for n in SIZE)
        )
        u, v = (want_x - CENTRE[0]) / EYES_PX, (want_y - CENTRE[1]) / EYES_PX
        for _ in range(8):
            x, y = self.project(u, v, at_ms)
            u, v = u + 0.7 * (want_x - x) / EYES_PX, v + 0.7 * (want_y - y) / EYES_PX
        u, v = (
            cv2.resize(part.astype(np.float32), SIZE, interpolation=cv2.INTER_LINEAR)
            for part in (u, v)
        )
        skin = cv2.remap(self.texture, u * 60 + 150, v * 60 + 120, cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        inside = ((u / 1.3) ** 2 + ((v - 0.4) / 1.7) ** 2 < 1)[..., None]
        _, _, colour = self.heard(at_ms)
        shown = np.array(self.answers(colour).rgb[::-1] if colour else (60, 60, 60)) / 255
        screen = self.share * shown**GAMMA
        lit = self.ambient + screen * np.where(inside, 1.0, self.lit_behind)
        scene = np.where(inside, skin, self.wall) * (lit / self.ambient) ** (1 / GAMMA)
        noisy = scene + self.random.normal(0, self.noise, scene.shape) * (self.noise > 0)
        return np.clip(noisy, 0, 255).astype(np.uint8)


def perform(
    session: LivenessSession, actor: Actor, *, fps: float = 20, jitter_ms: float = 3.0,
    passive: float | None = None, embedding: Embedding | None = None,
) -> LivenessSession:  # fmt: skip
    """Runs the session to its end."""
    at_ms, began, tick = 1_000, 1_000, 0
    random = np.random.default_rng(actor.seed)
    while True:
        seen = actor.observe(at_ms)
        wanted = embedding if session.wants_embedding else None
        seen = Observation(
            captured_at_ms=at_ms, faces=seen.faces, pixels=seen.pixels, passive=passive,
            embedding=wanted,
        )  # fmt: skip
        progress = session.observe(seen)
        if progress.finished:
            return session
        actor.tell(at_ms, progress.move, progress.colour)
        tick += 1
        at_ms = max(at_ms + 1, round(began + tick * 1000 / fps + random.normal(0, jitter_ms)))


def check(plan: Plan, actor: Actor, level: Level = Level.STANDARD, **how: float) -> LivenessSession:
    return perform(LivenessSession(plan, level, 0.5), actor, **how)
