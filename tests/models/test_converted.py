"""The networks that are made on first use: kept, checked, and made anew."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from face_engine import converted
from face_engine.catalogue import Weights, load_pack
from face_engine.converted import kept_path, read_network
from face_engine.engine import Engine
from face_engine.errors import ModelFileError, PackFileError
from face_engine.match import compare


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """CenterFace's, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return load_pack("pip").detector


def never(_: Weights) -> bytes:
    raise AssertionError("converted again")


def test_a_network_is_made_once(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    network = read_network(weights)
    assert kept_path(weights).read_bytes() == network
    assert [path.name for path in kept_path(weights).parent.iterdir()] == [
        f"{weights.converted}.onnx"
    ]
    monkeypatch.setattr(converted, "convert", never)
    assert read_network(weights) == network


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_a_damaged_kept_network_is_made_anew(weights: Weights, damage: bytes | None) -> None:
    network = read_network(weights)
    kept_path(weights).write_bytes(network[:-1] + b"x" if damage is None else damage)
    assert read_network(weights) == network
    assert kept_path(weights).read_bytes() == network


def test_where_nothing_can_be_kept_it_works_from_memory(weights: Weights, tmp_path: Path) -> None:
    (tmp_path / "countenance").write_bytes(b"a file where the folder should be")
    assert sha256(read_network(weights)).hexdigest() == weights.converted
    assert not kept_path(weights).exists()


def test_a_network_with_other_bytes_is_used_but_not_kept(weights: Weights) -> None:
    other = replace(weights, converted="0" * 64)
    assert read_network(other) == read_network(weights)
    assert not kept_path(other).exists()


def test_a_file_that_is_no_network_is_one_clear_error(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "centerface.onnx").write_bytes(b"half a file")
    monkeypatch.setenv("COUNTENANCE_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        read_network(weights)


@pytest.mark.parametrize("name", ["pip", "pip-int8"])
def test_this_machine_makes_the_networks_that_the_packs_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for weights in load_pack(name).weights:
        read_network(weights)
        assert kept_path(weights).is_file(), weights.kind


def test_the_8_bit_network_says_nearly_the_same() -> None:
    pixels = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    whole, small = Engine.open("pip"), Engine.open("pip-int8")
    (face,) = whole.detect(pixels)
    exact, rounded = whole.embed(pixels, face), small.embed(pixels, face)
    assert whole.model_id != small.model_id
    assert compare(exact, replace(rounded, model_id=exact.model_id)) > 0.99


def test_a_kept_network_is_opened_without_onnx(tmp_path: Path) -> None:
    """And without insightface, skimage and rich: a terminal starts fast."""
    for name in ("pip", "pip-int8"):
        Engine.open(name)
    code = (
        "import sys; from face_engine.engine import Engine; Engine.open('pip'); "
        "Engine.open('pip-int8'); "
        "print([m for m in ('onnx', 'insightface', 'skimage', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "centerface"', 'kind = "magic"', "no detector is of the kind 'magic'"),
        ('alignment = "dlib"', 'alignment = "magic"', "no alignment is called 'magic'"),
    ],
)
def test_a_kind_that_does_not_exist_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    root = Path(__file__).parents[2] / "face_engine" / "packs"
    text = (root / "pip.toml").read_text()
    assert old in text
    (tmp_path / "pack.toml").write_text(text.replace(old, new))
    for weights in load_pack("pip").weights:
        (tmp_path / weights.file).write_bytes(weights.read())
    with pytest.raises(PackFileError, match=message):
        Engine.open(str(tmp_path))
