"""The face engine's vocabulary: frames, faces, embeddings.

Guarantees: nothing here imports OpenCV, onnxruntime or insightface, so the
verification service may use it. An :class:`Embedding` never shows its numbers
in ``repr``. The caller must still keep embeddings out of logs and messages.

Terms: ISO/IEC 2382-37 (biometric vocabulary).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MODEL_ID_BYTES = 16
EMBEDDING_DIMENSIONS_MAX = 1024

Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One camera picture.

    ``pixels`` has shape (height, width, 3), dtype uint8, channel order BGR.
    ``captured_at_ms`` is the camera's monotonic time in milliseconds.
    """

    pixels: Pixels
    captured_at_ms: int

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ValueError("a frame is (height, width, 3) uint8 in BGR order")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """A detected face, in pixels of the frame it was found in.

    ``box`` is (left, top, right, bottom); ``landmarks`` has shape (5, 2), dtype
    float32, x then y, in image order: left eye, right eye, nose tip, left mouth
    corner, right mouth corner ("left" is the picture's left).
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float32]
    score: float

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def centre(self) -> NDArray[np.float64]:
        """The middle of the box, x then y: shape (2,), float64."""
        left, top, right, bottom = self.box
        return np.array([(left + right) / 2, (top + bottom) / 2])

    @property
    def inter_eye_px(self) -> float:
        """Inter-eye distance in pixels (ISO/IEC 29794-5)."""
        return float(np.linalg.norm(self.landmarks[1] - self.landmarks[0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """A face as a point on the unit sphere, tied to the model that made it.

    ``vector`` has shape (dimensions,), dtype float32 and unit L2 norm;
    ``model_id`` is the 16-byte id of the pack (see ``catalogue``). Embeddings of
    different ``model_id`` cannot be compared.
    """

    vector: Vector
    model_id: bytes

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or not 16 <= self.vector.size <= EMBEDDING_DIMENSIONS_MAX:
            raise ValueError("an embedding is one vector of 16 to 1024 numbers")
        if self.vector.dtype != np.float32 or not np.isfinite(self.vector).all():
            raise ValueError("an embedding holds finite float32 numbers")
        if abs(float(np.linalg.norm(self.vector)) - 1.0) > 1e-3:
            raise ValueError("an embedding has unit length")
        if len(self.model_id) != MODEL_ID_BYTES:
            raise ValueError("a model id has 16 bytes")

    def __repr__(self) -> str:
        return f"Embedding(<{self.vector.size} numbers hidden>, model_id={self.model_id.hex()})"
