"""Compares two embeddings, one with one. NumPy only: the service uses it too."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from face_engine.types import Embedding, Vector

QUANTIZED_MARGIN = 0.005
"""More than rounding to a byte moves the cosine of two embeddings of 128 numbers or more (a
standard deviation is below 0.001): a match that is asked for by so much more is one of the
embeddings themselves, too."""


def compare(reference: Embedding, probe: Embedding) -> float:
    """The cosine similarity, -1 to 1; raises :class:`ValueError` for different models."""
    if reference.model_id != probe.model_id or reference.vector.size != probe.vector.size:
        raise ValueError("embeddings of different models cannot be compared")
    return float(reference.vector @ probe.vector)


def matches(scores: Iterable[float], threshold: float) -> bool:
    """Whether a face is the person's, by its cosines with their references."""
    return max(scores, default=-1.0) >= threshold


def quantize(vector: Vector) -> NDArray[np.int8]:
    """An embedding in a byte for each number; its length is lost, its direction nearly kept."""
    largest = max(float(np.abs(vector).max()), float(np.finfo(np.float32).tiny))
    numbers: NDArray[np.int8] = np.rint(vector / largest * 127).astype(np.int8)
    return numbers


def dequantize(numbers: NDArray[np.int8]) -> NDArray[np.float32]:
    """Unit vectors again; ``numbers`` has shape (..., dimensions)."""
    vectors = numbers.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: NDArray[np.float32] = vectors / np.maximum(lengths, 1.0)
    return units
