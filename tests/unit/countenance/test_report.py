"""The report's verdict and charts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from countenance.report.charts import Axis, Chart, histogram
from countenance.report.faces import judge, percent
from countenance.trial import Working
from face_engine.evaluation import Rate


def trial(errors: int, low: float, high: float) -> Any:
    seen = Rate(errors=errors, comparisons=100_000, low=low, high=high)
    return SimpleNamespace(working=Working(fmr_asked=1e-4, threshold=0.5, fmr=seen, fnmr=seen))


@pytest.mark.parametrize(
    ("errors", "low", "high", "mood"),
    [
        (0, 0.0, 3e-5, "good"),
        (5, 1e-5, 1e-4, "good"),
        (5, 1e-5, 1.1e-4, "open"),
        (50, 1e-4, 1e-3, "open"),
        (50, 1.1e-4, 1e-3, "bad"),
    ],
)
def test_the_verdict_follows_the_interval(errors: int, low: float, high: float, mood: str) -> None:
    verdict = judge(trial(errors, low, high))
    assert verdict.mood == mood
    assert f"{errors} of 100,000" in verdict.reason


def test_without_a_calibration_nothing_is_promised() -> None:
    assert judge(SimpleNamespace(working=None)).mood == "open"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.0, "0 %"), (1.0, "100.00 %"), (0.0123, "1.23 %"), (5.26e-5, "0.0053 %")],
)
def test_rates_are_percentages(part: float, text: str) -> None:
    assert percent(part).replace("\u00a0", " ") == text


def test_axes_place_and_name_their_ticks() -> None:
    log, even = Axis(low=1e-4, high=1, log=True), Axis(low=-0.2, high=1.0)
    assert [label for _, label in log.ticks()] == ["1e-4", "0.1 %", "1 %", "10 %", "100 %"]
    assert log.place(1e-2) == pytest.approx(0.5)
    assert log.place(0.0) == 0.0
    assert [label for _, label in even.ticks()] == ["-0.2", "0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_labels_are_escaped() -> None:
    axis = Axis(low=0, high=1)
    chart = Chart(x=axis, y=axis, title='"<title>', x_label="<x>", y_label="<y>")
    chart.upright(0.5, "<b>", "threshold")
    drawn = str(chart.render())
    assert "<b>" not in drawn
    assert "<x>" not in drawn
    assert "&lt;title&gt;" in drawn


def test_a_histogram_of_one_score_is_drawn() -> None:
    drawn = str(histogram([(np.array([0.5]), "genuine")], title="t", x_label="x").render())
    assert "nan" not in drawn
    assert 'class="genuine"' in drawn
