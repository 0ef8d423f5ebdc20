"""The vocabulary of presentation attack detection (ISO/IEC 30107-1 and -3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from face_engine.types import Embedding, Face, Pixels


class Outcome(StrEnum):
    """``UNDECIDED`` asks again; it never passes."""

    LIVE = "live"
    ATTACK = "attack"
    UNDECIDED = "undecided"


class Level(StrEnum):
    NONE = "none"
    PASSIVE = "passive"
    STANDARD = "standard"
    STRICT = "strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What one test found. ``score``: 0 is certainly an attack, 1 certainly live."""

    name: str
    score: float
    outcome: Outcome

    def __post_init__(self) -> None:
        if not 0.0 <= self.score <= 1.0:
            raise ValueError("a cue's score is 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    outcome: Outcome
    cues: tuple[Cue, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """One frame, looked at. ``faces`` are all that were found, largest first.

    ``pixels`` is the frame itself, (height, width, 3) uint8, BGR; ``passive`` the passive
    network's probability of a live face, None without one;
    ``embedding`` is None for frames that were not embedded.
    """

    captured_at_ms: int
    faces: tuple[Face, ...]
    pixels: Pixels | None = None
    passive: float | None = None
    embedding: Embedding | None = None
