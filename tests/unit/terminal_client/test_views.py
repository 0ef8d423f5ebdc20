"""Which views of a capture become references, and which the probe."""

from __future__ import annotations

import numpy as np
import pytest

from face_engine.templates import Candidate, Disagreement
from face_engine.types import Embedding
from terminal_client.views import VIEWS_MAX, Views

SAME_MIN, REFERENCE_MIN = 0.5, 0.8


def view(like: float = 1.0, *, yaw_deg: float = 0.0, quality: float = 50.0) -> Candidate:
    """``like``: the cosine with ``view()``; what is left over differs with the angle."""
    vector = np.zeros(64, np.float32)
    vector[0], vector[1 + int(abs(yaw_deg))] = like, np.sqrt(1 - like**2)
    return Candidate(
        embedding=Embedding(vector=vector, model_id=b"m" * 16),
        quality=quality,
        yaw_deg=yaw_deg,
        pitch_deg=0.0,
    )


@pytest.fixture
def views() -> Views:
    return Views(same_person_min=SAME_MIN, reference_min=REFERENCE_MIN)


def test_without_a_view_towards_the_camera_there_is_nothing(views: Views) -> None:
    views.add(view(), turned=True)
    assert views.references() is None
    assert views.probe() is None


def test_turned_heads_become_references_only_where_they_agree_with_all(views: Views) -> None:
    views.add(view(), turned=False)
    views.add(view(0.95, yaw_deg=20), turned=True)
    views.add(view(0.75, yaw_deg=30), turned=True)
    found = views.references()
    assert isinstance(found, tuple)
    assert [round(float(each.vector[0]), 2) for each in found] == [1.0, 0.95]


def test_a_turned_head_is_no_part_of_a_probe(views: Views) -> None:
    views.add(view(), turned=False)
    views.add(view(0.9, yaw_deg=20), turned=True)
    found = views.probe()
    assert isinstance(found, Embedding)
    assert found.vector[0] == pytest.approx(1.0)


def test_the_better_view_weighs_more(views: Views) -> None:
    views.add(view(quality=90), turned=False)
    views.add(view(0.8, yaw_deg=1, quality=10), turned=False)
    found = views.probe()
    assert isinstance(found, Embedding)
    assert found.vector[0] > 0.98


def test_two_people_towards_the_camera_are_told(views: Views) -> None:
    views.add(view(), turned=False)
    views.add(view(0.1), turned=False)
    assert isinstance(views.references(), Disagreement)
    assert isinstance(views.probe(), Disagreement)


def test_their_number_has_a_bound_and_nothing_is_kept(views: Views) -> None:
    for _ in range(VIEWS_MAX + 5):
        views.add(view(), turned=False)
    assert views.full
    assert "vector" not in repr(views)
    views.clear()
    assert views.probe() is None
    assert not views.full
