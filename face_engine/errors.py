"""What is wrong with a model, or with the machine that should run it: one clear line each."""

from __future__ import annotations


class EngineError(Exception):
    """The face engine cannot be opened."""


class ModelFileError(EngineError):
    """A weights file that is missing, cut off, corrupt or not the one that was named."""


class PackFileError(EngineError):
    """A ``pack.toml`` that does not describe a pack."""


class LicenceError(EngineError):
    """A licence that must be accepted by name, and was not."""


class ProviderError(EngineError):
    """An onnxruntime provider that is unknown, or not on this machine."""
