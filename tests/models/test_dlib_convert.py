"""The converted network beside dlib itself (dlib-bin, a test dependency)."""

from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import numpy as np
import onnxruntime
import pytest
import skimage.data
from numpy.typing import NDArray

from face_engine.dlib_convert import convert
from face_engine.errors import ModelFileError
from tests.models.conftest import package_folder

NUMBER_OF_CHIPS_AT_LEAST = 7


@pytest.fixture(scope="module")
def session(dlib_weights: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(convert(dlib_weights), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def chips(dlib_models: Path) -> list[NDArray[np.uint8]]:
    """Every face of the astronaut and of insightface's sample pictures, cut by dlib."""
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(dlib_models / "shape_predictor_5_face_landmarks.dat"))
    samples = package_folder("insightface") / "data" / "images"
    pictures = [skimage.data.astronaut()] + [
        cv2.cvtColor(cv2.imread(str(samples / name)), cv2.COLOR_BGR2RGB)
        for name in ("t1.jpg", "Tom_Hanks_54745.png")
    ]
    return [
        dlib.get_face_chip(picture, landmarks(picture, box), size=150)
        for picture in pictures
        for box in detector(picture, 1)
    ]


def test_the_converted_network_equals_dlib_on_real_chips(
    session: onnxruntime.InferenceSession, chips: list[NDArray[np.uint8]], dlib_models: Path
) -> None:
    assert len(chips) >= NUMBER_OF_CHIPS_AT_LEAST
    network = dlib.face_recognition_model_v1(
        str(dlib_models / "dlib_face_recognition_resnet_model_v1.dat")
    )
    batch = np.stack([chip.transpose(2, 0, 1) for chip in chips]).astype(np.float32)
    ours = session.run(["descriptor"], {"rgb": batch})[0]
    theirs = np.array([network.compute_face_descriptor(chip) for chip in chips])
    assert np.abs(ours - theirs).max() < 1e-4


def test_the_same_file_gives_the_same_network(dlib_weights: bytes) -> None:
    first, second = (convert(dlib_weights) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("size", [0, 1, 100, 334, 1_000, 5_000_000, 22_466_065])
def test_a_cut_off_file_is_one_clear_error(dlib_weights: bytes, size: int) -> None:
    with pytest.raises(ModelFileError):
        convert(dlib_weights[:size])


def test_bytes_after_the_end_are_refused(dlib_weights: bytes) -> None:
    with pytest.raises(ModelFileError, match="after its end"):
        convert(dlib_weights + b"\0")


@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_a_damaged_structure_is_refused_or_read_but_never_crashes(
    dlib_weights: bytes, seed: int
) -> None:
    random = np.random.default_rng(seed)
    damaged = bytearray(dlib_weights[:20_000])
    for at in random.integers(0, 400, size=3):
        damaged[at] = random.integers(0, 256)
    with pytest.raises(ModelFileError):
        convert(bytes(damaged))


def test_another_file_is_refused(dlib_models: Path) -> None:
    with pytest.raises(ModelFileError):
        convert((dlib_models / "shape_predictor_5_face_landmarks.dat").read_bytes())
