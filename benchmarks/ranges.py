"""Measures the ranges of the activations of dlib's network, for its 8-bit variant.

    python -m benchmarks.ranges > face_engine/packs/dlib.ranges.json

On every face of the photos that come with scikit-image and insightface, as they are and
mirrored, darker, brighter, smaller and off centre.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import onnx
import skimage.data
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from face_engine.align import CHIPS, cut_chip
from face_engine.catalogue import load_pack
from face_engine.converted import read_network
from face_engine.engine import Engine
from face_engine.types import Face, Pixels

SHIFTS_PX = (0.0, 1.5, -1.5)
GAINS = (0.6, 1.0, 1.35)
SAMPLES = ("t1.jpg", "Tom_Hanks_54745.png")


class Chips(CalibrationDataReader):
    def __init__(self) -> None:
        self._chips = chips()

    def get_next(self) -> dict[str, np.ndarray] | None:
        chip = next(self._chips, None)
        return None if chip is None else {"rgb": cv2.dnn.blobFromImage(chip, swapRB=True)}


def chips() -> Iterator[Pixels]:
    engine = Engine.open("pip")
    for pixels in photos():
        for face in engine.detect(pixels):
            yield from variants(pixels, face)


def photos() -> Iterator[Pixels]:
    yield np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.origin is not None
    for name in SAMPLES:
        yield cv2.imread(str(Path(spec.origin).parent / "data" / "images" / name))


def variants(pixels: Pixels, face: Face) -> Iterator[Pixels]:
    for shift in SHIFTS_PX:
        moved = replace(face, landmarks=face.landmarks + np.float32(shift))
        chip = cut_chip(pixels, moved, CHIPS["dlib"])
        coarse = cv2.resize(cv2.resize(chip, (60, 60)), (150, 150))
        for view in (chip, chip[:, ::-1], coarse):
            for gain in GAINS:
                yield np.clip(view * gain, 0, 255).astype(np.uint8)


def main() -> None:
    model = onnx.load_model_from_string(read_network(load_pack("pip").embedder))
    with TemporaryDirectory() as folder:
        ranges = Path(folder) / "ranges.json"
        quantize_static(
            model,
            Path(folder) / "int8.onnx",
            Chips(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibration_cache_path=ranges,
        )
        sys.stdout.write(ranges.read_text())


if __name__ == "__main__":
    main()
