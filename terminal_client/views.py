"""The good views of a face in one capture: what becomes references, or one probe.

Guarantees: at most ``VIEWS_MAX`` are kept; those towards the camera must all be of one person,
or there is a :class:`Disagreement`; a turned one counts only where it agrees with all that are
kept, at the stricter ``reference_min``, as the service will ask.

The caller must bring views of one model and one ceremony, without flaws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from face_engine.match import compare
from face_engine.templates import Candidate, Disagreement, choose_references, pool
from face_engine.types import Embedding

VIEWS_MAX = 24


@dataclass(slots=True, kw_only=True)
class Views:
    """Both are cosines of the pack: from where on two embeddings are one person's."""

    same_person_min: float
    reference_min: float
    _frontal: list[Candidate] = field(default_factory=list, repr=False)
    _turned: list[Candidate] = field(default_factory=list, repr=False)

    @property
    def full(self) -> bool:
        return len(self._frontal) + len(self._turned) >= VIEWS_MAX

    def add(self, view: Candidate, *, turned: bool) -> None:
        if not self.full:
            (self._turned if turned else self._frontal).append(view)

    def references(self) -> tuple[Embedding, ...] | Disagreement | None:
        """Up to five that differ in pose; None where there is no view towards the camera."""
        if not self._frontal:
            return None
        kept = list(self._frontal)
        for view in self._turned:
            if all(compare(view.embedding, one.embedding) >= self.reference_min for one in kept):
                kept.append(view)
        return choose_references(kept, same_person_min=self.same_person_min)

    def probe(self) -> Embedding | Disagreement | None:
        """Their quality-weighted mean; None where there is no view towards the camera."""
        if not self._frontal:
            return None
        return pool(self._frontal, same_person_min=self.same_person_min)

    def clear(self) -> None:
        self._frontal.clear()
        self._turned.clear()
