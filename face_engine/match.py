"""Compares two embeddings, one with one. NumPy only: the service uses it too."""

from __future__ import annotations

from face_engine.types import Embedding


def compare(reference: Embedding, probe: Embedding) -> float:
    """The cosine similarity, -1 to 1; raises :class:`ValueError` for different models."""
    if reference.model_id != probe.model_id or reference.vector.size != probe.vector.size:
        raise ValueError("embeddings of different models cannot be compared")
    return float(reference.vector @ probe.vector)
