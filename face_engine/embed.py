"""From an aligned chip to an embedding.

Guarantee: the embedding has unit length and carries the pack's model id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime

from face_engine.align import CHIPS, Chip, cut_chip
from face_engine.types import Embedding, Face, Pixels


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

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """``pixels``: the whole picture, (height, width, 3) uint8, BGR."""
        chip = cut_chip(pixels, face, self.chip)
        rgb = chip[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        name = self.session.get_inputs()[0].name
        numbers = self.session.run(None, {name: (rgb - self.mean) * np.float32(self.scale)})[0][0]
        return Embedding(
            vector=(numbers / np.linalg.norm(numbers)).astype(np.float32), model_id=self.model_id
        )
