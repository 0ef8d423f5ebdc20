"""One person, without a cut, from the first frame to the last.

Guarantees: a face that jumps and an embedding that is clearly another person's are an attack; an
embedding in between, a face that is lost, frames that stop, run backwards or change their size,
and a second face beside the first are undecided.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face_engine.types import Embedding, Face
from liveness.types import Cue, Observation, Outcome

GAP_MS_MAX = 1_200
LOST_FRAMES_MAX = 8
# Heads move at up to 2 m/s, some 13 face widths; what is more within a moment is a cut.
JUMP_WIDTHS, JUMP_WIDTHS_PER_S = 0.45, 13.0
JUMP_WITHIN_MS = 150
SECOND_FACE_RATIO = 0.5
# A turned or blurred face is less like itself; far less is another's.
ANOTHER_PERSON = 0.5


@dataclass(slots=True)
class ContinuityTracker:
    """``same_person_min`` is the cosine below which two embeddings are two people; each is
    compared with the mean of those before it."""

    same_person_min: float
    _last_at_ms: int | None = None
    _last_face: Face | None = None
    _shape: tuple[int, ...] | None = None
    _last_face_at_ms: int = 0
    _sum: NDArray[np.float64] | None = None
    _lost: int = 0
    _findings: dict[str, Outcome] = field(default_factory=dict)

    def observe(self, seen: Observation) -> Face | None:
        """Returns the face to go on with; None for a frame that does not count."""
        at_ms = seen.captured_at_ms
        if self._last_at_ms is not None and not 0 < at_ms - self._last_at_ms <= GAP_MS_MAX:
            self._find("time", Outcome.UNDECIDED)
        self._last_at_ms = at_ms
        self._measure(seen)
        if len(seen.faces) > 1 and seen.faces[1].width > SECOND_FACE_RATIO * seen.faces[0].width:
            self._find("several", Outcome.UNDECIDED)
            return None
        if not seen.faces:
            self._lost += 1
            if self._last_face is not None and self._lost > LOST_FRAMES_MAX:
                self._find("lost", Outcome.UNDECIDED)
            return None
        self._lost = 0
        face = seen.faces[0]
        self._compare(face, at_ms, seen.embedding)
        return face

    def _measure(self, seen: Observation) -> None:
        shape = None if seen.pixels is None else seen.pixels.shape
        if self._shape is not None and shape is not None and shape != self._shape:
            self._find("size", Outcome.UNDECIDED)
            self._last_face = None
        self._shape = shape or self._shape

    def _compare(self, face: Face, at_ms: int, embedding: Embedding | None) -> None:
        last, self._last_face = self._last_face, face
        last_at_ms, self._last_face_at_ms = self._last_face_at_ms, at_ms
        if last is not None and 0 < at_ms - last_at_ms <= JUMP_WITHIN_MS:
            moved = np.linalg.norm(face.landmarks.mean(axis=0) - last.landmarks.mean(axis=0))
            can_move = JUMP_WIDTHS + JUMP_WIDTHS_PER_S * (at_ms - last_at_ms) / 1000
            if moved > can_move * last.width:
                self._find("jump", Outcome.ATTACK)
        if embedding is None:
            return
        if self._sum is None:
            self._sum = np.zeros(embedding.vector.size)
        else:
            cosine = float(self._sum @ embedding.vector) / float(np.linalg.norm(self._sum))
            if cosine < self.same_person_min:
                other = cosine < self.same_person_min * ANOTHER_PERSON
                self._find("person", Outcome.ATTACK if other else Outcome.UNDECIDED)
        self._sum += embedding.vector

    @property
    def face(self) -> Face | None:
        """The last frame's, None where it had none."""
        return None if self._lost else self._last_face

    @property
    def failed(self) -> bool:
        """Whether something was found: no frame can mend that."""
        return bool(self._findings)

    def _find(self, what: str, outcome: Outcome) -> None:
        if self._findings.get(what) is not Outcome.ATTACK:
            self._findings[what] = outcome

    def cue(self) -> Cue:
        outcomes = set(self._findings.values())
        if Outcome.ATTACK in outcomes:
            return Cue(name="continuity", score=0.0, outcome=Outcome.ATTACK)
        if Outcome.UNDECIDED in outcomes or self._last_face is None:
            return Cue(name="continuity", score=0.5, outcome=Outcome.UNDECIDED)
        return Cue(name="continuity", score=1.0, outcome=Outcome.LIVE)
