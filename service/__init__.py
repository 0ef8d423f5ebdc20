"""The verification service. Loads neither OpenCV nor onnxruntime nor insightface."""
