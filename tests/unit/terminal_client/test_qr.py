from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_engine.types import Pixels
from terminal_client.qr import read_claim


def picture(text: str) -> Pixels:
    """A code in a grey frame, as a camera would see it."""
    code = cv2.QRCodeEncoder.create().encode(text)
    code = cv2.resize(code, (240, 240), interpolation=cv2.INTER_NEAREST)
    frame = np.full((480, 640), 200, np.uint8)
    frame[120:360, 200:440] = code
    return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("abc-123", "qr:abc-123"),
        ("qr:abc-123", "qr:abc-123"),
        ("badge:26-0a1b2c40", "badge:26-0a1b2c40"),
        ("card:4000", "qr:card:4000"),
        ("x" * 200, None),
        ("a\nb", None),
        (" ", None),
    ],
)
def test_a_code_is_a_claim_of_its_own_kind(text: str, claim: str | None) -> None:
    assert read_claim(picture(text)) == claim


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 479))
@settings(max_examples=40, deadline=None)
def test_a_code_that_is_cut_or_noisy_is_read_right_or_not_at_all(seed: int, cut: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (480, 640, 3), np.uint8)
    frame = picture("abc-123")
    frame[:cut] = noise[:cut]
    assert read_claim(frame) in (None, "qr:abc-123")
