"""Every reader of the face engine: the named error or a value, within bounded memory."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from importlib.resources import files

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from face_engine.calibration import Calibration
from face_engine.catalogue import Pack, pack_names, parse_pack
from face_engine.dlib_convert import Reader, convert
from face_engine.errors import ModelFileError, PackFileError
from face_engine.pictures import PIXELS_MAX, PictureError, decode_picture
from tests.models.conftest import dlib_models, dlib_weights

__all__ = ["dlib_models", "dlib_weights"]

PACKS = [
    files("face_engine").joinpath("packs", f"{name}.toml").read_text() for name in pack_names()
]
CALIBRATIONS = [
    files("face_engine").joinpath("packs", f"{name}.calibration.json").read_text()
    for name in pack_names()
]


@given(data=st.data(), text=st.sampled_from(PACKS))
@settings(max_examples=300, deadline=None)
def test_a_pack_is_read_or_refused(data: st.DataObject, text: str) -> None:
    lines = text.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    values = st.sampled_from(["1", "1.5", "true", "[]", "{}", '""', '"x"', "inf", "", "1" * 5000])
    name = lines[at].partition(" = ")[0]
    lines[at] = data.draw(values.map(lambda value: f"{name} = {value}") | st.text(max_size=20))
    try:
        pack = parse_pack("\n".join(lines))
    except PackFileError:
        return
    assert isinstance(pack, Pack)
    assert len(pack.model_id) == 16
    assert all(isinstance(each.file, str) for each in pack.weights)


@pytest.mark.parametrize("text", ["", "x", "[" * 100_000, "a = " + "[" * 100_000, "detector = 1"])
def test_what_is_no_pack_is_refused(text: str) -> None:
    with pytest.raises(PackFileError):
        parse_pack(text)


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@given(data=st.data(), text=st.sampled_from(CALIBRATIONS))
@settings(max_examples=300, deadline=None)
def test_a_calibration_is_read_or_refused(data: st.DataObject, text: str) -> None:
    document = json.loads(text)
    name = data.draw(st.sampled_from(sorted(document)))
    points = st.lists(st.lists(NUMBERS, max_size=3), max_size=4)
    document[name] = data.draw(NUMBERS | points | st.just(10**400))
    try:
        found = Calibration.parse(json.dumps(document))
    except ValueError:
        return
    assert all(np.isfinite(point).all() for point in found.points)
    assert isinstance(found.dimensions, int)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"model_id": 1}', "NaN"])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"calibration|Expecting|whole"):
        Calibration.parse(text)


def pictures() -> list[bytes]:
    pixels = np.random.default_rng(1).integers(0, 255, (24, 31, 3), np.uint8)
    suffixes = (".jpg", ".png", ".bmp", ".webp", ".ppm")
    return [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in suffixes]


PICTURES = pictures()


@given(data=st.data(), picture=st.sampled_from(PICTURES))
@settings(max_examples=600, deadline=None)
def test_a_picture_is_read_or_refused(data: st.DataObject, picture: bytes) -> None:
    raw = bytearray(picture)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw), 200) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    try:
        pixels = decode_picture(bytes(raw[:cut]), name="picture")
    except PictureError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.shape[0] * pixels.shape[1] <= PIXELS_MAX


@given(raw=st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_that_are_no_picture_are_refused(raw: bytes) -> None:
    with pytest.raises(PictureError):
        decode_picture(raw, name="picture")


def bomb(width: int, height: int) -> bytes:
    """A PNG of one colour: a few hundred kilobytes that stand for gigabytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


PEAK = """
import resource, sys
from face_engine.pictures import PictureError, decode_picture
raw, before = sys.stdin.buffer.read(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_picture(raw, name="bomb")
except PictureError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_small_file_that_stands_for_many_pixels_takes_no_memory() -> None:
    raw = bomb(9000, 9000)
    run = subprocess.run([sys.executable, "-c", PEAK], input=raw, capture_output=True, check=True)
    assert int(run.stdout) < 64 * 1024, "KiB more than before"


@given(raw=st.binary(max_size=40))
@settings(max_examples=400, deadline=None)
def test_dlib_values_are_read_or_refused(raw: bytes) -> None:
    for read in (Reader.integer, Reader.real, Reader.text, Reader.tensor, Reader.alias):
        try:
            read(Reader(raw))
        except ModelFileError:
            continue


def test_a_dlib_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ModelFileError):
        Reader(bytes([8] + [255] * 8 + [2, 0x4C, 4])).real()


@given(raw=st.binary(max_size=400))
@settings(deadline=None)
def test_bytes_that_are_no_dlib_network_are_refused(raw: bytes) -> None:
    with pytest.raises(ModelFileError):
        convert(raw)


class Recorder(Reader):
    """Notes where the file's structure stands: all but the long runs of weights."""

    small: list[int]

    def take(self, size: int) -> bytes:
        if size <= 64:
            self.small.extend(range(self.at, self.at + size))
        return super().take(size)


@pytest.fixture(scope="module")
def structure(dlib_weights: bytes) -> list[int]:
    with pytest.MonkeyPatch.context() as patch:
        Recorder.small = []
        patch.setattr("face_engine.dlib_convert.Reader", Recorder)
        convert(dlib_weights)
    return Recorder.small


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_dlib_network_with_a_changed_byte_is_read_or_refused(
    data: st.DataObject, dlib_weights: bytes, structure: list[int]
) -> None:
    at = data.draw(st.sampled_from(structure))
    raw = dlib_weights[:at] + bytes([data.draw(st.integers(0, 255))]) + dlib_weights[at + 1 :]
    try:
        convert(raw[: data.draw(st.sampled_from([len(raw), at, len(raw) - 1]))])
    except ModelFileError:
        return
