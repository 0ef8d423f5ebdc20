"""The packs on people that no calibration of theirs is needed for: ORL and celebrities.

Limits as promised in docs/models.md. Needs ../shared, which is no part of the product.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from face_engine.engine import Engine
from face_engine.pictures import enlarge, read_picture
from face_engine.types import Pixels

FACES = Path(__file__).parents[3] / "shared" / "faces"
SMALL_FACTOR = 3
FNMR_MAX = {"open": {1e-3: 0.008, 1e-4: 0.011}, "pip": {1e-3: 0.015, 1e-4: 0.04}}
PACKS = ["open", "pip"]

pytestmark = pytest.mark.skipif(not FACES.is_dir(), reason=f"the photos in {FACES} are not here")


@pytest.fixture(scope="module", params=PACKS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine.open(request.param, threads=2)


def vector(engine: Engine, pixels: Pixels) -> np.ndarray:
    return engine.embed(pixels, engine.detect(pixels)[0]).vector


def test_false_non_matches_of_orl(engine: Engine) -> None:
    photos = sorted((FACES / "orl").glob("*/*"))
    owners = np.array([photo.parent.name for photo in photos])
    vectors = np.stack([vector(engine, enlarge(read_picture(p), SMALL_FACTOR)) for p in photos])
    one, two = np.triu_indices(len(photos), 1)
    scores = np.einsum("ij,ij->i", vectors[one], vectors[two])
    genuine = scores[owners[one] == owners[two]]
    impostor = np.sort(scores[owners[one] != owners[two]])[::-1]
    assert (genuine.size, impostor.size) == (900, 19_000)
    for fmr, fnmr_max in FNMR_MAX[engine.pack.name].items():
        threshold = impostor[int(fmr * impostor.size)]
        assert float((genuine <= threshold).mean()) <= fnmr_max


def test_all_pairs_of_celebrities_are_told_right(engine: Engine) -> None:
    with (FACES / "celebrities" / "pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    names = {pair[side] for pair in pairs for side in ("image_a", "image_b")}
    vectors = {name: vector(engine, read_picture(FACES / "celebrities" / name)) for name in names}
    scores: dict[str, list[float]] = {"1": [], "0": []}
    for pair in pairs:
        score = float(vectors[pair["image_a"]] @ vectors[pair["image_b"]])
        scores[pair["same_person"]].append(score)
    assert len(pairs) == 300
    assert min(scores["1"]) > max(scores["0"])
