"""Detect, align, embed and compare on real photos, with weights that pip packages carry."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
import skimage.data

from face_engine.catalogue import load_pack
from face_engine.engine import Engine
from face_engine.errors import ModelFileError, ProviderError
from face_engine.match import compare
from face_engine.session import Runtime, open_session
from face_engine.types import Embedding, Pixels
from tests.models.conftest import package_folder

PEOPLE_IN_GROUP = 6


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def group() -> Pixels:
    return cv2.imread(str(package_folder("insightface") / "data" / "images" / "t1.jpg"))


def embed(pixels: Pixels, engine: Engine) -> Embedding:
    faces = engine.detect(pixels)
    assert len(faces) == 1
    return engine.embed(pixels, faces[0])


def test_one_face_is_found_where_it_is(engine: Engine, astronaut: Pixels) -> None:
    (face,) = engine.detect(astronaut)
    left, top, right, bottom = face.box
    assert 165 < left < 195
    assert 60 < top < 95
    assert 245 < right < 285
    assert 165 < bottom < 215
    left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < mouth_left[1]
    assert mouth_left[0] < mouth_right[0]


def test_everybody_in_a_group_is_found_and_told_apart(engine: Engine, group: Pixels) -> None:
    faces = engine.detect(group)
    assert len(faces) == PEOPLE_IN_GROUP
    embeddings = [engine.embed(group, face) for face in faces]
    different = [compare(one, two) for one, two in combinations(embeddings, 2)]
    assert max(different) < 0.94


def test_the_same_face_smaller_darker_and_tilted_stays_the_same(
    engine: Engine, astronaut: Pixels
) -> None:
    reference = embed(astronaut, engine)
    tilt = cv2.getRotationMatrix2D((220, 130), 12, 1.0)
    for probe in (
        cv2.resize(astronaut, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
        (astronaut * 0.6).astype(np.uint8),
        cv2.warpAffine(astronaut, tilt, (512, 512)),
    ):
        assert compare(reference, embed(probe, engine)) > 0.96


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
def test_a_picture_without_a_face_has_none(engine: Engine, pixels: Pixels) -> None:
    assert engine.detect(pixels) == ()


def test_embeddings_of_two_models_do_not_compare(engine: Engine, astronaut: Pixels) -> None:
    one = embed(astronaut, engine)
    two = Embedding(vector=one.vector, model_id=b"another-model-id")
    with pytest.raises(ValueError, match="different models"):
        compare(one, two)


def test_a_network_that_is_none_is_one_clear_error() -> None:
    with pytest.raises(ModelFileError, match=r"x\.onnx is not a network"):
        open_session(b"not a network", name="x.onnx", runtime=Runtime())


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("gpu", "no provider is called 'gpu': there are cpu, cuda, tensorrt, coreml, openvino"),
        ("cuda", "cuda is not on this machine: the installed onnxruntime has cpu"),
    ],
)
def test_a_provider_that_is_not_here_is_one_clear_error(provider: str, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        Engine.open("pip", provider=provider)


def test_threads_are_those_that_were_chosen() -> None:
    assert Runtime(threads=3).options.intra_op_num_threads == 3


def test_many_faces_at_once_are_the_same_as_one_by_one(engine: Engine, group: Pixels) -> None:
    faces = engine.detect(group)
    together = engine.embed_many([(group, face) for face in faces] * 4)
    for face, embedding in zip(faces * 4, together, strict=True):
        assert compare(engine.embed(group, face), embedding) > 0.9999
    assert engine.embed_many([]) == []


def test_a_moving_face_is_followed(engine: Engine, astronaut: Pixels) -> None:
    (face,) = engine.detect(astronaut)
    for _ in range(4):
        astronaut = np.roll(astronaut, (6, -9), axis=(0, 1))
        (followed,) = engine.follow(astronaut, face)
        moved = (followed.landmarks - face.landmarks).mean(axis=0)
        assert np.allclose(moved, (-9, 6), atol=4)
        face = followed


def test_a_face_that_is_gone_is_looked_for_everywhere(engine: Engine, astronaut: Pixels) -> None:
    (face,) = engine.detect(astronaut)
    moved = np.roll(astronaut, 200, axis=1)
    (found,) = engine.follow(moved, face)
    assert found.centre[0] > face.centre[0] + 150
    assert engine.follow(np.zeros_like(astronaut), face) == ()


def test_warming_up_changes_nothing(engine: Engine, astronaut: Pixels) -> None:
    before = embed(astronaut, engine)
    engine.warm_up()
    assert compare(before, embed(astronaut, engine)) > 0.9999


def test_a_pack_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModelFileError, match="there are open, pip, pip-int8"):
        Engine.open("best")


def test_packs_have_different_model_ids() -> None:
    assert load_pack("pip").model_id != load_pack("open").model_id
    assert len(load_pack("pip").model_id) == 16
