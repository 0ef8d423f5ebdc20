"""Bad pictures, made here: each has one clear outcome."""

from __future__ import annotations

import io
import resource
import zlib
from pathlib import Path
from struct import pack

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from face_engine.engine import Engine
from face_engine.match import compare
from face_engine.picture_size import read_size
from face_engine.pictures import PIXELS_MAX, PictureError, decode_picture, read_picture
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Frame, Pixels

MEMORY_BYTES_MAX = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.open("pip")


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    return np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    done, content = cv2.imencode(suffix, pixels)
    assert done
    return content.tobytes()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def huge_png(side: int) -> bytes:
    """A few kilobytes that say they are ``side`` pixels square."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    header = pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".ppm", ".gif"])
def test_each_format_is_read_and_its_size_known_from_the_header(
    astronaut: Pixels, suffix: str
) -> None:
    content = encoded(astronaut[:300], suffix)
    assert read_size(content) == (512, 300)
    assert decode_picture(content, name="photo").shape == (300, 512, 3)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
def test_each_kind_of_webp(astronaut: Pixels, lossless: bool, transparent: bool) -> None:
    """VP8, VP8L and VP8X."""
    small = astronaut[:31, :64]
    image = Image.fromarray(np.dstack([small, small[..., 0]]) if transparent else small)
    assert read_size(saved(image, "WEBP", lossless=lossless)) == (64, 31)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(astronaut: Pixels, suffix: str, part: float) -> None:
    content = encoded(astronaut, suffix)
    with pytest.raises(PictureError, match=r"photo is (cut off|not a picture)"):
        decode_picture(content[: int(len(content) * part)], name="photo")


def test_a_file_with_a_damaged_middle_is_read_or_refused(astronaut: Pixels) -> None:
    content = bytearray(encoded(astronaut, ".png"))
    content[2000:2100] = bytes(100)
    with pytest.raises(PictureError, match="photo is damaged"):
        decode_picture(bytes(content), name="photo")


@pytest.mark.parametrize("side", [8_000, 20_000, 65_000, 2**31 - 1])
def test_a_huge_picture_is_refused_before_it_takes_memory(side: int) -> None:
    content = huge_png(side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match=f"has {side} x {side} pixels"):
        decode_picture(content, name="photo")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY_BYTES_MAX


def test_the_limit_itself_is_fair() -> None:
    assert 7_000 * 7_000 < PIXELS_MAX < 8_000 * 8_000


def test_one_pixel_has_no_face(engine: Engine) -> None:
    pixels = decode_picture(encoded(np.full((1, 1, 3), 7, np.uint8), ".png"), name="dot")
    assert pixels.shape == (1, 1, 3)
    assert engine.detect(pixels) == ()


def test_depth_and_colours_do_not_matter(engine: Engine, astronaut: Pixels) -> None:
    grey = cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY)
    rgb = Image.fromarray(np.ascontiguousarray(astronaut[..., ::-1]))
    variants = {
        "16 bit": encoded(astronaut.astype(np.uint16) * 257, ".png"),
        "16 bit grey": encoded(grey.astype(np.uint16) * 257, ".png"),
        "grey": encoded(grey, ".png"),
        "grey jpeg": encoded(grey, ".jpg"),
        "pgm": encoded(grey, ".pgm"),
        "rgba": encoded(np.dstack([astronaut, np.zeros_like(grey)]), ".png"),
        "palette": saved(rgb.convert("P"), "PNG"),
        "cmyk": saved(rgb.convert("CMYK"), "JPEG", quality=95),
        "progressive": saved(rgb, "JPEG", quality=95, progressive=True),
    }
    (face,) = engine.detect(astronaut)
    reference = engine.embed(astronaut, face)
    for name, content in variants.items():
        pixels = decode_picture(content, name=name)
        assert pixels.shape == astronaut.shape, name
        assert pixels.dtype == np.uint8, name
        (found,) = engine.detect(pixels)
        assert np.abs(found.landmarks - face.landmarks).max() < 4, name
        assert compare(reference, engine.embed(pixels, found)) > 0.95, name


def test_of_an_animation_the_first_picture_counts(astronaut: Pixels) -> None:
    first = Image.fromarray(np.ascontiguousarray(astronaut[..., ::-1]))
    content = saved(first, "GIF", save_all=True, append_images=[first.rotate(90)] * 3, loop=0)
    pixels = decode_picture(content, name="animation")
    assert np.abs(pixels.astype(int) - astronaut).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(astronaut: Pixels, orientation: int) -> None:
    """Orientation n: the stored picture is the upright one, mirrored or turned (EXIF 2.32)."""
    upright = np.ascontiguousarray(astronaut[:300])
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored[..., ::-1]))
    pixels = decode_picture(saved(image, "JPEG", quality=98, exif=exif), name="phone")
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 4


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_heic_says_that_it_is_not_supported(brand: bytes) -> None:
    with pytest.raises(PictureError, match="not supported: save it as JPEG"):
        decode_picture(b"\0\0\0\x18ftyp" + brand + bytes(100), name="phone.heic")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"GIF8", b"BM", b"RIFF0000WEBP", b"P5", b"\xff\xd8\xff", b"II*\0", b"%PDF-1.7"],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(PictureError, match="is not a picture that can be read here"):
        decode_picture(content, name="file")


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "photo.jpg")
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    with pytest.raises(PictureError, match="larger than 32 MiB"):
        read_picture(tmp_path / "large.jpg")


STARTS = [b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBPVP8X", b"P5 1"]


@settings(max_examples=300)
@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_no_header_crashes_the_reader(start: bytes, rest: bytes) -> None:
    size = read_size(start + rest)
    assert size is None or all(side >= 0 for side in size)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([".jpg", ".png", ".bmp", ".webp", ".gif"]), st.data())
def test_a_damaged_file_is_read_or_refused(suffix: str, data: st.DataObject) -> None:
    content = bytearray(encoded(np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3), suffix))
    for _ in range(4):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_picture(bytes(content), name="damaged")
    except PictureError:
        return
    assert pixels.shape[2] == 3


def test_a_frame_of_numbers_that_are_none_is_refused(engine: Engine) -> None:
    nothing = np.full((480, 640, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="uint8"):
        Frame(pixels=nothing, captured_at_ms=0)
    with pytest.raises(ValueError, match="uint8"):
        engine.detect(nothing)
    for shape in ((480, 640), (480, 640, 4), (0, 640, 3)):
        with pytest.raises(ValueError, match="a picture is"):
            engine.detect(np.zeros(shape, np.uint8))


def test_no_face_and_many_faces_are_told(engine: Engine, astronaut: Pixels) -> None:
    empty = np.ascontiguousarray(skimage.data.coffee()[..., ::-1])
    assert engine.detect(empty) == ()
    head = cv2.resize(astronaut[20:230, 120:330], (160, 160), interpolation=cv2.INTER_AREA)
    crowd = np.tile(head, (5, 8, 1))
    faces = engine.detect(crowd)
    assert len(faces) == 40
    assert find_flaw(crowd, faces, PROBE) is not None


def test_a_face_beside_a_larger_one_is_found(engine: Engine, astronaut: Pixels) -> None:
    """A look at which the larger face alone is found must not be the last."""
    for scale in (0.5, 0.6, 0.8):
        pixels = np.full((480, 640, 3), 110, np.uint8)
        head = astronaut[20:230, 120:330]
        pixels[120:330, 40:250] = head
        small = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels[150 : 150 + len(small), 400 : 400 + len(small)] = small
        assert len(engine.detect(pixels)) == 2


def test_a_painting_of_a_face_is_a_face(engine: Engine, astronaut: Pixels) -> None:
    """Whether it is alive is for liveness to say."""
    painting = cv2.stylization(astronaut, sigma_s=40, sigma_r=0.4).astype(np.uint8)
    (face,) = engine.detect(painting)
    assert engine.embed(painting, face).vector.size == 128


def test_a_face_that_the_border_cuts_is_told(engine: Engine, astronaut: Pixels) -> None:
    for cut in (astronaut[130:], astronaut[:, 222:], np.ascontiguousarray(astronaut[:, :205])):
        assert find_flaw(cut, engine.detect(cut), PROBE) is not None
