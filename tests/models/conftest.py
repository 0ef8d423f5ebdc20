"""Weights and photos that come inside pip packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


def package_folder(name: str) -> Path:
    """Where an installed package's files are; the package itself is not imported."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def dlib_models() -> Path:
    return package_folder("face_recognition_models") / "models"


@pytest.fixture(scope="session")
def dlib_weights(dlib_models: Path) -> bytes:
    return (dlib_models / "dlib_face_recognition_resnet_model_v1.dat").read_bytes()
