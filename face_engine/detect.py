"""Faces in a picture, with CenterFace or YuNet on onnxruntime.

Guarantees: the picture is looked at in at most ``SIDES_PX`` sizes, smallest first, and the
first that shows a face is taken; boxes and landmarks are in pixels of the picture given, at
most ``FACES_MAX`` of them, largest first. A picture without a face gives an empty tuple.

The caller must still refuse pictures with no face or several.

Sources: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point (2019);
Wu et al., YuNet: A Tiny Millisecond-level Face Detector (2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from face_engine.errors import ModelFileError
from face_engine.session import open_session
from face_engine.types import Face, Pixels

SIDES_PX = (320, 640)
MULTIPLE_PX = 32
OVERLAP_MAX = 0.3
CANDIDATES_MAX = 1000
FACES_MAX = 64
VIEW_PX = 320
FACE_FRACTION = 0.3
OFF_MIDDLE_PX = VIEW_PX * FACE_FRACTION / 2

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Before suppression: boxes (n, 4), scores (n,), landmarks (n, 5, 2), network pixels."""

    boxes: Array
    scores: Array
    landmarks: Array


class Network(Protocol):
    """``blob`` has shape (1, 3, height, width), float32 in 0..255, BGR."""

    def find(self, blob: Array) -> Candidates: ...


class Detector:
    def __init__(self, network: Network) -> None:
        self._network = network

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """``pixels``: (height, width, 3) uint8, BGR."""
        for side in SIDES_PX:
            faces = self._detect_at(pixels, side)
            if faces:
                return faces
        return ()

    def refine(self, pixels: Pixels, face: Face) -> Face:
        """``face`` with the landmarks found in a view that it fills to ``FACE_FRACTION``.

        Small faces are enlarged for it and large ones reduced: the networks place landmarks
        best at one size. Without a face in the middle of that view, ``face`` itself.
        """
        side = max(face.width, face.height) / FACE_FRACTION
        corner = face.centre - side / 2
        scale = VIEW_PX / side
        view = _view(pixels, corner, scale)
        near = [one for one in self._detect_at(view, VIEW_PX) if _off_middle(one) < OFF_MIDDLE_PX]
        if not near:
            return face
        landmarks = min(near, key=_off_middle).landmarks / scale + corner
        return replace(face, landmarks=landmarks.astype(np.float32))

    def _detect_at(self, pixels: Pixels, side: int) -> tuple[Face, ...]:
        height, width = pixels.shape[:2]
        scale = side / max(height, width)
        fitted = cv2.resize(
            pixels,
            (max(1, round(width * scale)), max(1, round(height * scale))),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
        rows, columns = (math.ceil(n / MULTIPLE_PX) * MULTIPLE_PX for n in fitted.shape[:2])
        canvas = np.zeros((rows, columns, 3), np.float32)
        canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
        found = self._network.find(np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]))
        factor = np.array([width / fitted.shape[1], height / fitted.shape[0]], np.float32)
        faces = [
            Face(
                box=_box(found.boxes[index] * np.tile(factor, 2)),
                landmarks=found.landmarks[index] * factor,
                score=float(found.scores[index]),
            )
            for index in suppress(found.boxes, found.scores)
        ]
        return tuple(sorted(faces, key=lambda face: -face.width * face.height))


