from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_engine import catalogue, licences
from face_engine.catalogue import load_pack, model_folders, pack_names, parse_pack
from face_engine.errors import LicenceError, ModelFileError, PackFileError

FILES = {"find.onnx": b"a detector", "embed.onnx": b"an embedder"}
PACK = """
name = "mine"
about = "two files of my own"

[detector]
kind = "yunet"
file = "find.onnx"
sha256 = "{find}"
licence = "MIT"
source = "made here"
looks_px = [160, 320]
sure_px = 14
view_px = 256
face_px = 96

[embedder]
kind = "onnx"
file = "embed.onnx"
sha256 = "{embed}"
licence = "MyLicence-1.0"
source = "made here"
alignment = "arcface"
mean = 127.5
scale = 0.0078
dimensions = 128
""".format(
    **{name.partition(".")[0]: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pack.toml").write_text(PACK)
    for name, body in FILES.items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


def test_a_folder_of_my_own_is_a_pack(folder: Path) -> None:
    pack = load_pack(str(folder))
    assert [weights.read() for weights in pack.weights] == list(FILES.values())
    assert pack.licences == ["MIT", "MyLicence-1.0"]
    assert pack.passive is None


def test_its_files_are_taken_from_beside_it_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "find.onnx").rename(elsewhere / "find.onnx")
    monkeypatch.setenv("COUNTENANCE_MODELS", str(elsewhere))
    with pytest.raises(ModelFileError, match=r"pack\.toml expects it beside itself"):
        load_pack(str(folder)).detector.read()


def test_a_changed_file_is_refused(folder: Path) -> None:
    (folder / "embed.onnx").write_bytes(b"another embedder")
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        load_pack(str(folder)).embedder.read()


def test_a_folder_without_a_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"or a folder with pack\.toml"):
        load_pack(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("view_px = 256", "view_px = 288"),
        ("face_px = 96", "face_px = 80"),
        ("arcface", "dlib"),
        ("mean = 127.5", "mean = 127.0"),
        ("scale = 0.0078", "scale = 0.0079"),
        ('kind = "onnx"', 'kind = "dlib"'),
        ('kind = "onnx"', f'kind = "onnx"\nconverted = "{"0" * 64}"'),
    ],
)
def test_whatever_an_embedding_depends_on_changes_the_model_id(old: str, new: str) -> None:
    assert old in PACK
    assert parse_pack(PACK.replace(old, new)).model_id != parse_pack(PACK).model_id


def test_how_a_face_is_looked_for_does_not_change_the_model_id() -> None:
    changed = PACK.replace("[160, 320]", "[160, 640]").replace("two files", "2 files")
    assert parse_pack(changed).model_id == parse_pack(PACK).model_id


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"', "", "name is missing"),
        ('name = "mine"', 'name = "../mine"', "name is made of"),
        ('name = "mine"', 'name = "mine"\ncolour = "red"', "unknown entry 'colour'"),
        ('kind = "yunet"', 'kind = "yunet"\nfolder = "/etc"', "detector knows no 'folder'"),
        ('kind = "yunet"', 'kind = "yunet"\nfoo = 1', "detector: unknown entry 'foo'"),
        ('kind = "yunet"', "kind = 7", "detector: kind has a wrong type"),
        ('kind = "yunet"', 'kind = ""', "detector: kind is one short line"),
        ('file = "find.onnx"', 'file = "../find.onnx"', "detector: file is the plain name"),
        ('file = "find.onnx"', 'file = ".onnx"', "detector: file is the plain name"),
        ('licence = "MIT"', 'licence = "free of charge"', "detector: licence is an SPDX"),
        ("[160, 320]", "[320, 160]", "detector: looks_px rises"),
        ("[160, 320]", "[]", "detector: looks_px has 1 to 8 sides"),
        ("[160, 320]", "[160, true]", "detector: looks_px has a wrong type"),
        ("view_px = 256", "view_px = 250", "detector: view_px is a multiple of 32"),
        ("face_px = 96", "face_px = 256", "detector: face_px is less than view_px"),
        ("face_px = 96", "face_px = 0", "detector: 1 to 4096 pixels"),
        ("dimensions = 128", "dimensions = 8", "embedder: dimensions are 16 to 1024"),
        ("mean = 127.5", "mean = nan", "embedder: mean and scale are finite"),
        ("scale = 0.0078", "scale = 0", "embedder: mean and scale are finite"),
        ("[detector]", "[detector", "not TOML"),
        ("[embedder]", "[[embedder]]", "embedder is a table"),
    ],
)
def test_what_is_wrong_with_a_pack_file_is_named(old: str, new: str, message: str) -> None:
    assert old in PACK
    with pytest.raises(PackFileError, match=message.replace("[", r"\[")):
        parse_pack(PACK.replace(old, new, 1))


@settings(max_examples=200)
@given(st.integers(0, len(PACK) - 1), st.text(max_size=5), st.integers(0, 20))
def test_a_damaged_pack_file_is_read_or_refused(at: int, put: str, cut: int) -> None:
    try:
        parse_pack(PACK[:at] + put + PACK[at + cut :])
    except PackFileError:
        return


def test_the_packs_that_ship_are_free_for_commerce() -> None:
    assert pack_names() == ["open", "pip", "pip-int8"]
    for name in pack_names():
        licences.require(name, load_pack(name).licences)


def test_a_licence_must_be_accepted_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    wanted = load_pack(str(folder)).licences
    with pytest.raises(LicenceError, match=r"--accept-licence MyLicence-1\.0"):
        licences.require("mine", wanted)
    licences.accept("Another-1.0")
    assert licences.missing(wanted) == ["MyLicence-1.0"]
    licences.accept("MyLicence-1.0")
    licences.require("mine", wanted)
    assert licences.accepted() == {"Another-1.0", "MyLicence-1.0"}


def test_models_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTENANCE_MODELS", "/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setattr(catalogue, "CHECKOUT", tmp_path / "checkout")
    assert model_folders() == [Path("/mine"), Path("/cache/countenance/models")]
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "pyproject.toml").write_text("")
    assert model_folders()[-1] == tmp_path / "shared" / "models" / "open"
