"""CenterFace's ONNX file with inputs of any size.

The file declares one fixed shape and lists its weights as inputs, which also keeps onnxruntime
from folding them. The caller must still check the file's SHA-256.
"""

from __future__ import annotations

import onnx

from face_engine.errors import ModelFileError


def convert(raw: bytes) -> bytes:
    """Raises :class:`ModelFileError`."""
    try:
        model = onnx.load_model_from_string(raw)
        weights = {weight.name for weight in model.graph.initializer}
        free = [value for value in model.graph.input if value.name not in weights]
        for value in [*free, *model.graph.output]:
            for axis in (0, 2, 3):
                value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}.{axis}"
        del model.graph.input[:]
        model.graph.input.extend(free)
        return bytes(model.SerializeToString())
    except Exception as error:
        raise ModelFileError("the file is not the CenterFace network") from error
