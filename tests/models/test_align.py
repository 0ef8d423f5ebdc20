from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from face_engine.align import halvings, similarity, warp

SIDE_PX = 128


@pytest.mark.parametrize(
    ("scale", "factor"), [(3.0, 1), (1.0, 1), (0.51, 1), (0.5, 2), (0.26, 2), (0.1, 8), (0.0, 512)]
)
def test_reduced_by_area_until_a_linear_warp_skips_nothing(scale: float, factor: int) -> None:
    assert halvings(scale) == factor


@pytest.mark.parametrize("scale", [2.0, 0.7, 0.3, 0.11])
@pytest.mark.parametrize("degrees", [0, 33])
def test_a_reduced_view_lies_where_the_whole_one_would(scale: float, degrees: float) -> None:
    """Beside the same warp of a picture that is so smooth that nothing can be skipped."""
    smooth = cv2.GaussianBlur(skimage.data.astronaut(), (0, 0), 25)
    turn = cv2.getRotationMatrix2D((220, 130), degrees, scale)
    motion = turn + np.array([[0, 0, SIDE_PX / 2 - 220], [0, 0, SIDE_PX / 2 - 130]])
    plain = cv2.warpAffine(smooth, motion, (SIDE_PX, SIDE_PX))
    inside = cv2.warpAffine(np.ones(smooth.shape[:2], np.uint8), motion, (SIDE_PX, SIDE_PX))
    inside = cv2.erode(inside, np.ones((5, 5))).astype(bool)
    off = np.abs(warp(smooth, motion, SIDE_PX).astype(int) - plain)[inside]
    assert off.max() <= 3


def test_fine_texture_does_not_turn_into_noise() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    motion = np.array([[0.22, 0, 3.3], [0, 0.22, 1.7]])
    middle = warp(stripes, motion, SIDE_PX)[20:80, 20:80]
    assert middle.astype(int).std() < 2
    assert abs(float(middle.mean()) - 127.5) < 2


def test_points_in_one_place_have_no_similarity() -> None:
    with pytest.raises(ValueError, match="one place"):
        similarity(np.zeros((5, 2)), np.eye(5, 2))
