"""OpenCV reads its bounds when it is loaded; :mod:`face_engine` sets them, so it comes first."""

import face_engine

__all__ = ["face_engine"]
