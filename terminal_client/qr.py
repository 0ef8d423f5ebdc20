"""A claim from a QR code that is held before the camera: ``qr:…``, or a badge's bits.

A picture of somebody's code is as good as the code: it only says who claims to be there.
"""

from __future__ import annotations

from functools import cache

import cv2

from face_engine.types import Pixels
from terminal_client.enrolment import check_claim
from terminal_client.errors import UsageError

KINDS = ("qr:", "badge:")


@cache
def _detector() -> cv2.QRCodeDetector:
    return cv2.QRCodeDetector()


def read_claim(pixels: Pixels) -> str | None:
    """The claim of the one code that is seen; None for none, or for what is no claim."""
    try:
        text, _, _ = _detector().detectAndDecode(pixels)
    except (cv2.error, UnicodeDecodeError):
        return None
    text = text.strip()
    if not text or not text.isprintable():
        return None
    try:
        return check_claim(text if text.startswith(KINDS) else f"qr:{text}")
    except UsageError:
        return None
