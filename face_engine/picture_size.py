"""How large a picture file says it is, read from its header alone.

Guarantee: nothing is decoded, and no memory is taken beyond the bytes given; what is no such
header gives None.

Sources: ITU-T T.81 (JPEG), ISO/IEC 15948 (PNG), the GIF89a specification, the WebP container
specification (RFC 9649), Netpbm's pgm(5) and ppm(5), and Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import re
import struct
from struct import unpack_from

Size = tuple[int, int]

_PNM = re.compile(rb"P[2356](?:\s+|#[^\n]{0,200}\n)*(\d{1,9})(?:\s+|#[^\n]{0,200}\n)+(\d{1,9})\s")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END = frozenset({0xD9, 0xDA})


def read_size(content: bytes) -> Size | None:
    """(width, height) in pixels of a JPEG, PNG, GIF, BMP, WebP, PGM or PPM; else None."""
    try:
        for magic, read in _READERS.items():
            if content.startswith(magic):
                return read(content)
    except struct.error:
        return None
    return None


def _png(content: bytes) -> Size | None:
    width, height = unpack_from(">II", content, 16)
    return (width, height) if content[12:16] == b"IHDR" else None


def _gif(content: bytes) -> Size | None:
    width, height = unpack_from("<HH", content, 6)
    return width, height


def _bmp(content: bytes) -> Size | None:
    (header,) = unpack_from("<I", content, 14)
    width, height = unpack_from("<HH" if header == 12 else "<ii", content, 18)
    return abs(width), abs(height)


def _webp(content: bytes) -> Size | None:
    kind = content[8:16]
    if kind == b"WEBPVP8X":
        low_width, high_width, low_height, high_height = unpack_from("<HBHB", content, 24)
        return 1 + (high_width << 16 | low_width), 1 + (high_height << 16 | low_height)
    if kind == b"WEBPVP8L":
        (bits,) = unpack_from("<I", content, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"WEBPVP8 ":
        width, height = unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _pnm(content: bytes) -> Size | None:
    found = _PNM.match(content)
    return (int(found[1]), int(found[2])) if found else None


def _jpeg(content: bytes) -> Size | None:
    at = 2
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            return None
        (marker,) = unpack_from("B", content, at + 1)
        if marker in _JPEG_FRAMES:
            height, width = unpack_from(">HH", content, at + 5)
            return width, height
        if marker in _JPEG_END:
            return None
        if marker in {0x00, 0xFF} | _JPEG_ALONE:
            at += 1
            continue
        (length,) = unpack_from(">H", content, at + 2)
        at += 2 + length


_READERS = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"P2": _pnm,
    b"P3": _pnm,
    b"P5": _pnm,
    b"P6": _pnm,
}
