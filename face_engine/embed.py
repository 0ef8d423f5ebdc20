"""From an aligned chip to an embedding, with the converted dlib network.

Guarantee: the embedding has unit length and carries the model id given.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from face_engine.types import Embedding, Pixels


class DlibEmbedder:
    def __init__(self, model: onnx.ModelProto, *, model_id: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.model_id = model_id

    def embed(self, chip: Pixels) -> Embedding:
        """``chip``: (150, 150, 3) uint8, BGR."""
        rgb = chip[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        descriptor = self._session.run(["descriptor"], {"rgb": rgb})[0][0]
        return Embedding(
            vector=(descriptor / np.linalg.norm(descriptor)).astype(np.float32),
            model_id=self.model_id,
        )
