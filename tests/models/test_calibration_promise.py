"""The calibration's promise on real photos: half of the people choose, the other half judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from face_engine.calibrate import calibrate
from face_engine.corpus import Corpus, Roster, embed_roster, list_people
from face_engine.engine import Engine
from face_engine.evaluation import Resamples, compare_all, fmr_at

SHARED = Path(__file__).parents[3] / "shared"
FACES = SHARED / "faces"
FMR = 1e-3
SEEDS = 20
HELD_MIN = 18

pytestmark = pytest.mark.skipif(
    not (FACES.is_dir() and (SHARED / "models" / "open").is_dir()),
    reason="../shared with faces and models/open is not here",
)


def rosters() -> dict[str, Roster]:
    orl = list_people([FACES / "orl"], upscale=3)
    return {"orl": orl, "all": orl + list_people([FACES / "people", FACES / "celebrities"])}


@pytest.fixture(scope="module", params=["open", "pip"])
def corpus(request: pytest.FixtureRequest) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTENANCE_MODELS", str(SHARED / "models" / "open"))
        engine = Engine.open(request.param)
    return embed_roster(engine, rosters()["all"])


@pytest.mark.parametrize("name", ["orl", "all"])
def test_the_other_half_keeps_the_rate(corpus: Corpus, name: str) -> None:
    people = len(rosters()[name].people)
    genuine, impostor = compare_all(corpus.vectors, corpus.owners)
    rates = []
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(people)
        one, other = order[: people // 2], order[people // 2 :]
        threshold = calibrate(
            impostor.among(one),
            model_id=b"m" * 16,
            pack=name,
            dimensions=corpus.vectors.shape[1],
            provenance="",
            seed=seed,
        ).threshold_for(FMR)
        theirs = impostor.among(other)
        samples = Resamples(genuine.among(other), theirs, np.array([threshold]), seed)
        rates.append(fmr_at(theirs, threshold, samples))
    assert sum(rate.low <= FMR for rate in rates) >= HELD_MIN
    # The interval alone is a mild judge where a few look-alikes make most of the matches.
    assert np.median([rate.value for rate in rates]) <= FMR
