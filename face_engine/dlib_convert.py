"""Converts dlib's face recognition ResNet (``.dat``) to ONNX.

Guarantees: a file is either read to its last byte as exactly that network's structure or
refused with :class:`ModelFileError`; reading never takes memory beyond the file's size.
The ONNX network takes ``rgb``, shape (n, 3, 150, 150), float32 in 0..255, and returns
``descriptor``, shape (n, 128), float32, equal to dlib's within 1e-4. Like dlib's own, it
is not L2-normalised.

The caller must still align the face to the 150-pixel chip and check the file's SHA-256.

Source: dlib's ``dnn`` serialization (``serialize.h``, ``dnn/layers.h``), and the network of
``dnn_face_recognition_ex.cpp`` (He et al., Deep Residual Learning, 2015, with 29 layers).
Affine layers and the input's normalisation are folded into the convolutions: both are
linear, and the first convolution has no padding, so the fold is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from face_engine.errors import ModelFileError

CHIP_PX = 150
DESCRIPTOR_DIMENSIONS = 128
INPUT_DIVISOR = 256.0
OPSET, IR_VERSION = 17, 8
_LAYERS_AND_TAGS = 130
_SPECIAL_EXPONENTS = {32000: math.inf, 32001: -math.inf, 32002: math.nan}

Array = NDArray[np.float32]
T = TypeVar("T")


@dataclass(slots=True)
class Reader:
    """Reads dlib's primitive values from bytes; raises :class:`ModelFileError`."""

    raw: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.raw):
            raise ModelFileError("the dlib file is cut off")
        self.at += size
        return self.raw[self.at - size : self.at]

    def integer(self) -> int:
        control = self.take(1)[0]
        if control & 0x70 or control & 0x0F > 8:
            raise ModelFileError("the dlib file is corrupt: not an integer")
        magnitude = int.from_bytes(self.take(control & 0x0F), "little")
        return -magnitude if control & 0x80 else magnitude

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if exponent in _SPECIAL_EXPONENTS:
            return _SPECIAL_EXPONENTS[exponent]
        if abs(exponent) > 1100:
            raise ModelFileError("the dlib file is corrupt: not a number")
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError as error:
            raise ModelFileError("the dlib file is corrupt: not a number") from error

    def text(self) -> str:
        size = self.integer()
        if not 0 <= size <= 64:
            raise ModelFileError("the dlib file is corrupt: not a name")
        return self.take(size).decode("latin-1")

    def flag(self) -> bool:
        return self.take(1) == b"1"

    def tensor(self) -> Array:
        """A flat copy of a tensor's numbers."""
        self.expect(self.integer, 2, "a tensor")
        size = math.prod(self._dimensions())
        return np.frombuffer(self.take(4 * size), "<f4").astype(np.float32)

    def alias(self) -> None:
        self.expect(self.integer, 1, "an alias tensor")
        self._dimensions()

    def _dimensions(self) -> list[int]:
        dimensions = [self.integer() for _ in range(4)]
        if min(dimensions) < 0 or math.prod(dimensions) * 4 > len(self.raw):
            raise ModelFileError("the dlib file is corrupt: a tensor larger than the file")
        return dimensions

    def expect(self, read: Callable[[], T], value: T, what: str) -> None:
        if read() != value:
            raise ModelFileError(f"the dlib file is not the face recognition network: {what}")


