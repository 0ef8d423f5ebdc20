"""Pixels to embedding: the only home of onnxruntime."""

from __future__ import annotations

import os

# OpenCV reads this once, when it is loaded: a picture of more pixels is refused by its header,
# before memory is taken for it. The same number is face_engine.pictures.PIXELS_MAX.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "50000000")
