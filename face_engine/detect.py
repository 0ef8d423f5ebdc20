"""Faces in a picture, with CenterFace or YuNet on onnxruntime.

Guarantees: the picture is looked at in a few sizes, smallest first, until a face is found that
is so large that one ``BESIDE_RATIO`` times as wide would have been found too; these faces are
then looked at closer, each in a view of its own. Boxes and landmarks are in pixels of the
picture given, at most ``FACES_MAX`` faces, the largest of the first look first; a picture
without a face gives an empty tuple.

The caller must still refuse pictures with no face or several.

Sources: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point (2019);
Wu et al., YuNet: A Tiny Millisecond-level Face Detector (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from face_engine.align import halvings, reduce, warp
from face_engine.types import Face, Pixels

MULTIPLE_PX = 32
OVERLAP_MAX = 0.3
CANDIDATES_MAX = 1000
FACES_MAX = 64
BESIDE_RATIO = 0.5

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Before suppression: boxes (n, 4), scores (n,), landmarks (n, 5, 2), network pixels."""

    boxes: Array
    scores: Array
    landmarks: Array


class Network(Protocol):
    """``picture``: (height, width, 3) uint8, BGR, sides that are multiples of MULTIPLE_PX."""

    def find(self, picture: Pixels) -> Candidates: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How a network looks at a picture.

    ``sides_px``: longer sides of the whole picture, rising. ``sure_px``: width of the smallest
    face that it surely finds. A closer look at one face is a square of ``view_px`` in which
    the face is ``face_px`` large.
    """

    sides_px: tuple[int, ...]
    sure_px: int
    view_px: int
    face_px: int


class Detector:
    def __init__(self, network: Network, looks: Looks) -> None:
        self._network = network
        self._looks = looks

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """``pixels``: (height, width, 3) uint8, BGR."""
        faces = self._look_until_sure(pixels)
        return tuple(
            (face.width >= BESIDE_RATIO * faces[0].width and self.look_closer(pixels, face)) or face
            for face in faces
        )

    def look_closer(self, pixels: Pixels, face: Face) -> Face | None:
        """The face that is where ``face`` was, in a view of its own; None where none is.

        Small faces are enlarged for it and large ones reduced: the networks place landmarks
        best at one size. In the next frame of a camera the same look follows the face.
        """
        scale = self._looks.face_px / max(face.width, face.height)
        corner = face.centre - self._looks.view_px / scale / 2
        motion = np.column_stack([np.eye(2) * scale, -corner * scale])
        view = warp(pixels, motion, self._looks.view_px)
        middle = self._looks.view_px / 2
        near = [
            (off, one)
            for one in self._faces(view)
            if (off := float(np.abs(one.centre - middle).max())) < self._looks.face_px / 2
        ]
        if not near:
            return None
        return _moved(min(near, key=lambda pair: pair[0])[1], 1 / scale, corner)

    def _look_until_sure(self, pixels: Pixels) -> tuple[Face, ...]:
        """At the smallest size that would also show a face ``BESIDE_RATIO`` times as wide."""
        faces: tuple[Face, ...] = ()
        for side in self._looks.sides_px:
            faces = self._look(pixels, side) or faces
            width = faces[0].width * side / max(pixels.shape[:2]) if faces else 0
            if width * BESIDE_RATIO >= self._looks.sure_px:
                break
        return faces

    def _look(self, pixels: Pixels, side: int) -> tuple[Face, ...]:
        height, width = pixels.shape[:2]
        scale = side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        factor = halvings(scale)
        fitted = cv2.resize(reduce(pixels, factor) if factor > 1 else pixels, size)
        right, bottom = (-n % MULTIPLE_PX for n in size)
        whole = cv2.copyMakeBorder(fitted, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        back = np.array([width / size[0], height / size[1]])
        found = self._faces(whole.astype(np.uint8, copy=False))
        faces = (_moved(face, back, np.zeros(2)) for face in found)
        return tuple(sorted(faces, key=lambda face: -face.width * face.height))

    def _faces(self, picture: Pixels) -> list[Face]:
        found = self._network.find(picture)
        return [
            Face(
                box=_box(found.boxes[index]),
                landmarks=found.landmarks[index],
                score=float(found.scores[index]),
            )
            for index in suppress(found.boxes, found.scores)
        ]


class CenterFace:
    """Landmarks come as y then x."""

    STRIDE_PX = 4
    SCORE_MIN = 0.5

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def find(self, picture: Pixels) -> Candidates:
        blob = cv2.dnn.blobFromImage(picture, swapRB=True)
        outputs = self._session.run(None, {self._input: blob})
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

    def find(self, picture: Pixels) -> Candidates:
        blob = cv2.dnn.blobFromImage(picture)
        outputs = [output[0] for output in self._session.run(self._names, {"input": blob})]
        columns = picture.shape[1]
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


def _moved(face: Face, scale: float | NDArray[np.float64], shift: NDArray[np.float64]) -> Face:
    box = np.reshape(face.box, (2, 2)) * scale + shift
    landmarks = (face.landmarks * scale + shift).astype(np.float32)
    return Face(box=_box(box.ravel()), landmarks=landmarks, score=face.score)


def _box(edges: NDArray[Any]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, edges)
    return left, top, right, bottom