class CenterFace:
    """Landmarks come as y then x. The file declares one fixed shape and lists its weights as
    inputs; :meth:`open` makes the shape dynamic."""

    STRIDE_PX = 4
    SCORE_MIN = 0.5

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def open(cls, network: bytes, *, name: str, threads: int) -> CenterFace:
        """Raises :class:`ModelFileError`."""
        try:
            model = onnx.load_model_from_string(network)
            weights = {weight.name for weight in model.graph.initializer}
            free = [value for value in model.graph.input if value.name not in weights]
            for value in [*free, *model.graph.output]:
                for axis in (0, 2, 3):
                    value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}.{axis}"
            del model.graph.input[:]
            model.graph.input.extend(free)
        except Exception as error:
            raise ModelFileError(f"{name} is not the CenterFace network") from error
        return cls(open_session(model.SerializeToString(), name=name, threads=threads))

    def find(self, blob: Array) -> Candidates:
        outputs = self._session.run(None, {self._input: blob[:, ::-1]})
        return self.decode(*(output[0] for output in outputs))

    @classmethod
    def decode(cls, heatmap: Array, size: Array, offset: Array, points: Array) -> Candidates:
        """The four maps, of shapes (1 | 2 | 2 | 10, rows, columns)."""
        row, column = np.nonzero(heatmap[0] > cls.SCORE_MIN)
        scores = heatmap[0, row, column]
        high, wide = np.exp(size[:, row, column]) * cls.STRIDE_PX
        top = (row + offset[0, row, column] + 0.5) * cls.STRIDE_PX - high / 2
        left = (column + offset[1, row, column] + 0.5) * cls.STRIDE_PX - wide / 2
        inside = points[:, row, column]
        x, y = inside[1::2] * wide + left, inside[0::2] * high + top
        boxes = np.stack([left, top, left + wide, top + high], axis=1)
        landmarks = np.stack([x, y], axis=2).transpose(1, 0, 2)
        return Candidates(boxes.astype(np.float32), scores, landmarks.astype(np.float32))


class YuNet:
    STRIDES_PX = (8, 16, 32)
    SCORE_MIN = 0.6

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._names = [
            f"{name}_{stride}"
            for stride in self.STRIDES_PX
            for name in ("cls", "obj", "bbox", "kps")
        ]

    def find(self, blob: Array) -> Candidates:
        outputs = [output[0] for output in self._session.run(self._names, {"input": blob})]
        columns = blob.shape[3]
        levels = [
            self.decode(*outputs[4 * level : 4 * level + 4], stride=stride, columns=columns)
            for level, stride in enumerate(self.STRIDES_PX)
        ]
        return Candidates(
            np.concatenate([level.boxes for level in levels]),
            np.concatenate([level.scores for level in levels]),
            np.concatenate([level.landmarks for level in levels]),
        )

    @classmethod
    def decode(
        cls, cls_score: Array, objectness: Array, box: Array, points: Array, *, stride: int,
        columns: int,
    ) -> Candidates:  # fmt: skip
        """One stride's outputs, of shapes (cells, 1 | 1 | 4 | 10), cells row by row."""
        scores = np.sqrt(np.clip(cls_score[:, 0], 0, 1) * np.clip(objectness[:, 0], 0, 1))
        cells = np.flatnonzero(scores > cls.SCORE_MIN)
        width = columns // stride
        origin = np.stack([cells % width, cells // width], axis=1).astype(np.float32)
        centre = (origin + box[cells, :2]) * stride
        half = np.exp(box[cells, 2:]) * stride / 2
        landmarks = (origin[:, None] + points[cells].reshape(-1, 5, 2)) * stride
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        return Candidates(boxes, scores[cells], landmarks)


def suppress(boxes: Array, scores: Array) -> list[int]:
    """Greedy non-maximum suppression; the indices kept, best first, at most ``FACES_MAX``."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.argsort(-scores, kind="stable")[:CANDIDATES_MAX]
    kept: list[int] = []
    while waiting.size and len(kept) < FACES_MAX:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        corner_min = np.maximum(boxes[best, :2], boxes[rest, :2])
        corner_max = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(corner_max - corner_min, 0, None), axis=1)
        waiting = rest[shared < OVERLAP_MAX * (areas[best] + areas[rest] - shared)]
    return kept


def _view(pixels: Pixels, corner: NDArray[np.float64], scale: float) -> Pixels:
    """The square of ``VIEW_PX`` whose top left is ``corner``; black outside the picture."""
    if scale < 1:
        # Reduced by area first: a warp would skip pixels, and the landmarks would jitter.
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    zoom, (left, top) = max(scale, 1.0), corner * scale
    matrix = np.array([[zoom, 0, -left], [0, zoom, -top]])
    return cv2.warpAffine(pixels, matrix, (VIEW_PX, VIEW_PX)).astype(np.uint8, copy=False)


def _off_middle(face: Face) -> float:
    return float(np.abs(face.centre - VIEW_PX / 2).max())


def _box(edges: Array) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, edges)
    return left, top, right, bottom