@dataclass(slots=True)
class Graph:
    """The ONNX graph under construction; ``shape`` is (channels, height, width) of ``tip``."""

    tip: str = "rgb"
    shape: tuple[int, int, int] = (3, CHIP_PX, CHIP_PX)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def add(
        self, kind: str, inputs: list[str], shape: tuple[int, int, int], **attributes: Any
    ) -> None:
        self.tip, self.shape = f"t{len(self.nodes)}", shape
        self.nodes.append(helper.make_node(kind, inputs, [self.tip], **attributes))

    def constant(self, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def pad_to(self, shape: tuple[int, int, int]) -> None:
        """Fills with zeros at the end of each dimension, as dlib's ``add_prev`` does."""
        missing = [want - have for want, have in zip(shape, self.shape, strict=True)]
        if any(missing):
            pads = self.constant(np.array([0] * 5 + missing, np.int64))
            self.add("Pad", [self.tip, pads], shape)


@dataclass(slots=True)
class Converter:
    """Walks the layers from the innermost; each method reads one layer and emits it."""

    reader: Reader
    means: Array
    graph: Graph = field(default_factory=Graph)
    pending: tuple[Array, Array, int, int] | None = None
    branches: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)

    def layer(self, version: int) -> None:
        name = self.reader.text()
        emit = {
            "con_4": self.convolution,
            "affine_": self.affine,
            "relu_": self.relu,
            "max_pool_2": lambda: self.pool("MaxPool"),
            "avg_pool_2": lambda: self.pool("AveragePool"),
            "add_prev_": self.add_previous,
            "fc_2": self.fully_connected,
        }.get(name)
        if emit is None:
            raise ModelFileError("the dlib file is not the face recognition network: a layer")
        emit()
        for _ in range(3):
            self.reader.flag()
        for _ in range(3):
            if self.reader.tensor().size:
                raise ModelFileError("the dlib file holds a network in training")
        if version == 3:
            self.reader.integer()

    def convolution(self) -> None:
        read = self.reader
        numbers = read.tensor()
        filters, rows, columns, stride, stride_x, pad, pad_x = (read.integer() for _ in range(7))
        read.alias()
        read.alias()
        for _ in range(4):
            read.real()
        channels = self.graph.shape[0]
        if (
            stride != stride_x
            or pad != pad_x
            or not (1 <= filters <= 4096 and 1 <= rows == columns <= 16 and 1 <= stride <= 4)
            or not 0 <= pad <= rows
            or numbers.size != filters * (channels * rows * columns + 1)
        ):
            raise ModelFileError("the dlib file is corrupt: a convolution")
        kernel = numbers[:-filters].reshape(filters, channels, rows, columns)
        self.pending = kernel, numbers[-filters:], stride, pad

    def affine(self) -> None:
        """Folds ``gamma * x + beta`` into the convolution before it, and emits that."""
        read = self.reader
        numbers = read.tensor()
        read.alias()
        read.alias()
        read.integer()
        if self.pending is None or numbers.size != 2 * self.pending[1].size:
            raise ModelFileError("the dlib file is corrupt: an affine layer")
        kernel, bias, stride, pad = self.pending
        self.pending = None
        gamma, beta = np.split(numbers.astype(np.float64), 2)
        folded = kernel * gamma[:, None, None, None]
        offset = bias * gamma + beta
        if not self.graph.nodes:
            folded = folded / INPUT_DIVISOR
            offset = offset - np.einsum("oihw,i->o", folded, self.means.astype(np.float64))
        filters, _, size, _ = kernel.shape
        self.graph.add(
            "Conv",
            [
                self.graph.tip,
                self.graph.constant(folded.astype(np.float32)),
                self.graph.constant(offset.astype(np.float32)),
            ],
            (filters, *self._window(size, stride, pad)),
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def relu(self) -> None:
        self.graph.add("Relu", [self.graph.tip], self.graph.shape)

    def pool(self, kind: str) -> None:
        rows, columns, stride, stride_x, pad, pad_x = (self.reader.integer() for _ in range(6))
        channels = self.graph.shape[0]
        if (rows, columns) == (0, 0) and kind == "AveragePool":
            self.graph.add("GlobalAveragePool", [self.graph.tip], (channels, 1, 1))
            return
        if rows != columns or stride != stride_x or pad != pad_x or not 1 <= stride <= 4:
            raise ModelFileError("the dlib file is corrupt: a pooling layer")
        self.graph.add(
            kind,
            [self.graph.tip],
            (channels, *self._window(rows, stride, pad)),
            kernel_shape=[rows, rows],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def _window(self, size: int, stride: int, pad: int) -> tuple[int, int]:
        height, width = ((n + 2 * pad - size) // stride + 1 for n in self.graph.shape[1:])
        if min(height, width) < 1:
            raise ModelFileError("the dlib file is corrupt: a window larger than its input")
        return height, width

    def open_block(self) -> None:
        self.branches.append((self.graph.tip, self.graph.shape))

    def swap_branch(self) -> None:
        """Ends the body of a "down" block: what follows works on the block's input."""
        if not self.branches:
            raise ModelFileError("the dlib file is corrupt: a block without a start")
        main = self.graph.tip, self.graph.shape
        self.graph.tip, self.graph.shape = self.branches[-1]
        self.branches[-1] = main

    def add_previous(self) -> None:
        if not self.branches:
            raise ModelFileError("the dlib file is corrupt: a sum without a block")
        graph, (tip, shape) = self.graph, self.branches.pop()
        channels, height, width = map(max, shape, graph.shape)
        larger = channels, height, width
        graph.pad_to(larger)
        padded = graph.tip
        graph.tip, graph.shape = tip, shape
        graph.pad_to(larger)
        graph.add("Add", [padded, graph.tip], larger)

    def fully_connected(self) -> None:
        read = self.reader
        outputs, inputs = read.integer(), read.integer()
        numbers = read.tensor()
        read.alias()
        read.alias()
        read.integer()
        for _ in range(4):
            read.real()
        flat = math.prod(self.graph.shape)
        if outputs != DESCRIPTOR_DIMENSIONS or inputs != flat or numbers.size != inputs * outputs:
            raise ModelFileError("the dlib file is corrupt: the last layer")
        weight = self.graph.constant(numbers.reshape(inputs, outputs))
        self.graph.add("Flatten", [self.graph.tip], self.graph.shape)
        self.graph.add("MatMul", [self.graph.tip, weight], (outputs, 1, 1))


def convert(raw: bytes) -> bytes:
    """The ONNX network of the bytes of ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises :class:`ModelFileError`.
    """
    reader = Reader(raw)
    reader.expect(reader.integer, 1, "its version")
    reader.expect(reader.text, "loss_metric_2", "its loss layer")
    reader.real()
    reader.real()
    versions = [reader.integer() for _ in range(_LAYERS_AND_TAGS)]
    if not set(versions) <= {1, 2, 3}:
        raise ModelFileError("the dlib file is corrupt: the layers' versions")
    reader.expect(reader.text, "input_rgb_image_sized", "its input layer")
    means = np.array([reader.real() for _ in range(3)], np.float32)
    reader.expect(reader.integer, CHIP_PX, "its input size")
    reader.expect(reader.integer, CHIP_PX, "its input size")
    converter = Converter(reader, means)
    marks = [version == 1 for version in reversed(versions)]
    for index, version in enumerate(reversed(versions)):
        if not marks[index]:
            converter.layer(version)
        elif marks[index - 1]:
            converter.swap_branch()
        elif marks[index + 1 : index + 2] != [True]:
            converter.open_block()
    if reader.at != len(raw) or converter.branches or converter.pending is not None:
        raise ModelFileError("the dlib file has bytes after its end")
    return bytes(_model(converter.graph).SerializeToString())


def _model(graph: Graph) -> onnx.ModelProto:
    described = helper.make_graph(
        graph.nodes,
        "dlib_face_recognition_resnet_v1",
        [helper.make_tensor_value_info("rgb", TensorProto.FLOAT, ["n", 3, CHIP_PX, CHIP_PX])],
        [helper.make_tensor_value_info(graph.tip, TensorProto.FLOAT, ["n", 128])],
        graph.weights,
    )
    described.node[-1].output[0] = described.output[0].name = "descriptor"
    model = helper.make_model(
        described,
        producer_name="countenance",
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model
