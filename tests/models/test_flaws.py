"""Real photos made worse: what is seen, what is refused, and that one follows the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from countenance.degradations import DEGRADATIONS, Degradation
from countenance.flaws import measure
from face_engine.corpus import embed_roster, list_people
from face_engine.engine import Engine
from face_engine.quality import ENROLMENT, PROBE, Flaw, assess, find_flaw
from face_engine.types import Face, Pixels

NAMED = {
    "distance": {Flaw.TOO_FAR},
    "cut off": {Flaw.CUT_OFF},
    "darkness": {Flaw.TOO_DARK},
    "overexposure": {Flaw.TOO_BRIGHT},
    "veil": {Flaw.LOW_CONTRAST},
    "sunglasses": {Flaw.EYES_HIDDEN},
    "blur": {Flaw.BLURRED, Flaw.LOW_CONTRAST, Flaw.EYES_HIDDEN},
    "shake": {Flaw.BLURRED, Flaw.LOW_CONTRAST, Flaw.EYES_HIDDEN},
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def face(engine: Engine, astronaut: Pixels) -> Face:
    return engine.detect(astronaut)[0]


def test_a_portrait_as_it_is_may_be_enrolled(astronaut: Pixels, face: Face) -> None:
    assert find_flaw(astronaut, (face,), ENROLMENT) in (None, Flaw.TOO_FAR)
    assert find_flaw(astronaut, (face,), PROBE) is None


@pytest.mark.parametrize("one", DEGRADATIONS, ids=lambda one: one.name)
def test_each_flaw_is_named_where_it_is_worst(
    one: Degradation, engine: Engine, astronaut: Pixels, face: Face
) -> None:
    """Landmarks of the good photo, so that the face is there to be judged."""
    worst = one.apply(astronaut, face, one.levels[-1])
    if one.name in ("distance", "cut off"):
        faces = engine.detect(worst)
        assert not faces or find_flaw(worst, faces[:1], PROBE) in NAMED[one.name]
    else:
        assert find_flaw(worst, (face,), PROBE) in NAMED[one.name]
        assert assess(worst, face).score < assess(astronaut, face).score


def test_the_table_has_a_row_for_every_step(
    engine: Engine, astronaut: Pixels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("people")
    (root / "astronaut").mkdir()
    for name, gain in (("1.png", 1.0), ("2.png", 0.8)):
        cv2.imwrite(str(root / "astronaut" / name), (astronaut * gain).astype(np.uint8))
    found = measure(engine, embed_roster(engine, list_people([root])), 1)
    assert len(found.rows) == 1 + sum(len(one.levels) for one in DEGRADATIONS)
    assert found.rows[0].fnmr == 0.0
    assert found.rows[0].score is not None
    assert found.rows[0].score > 0.98
    assert found.rank_correlation > 0.3
