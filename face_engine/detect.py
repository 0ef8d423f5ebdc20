"""Faces in a picture, with CenterFace on onnxruntime.

Guarantees: the picture is looked at in at most ``SIDES_PX`` sizes, smallest first, and the
first that shows a face is taken; boxes and landmarks are in pixels of the picture given,
at most ``FACES_MAX`` of them, largest first. A picture without a face gives an empty tuple.

The caller must still refuse pictures with no face or several.

Source: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point
(2019). Its ONNX file declares one fixed shape; :meth:`CenterFace.open` makes it dynamic.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from face_engine.errors import ModelFileError
from face_engine.types import Face, Pixels

SIDES_PX = (320, 640)
STRIDE_PX = 4
MULTIPLE_PX = 32
SCORE_MIN = 0.5
OVERLAP_MAX = 0.3
FACES_MAX = 64
# A face is given as y then x, in this order.
_LANDMARK_X, _LANDMARK_Y = [1, 3, 5, 7, 9], [0, 2, 4, 6, 8]


class CenterFace:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def open(cls, path: Path, *, threads: int = 1) -> CenterFace:
        """Raises :class:`ModelFileError`."""
        try:
            model = onnx.load(path)
            weights = {weight.name for weight in model.graph.initializer}
            free = [value for value in model.graph.input if value.name not in weights]
            for value in [*free, *model.graph.output]:
                for axis in (0, 2, 3):
                    value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}.{axis}"
            del model.graph.input[:]
            model.graph.input.extend(free)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelFileError(f"{path.name} is not the CenterFace network") from error
        return cls(session)

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """``pixels``: (height, width, 3) uint8, BGR."""
        for side in SIDES_PX:
            faces = self._detect_at(pixels, side)
            if faces:
                return faces
        return ()

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
        canvas[: fitted.shape[0], : fitted.shape[1]] = fitted[..., ::-1]
        outputs = self._session.run(None, {self._input: canvas.transpose(2, 0, 1)[None]})
        boxes, scores, landmarks = decode(*(output[0] for output in outputs))
        kept = suppress(boxes, scores)
        factor = np.array([width / fitted.shape[1], height / fitted.shape[0]], np.float32)
        found = [
            Face(
                box=_box(boxes[index] * np.tile(factor, 2)),
                landmarks=landmarks[index] * factor,
                score=float(scores[index]),
            )
            for index in kept
        ]
        return tuple(sorted(found, key=lambda face: -face.width * face.height))


def decode(
    heatmap: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    points: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The network's four maps, (1 | 2 | 2 | 10, rows, columns), as boxes, scores, landmarks.

    Returns shapes (n, 4), (n,) and (n, 5, 2) in pixels of the network's input.
    """
    row, column = np.nonzero(heatmap[0] > SCORE_MIN)
    scores = heatmap[0, row, column]
    high, wide = np.exp(size[:, row, column]) * STRIDE_PX
    top = (row + offset[0, row, column] + 0.5) * STRIDE_PX - high / 2
    left = (column + offset[1, row, column] + 0.5) * STRIDE_PX - wide / 2
    inside = points[:, row, column]
    x = inside[_LANDMARK_X] * wide + left
    y = inside[_LANDMARK_Y] * high + top
    boxes = np.stack([left, top, left + wide, top + high], axis=1).astype(np.float32)
    return boxes, scores, np.stack([x, y], axis=2).transpose(1, 0, 2).astype(np.float32)


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """Greedy non-maximum suppression; the indices kept, best first, at most ``FACES_MAX``."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while waiting.size and len(kept) < FACES_MAX:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        corner_min = np.maximum(boxes[best, :2], boxes[rest, :2])
        corner_max = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.clip(corner_max - corner_min, 0, None), axis=1)
        waiting = rest[shared < OVERLAP_MAX * (areas[best] + areas[rest] - shared)]
    return kept


def _box(edges: NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, edges)
    return left, top, right, bottom
