"""onnxruntime sessions, with what the caller chose and nothing by default."""

from __future__ import annotations

import onnxruntime

from face_engine.errors import ModelFileError


def open_session(model: bytes, *, name: str, threads: int) -> onnxruntime.InferenceSession:
    """Opens a network on the CPU; raises :class:`ModelFileError` for what is none."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:
        raise ModelFileError(f"{name} is not a network that onnxruntime can run") from error
