"""dlib's network with 8-bit integers: static, per channel (onnxruntime.quantization, QDQ).

The activations' ranges are data, ``packs/dlib.ranges.json``, measured once by
``python -m benchmarks.ranges``; so the same file gives the same network on every machine.
Weights keep 7 bits: with 8, processors without VNNI instructions saturate and would compute
other embeddings. The caller must still check the file's SHA-256.

Source: Jacob et al., Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference (2018).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from face_engine import dlib_convert
from face_engine.errors import ModelFileError


def convert(raw: bytes) -> bytes:
    """Raises :class:`ModelFileError`."""
    model = onnx.load_model_from_string(dlib_convert.convert(raw))
    ranges = files("face_engine").joinpath("packs", "dlib.ranges.json")
    try:
        with TemporaryDirectory() as folder, as_file(ranges) as path, _quiet():
            output = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                output,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibration_cache_path=path,
            )
            return output.read_bytes()
    except Exception as error:
        raise ModelFileError("dlib's network was not quantized") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice on standard error."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
