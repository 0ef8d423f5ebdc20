"""Folders and lists of pairs as people bring them, good and bad."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from countenance.report import faces as report
from countenance.trial import run_pairs, run_people
from face_engine.corpus import (
    Corpus,
    CorpusError,
    digest,
    embed_roster,
    list_pairs,
    list_people,
)
from face_engine.engine import Engine
from tests.models.conftest import package_folder


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two photos each, and a person of whom nothing can be used."""
    root = tmp_path_factory.mktemp("people")
    astronaut = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    actor = cv2.imread(
        str(package_folder("insightface") / "data" / "images" / "Tom_Hanks_54745.png")
    )
    for name, pixels in (("<b>astronaut", astronaut), ("actor", actor)):
        (root / name).mkdir()
        (root / name / "group").write_text("crew & cast\n")
        cv2.imwrite(str(root / name / "1.png"), pixels)
        cv2.imwrite(str(root / name / "2.png"), (pixels * 0.7).astype(np.uint8))
    bad = root / "nobody"
    bad.mkdir()
    whole = (root / "actor" / "1.png").read_bytes()
    (bad / "cut.png").write_bytes(whole[:2000])
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "text.jpg").write_text("not a picture")
    (bad / "portrait.heic").write_bytes(b"\0\0\0\x18ftypheic")
    cv2.imwrite(str(bad / "grey.png"), np.full((64, 64), 128, np.uint8))
    cv2.imwrite(str(bad / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    (bad / ".hidden").write_text("")
    (root / "pairs.csv").write_text(
        "image_a,image_b,same_person\n"
        "actor/1.png,actor/2.png,1\n"
        "actor/1.png,<b>astronaut/1.png,0\n"
        "actor/1.png,gone.png,0\n"
    )
    return root


@pytest.fixture(scope="module")
def corpus(engine: Engine, folder: Path) -> Corpus:
    return embed_roster(engine, list_people([folder]))


def test_bad_pictures_are_counted_and_named(corpus: Corpus) -> None:
    assert len(corpus.samples) == 4
    named = {one.picture.path.name for one in corpus.missed}
    assert named == {"cut.png", "empty.jpg", "text.jpg", "portrait.heic", "grey.png", "dot.png"}
    assert all(one.picture.path.name in one.why for one in corpus.missed)


def test_everybody_is_compared_with_everybody(engine: Engine, corpus: Corpus) -> None:
    trial = run_people(engine, corpus, seed=1)
    said = trial.to_json()
    assert (said["images"], said["faces_found"]) == (10, 4)
    assert (said["genuine"], said["impostor"], said["eer"]) == (2, 4, 0.0)
    assert said["fnmr_at_fmr"] == {"1e-2": 0.0, "1e-3": 0.0, "1e-4": 0.0}
    assert said["fmr_support"] == dict.fromkeys(
        ("1e-2", "1e-3", "1e-4"), "not supported by the data"
    )
    assert [(group.name, group.people) for group in trial.groups] == [("crew & cast", 2)]


def test_the_report_loads_nothing_and_escapes_names(engine: Engine, corpus: Corpus) -> None:
    document = report.render(run_people(engine, corpus, seed=1))
    assert "<b>astronaut" not in document
    assert "crew &amp; cast" in document
    for forbidden in ("<script", "<link", 'src="http', "url(", "@import"):
        assert forbidden not in document
    assert document.count("data:image/jpeg;base64,") == 2 * (2 + 4) + 6


def test_pairs_are_compared_where_both_pictures_show_a_face(engine: Engine, folder: Path) -> None:
    pairs = list_pairs(folder / "pairs.csv")
    assert len(pairs.roster.people) == 3
    corpus = embed_roster(engine, pairs.roster)
    trial = run_pairs(engine, corpus, pairs, seed=1)
    assert (len(trial.genuine), len(trial.impostor)) == (1, 1)
    assert [one.picture.path.name for one in corpus.missed] == ["gone.png"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no pairs"),
        ("image_a,image_b\n1,2\n", "no column"),
        ("image_a,image_b,same_person\n1,2,yes\n", "1 or 0"),
        ("image_a,image_b,same_person\n1,1,1\n", "two pictures"),
        ("image_a,image_b,same_person\n1,2,1\n2,3,1\n1,3,0\n", "and is not"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(CorpusError, match=why):
        list_pairs(path)


def test_nothing_to_compare_is_said(engine: Engine, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no face was found"):
        run_people(engine, embed_roster(engine, list_people([tmp_path])), seed=1)
    (tmp_path / "alone").symlink_to(folder / "actor")
    alone = embed_roster(engine, list_people([tmp_path]))
    with pytest.raises(CorpusError, match="two people"):
        run_people(engine, alone, seed=1)


def test_the_digest_changes_with_a_picture_and_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "1.png"
    path.write_bytes(b"one")
    first = digest(list_people([tmp_path]).pictures)
    assert digest(list_people([tmp_path]).pictures) == first
    path.write_bytes(b"two")
    second = digest(list_people([tmp_path]).pictures)
    path.rename(tmp_path / "a" / "2.png")
    assert len({first, second, digest(list_people([tmp_path]).pictures)}) == 3
