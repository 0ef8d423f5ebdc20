"""What is wrong with a model file: one clear line each."""

from __future__ import annotations


class ModelFileError(Exception):
    """A weights file that is missing, cut off, corrupt or not the one that was named."""
