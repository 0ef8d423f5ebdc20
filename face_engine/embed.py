"""From an aligned chip to an embedding.

Guarantee: the embedding has unit length and carries the pack's model id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime

from face_engine.align import CHIPS, Chip, cut_chip
from face_engine.types import Embedding, Face, Pixels

BATCH = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Embedder:
    """``mean`` and ``scale`` turn 0..255 RGB into the network's input: (x - mean) * scale."""

    session: onnxruntime.InferenceSession
    model_id: bytes
    alignment: str
    mean: float
    scale: float

    @property
    def chip(self) -> Chip:
        return CHIPS[self.alignment]

    def embed_many(self, seen: Sequence[tuple[Pixels, Face]]) -> list[Embedding]:
        """Of each (picture, face), ``BATCH`` at a time where the network takes batches."""
        batch = BATCH if isinstance(self.session.get_inputs()[0].shape[0], str) else 1
        chips = [cut_chip(pixels, face, self.chip) for pixels, face in seen]
        return [
            embedding
            for start in range(0, len(chips), batch)
            for embedding in self._run(chips[start : start + batch])
        ]

    def _run(self, chips: list[Pixels]) -> list[Embedding]:
        mean = (self.mean,) * 3
        blob = cv2.dnn.blobFromImages(chips, self.scale, mean=mean, swapRB=True)
        rows = self.session.run(None, {self.session.get_inputs()[0].name: blob})[0]
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return [Embedding(vector=row, model_id=self.model_id) for row in unit.astype(np.float32)]
