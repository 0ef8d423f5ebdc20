"""Pixels to embedding: the only home of onnxruntime."""
