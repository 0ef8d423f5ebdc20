"""The report of a trial on faces: verdict first, then what it rests on.

Guarantee: one HTML file that loads nothing from elsewhere and runs nothing.

The caller must still treat it as personal data: it holds pictures of the people measured.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from countenance.report.charts import Axis, Chart, histogram
from countenance.trial import Pair, Trial
from face_engine.corpus import Missed, Sample, digest
from face_engine.evaluation import BOOTSTRAPS, RULE_OF_3, RULE_OF_30, Rate, Support
from face_engine.pictures import PictureError
from face_engine.types import Pixels

THUMBNAIL_PX = 144
MARGIN = 0.45
MISSED_SHOWN = 24
NO_PICTURE = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), 225, np.uint8)
LIBRARIES = ("countenance", "numpy", "onnxruntime", "opencv-python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``mood`` is good, open or bad."""

    mood: str
    headline: str
    reason: str


def render(trial: Trial) -> str:
    """The whole HTML document."""
    environment = Environment(
        loader=PackageLoader("countenance", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "rate": rate,
        "interval": interval,
        "power": power,
        "percent": percent,
        "percentile": lambda values, level: float(np.percentile(values, level)),
    }
    return environment.get_template("faces.html.j2").render(
        trial=trial,
        evaluation=trial.evaluation,
        roster=trial.corpus.roster,
        verdict=judge(trial),
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        det=det_chart(trial),
        scores=score_chart(trial),
        worst=[
            ("Same person, lowest scores", True, _faces(trial.worst_genuine)),
            ("Different people, highest scores", False, _faces(trial.worst_impostor)),
        ],
        missed=[(one, _data_uri(_whole(one))) for one in trial.corpus.missed[:MISSED_SHOWN]],
        several=sum(sample.faces > 1 for sample in trial.corpus.samples),
        digest=digest(trial.corpus.roster.pictures),
        versions=[(name, version(name)) for name in LIBRARIES],
        bootstraps=BOOTSTRAPS,
        unsupported=Support.NONE,
    )


def judge(trial: Trial) -> Verdict:
    """Whether the pack's own threshold keeps its false match rate on these people."""
    working = trial.working
    if working is None:
        return Verdict(
            mood="open",
            headline="This pack has no calibration to judge",
            reason="The figures below are measured on these people alone: a threshold chosen "
            "here has not been tried on anybody else.",
        )
    seen = working.fmr
    asked = f"1 in {1 / working.fmr_asked:,.0f} ({power(working.fmr_asked)})"
    counted = f"{seen.errors:,} of {seen.comparisons:,} comparisons of different people matched"
    bounds = f"95 % interval of the false match rate: {interval(seen)}"
    if seen.high <= working.fmr_asked:
        headline = f"The shipped threshold keeps its false match rate of {asked}"
        return Verdict(mood="good", headline=headline, reason=f"{counted}. {bounds}.")
    if seen.low <= working.fmr_asked:
        return Verdict(
            mood="open",
            headline=f"Nothing speaks against the promised false match rate of {asked}",
            reason=f"{counted}. {bounds}. These people are too few to show that by themselves: it "
            f"takes {RULE_OF_3 / working.fmr_asked:,.0f} comparisons without a match.",
        )
    return Verdict(
        mood="bad",
        headline=f"The shipped threshold does not keep its false match rate of {asked}",
        reason=f"{counted}. {bounds}. Make a calibration from people like these before use: "
        "countenance calibrate.",
    )


def det_chart(trial: Trial) -> Markup:
    curve, impostors = trial.evaluation.curve, len(trial.impostor)
    least_fmr = 10 ** np.floor(np.log10(1 / impostors))
    least_fnmr = 10 ** np.floor(np.log10(1 / len(trial.genuine)))
    most_fnmr = 10 ** np.ceil(np.log10(max(0.1, float(curve.fnmr_high[curve.fmr > 0].max()))))
    chart = Chart(
        x=Axis(low=float(least_fmr), high=1, log=True),
        y=Axis(low=float(least_fnmr), high=float(most_fnmr), log=True),
        title="Detection error trade-off",
        x_label="false match rate (FMR)",
        y_label="false non-match rate (FNMR)",
    )
    weak, counted = RULE_OF_3 / impostors, RULE_OF_30 / impostors
    chart.area(float(least_fmr), weak, "not supported", "unsupported")
    chart.area(weak, min(counted, 1.0), "weak", "weak")
    seen = curve.fmr > 0
    fmr = curve.fmr[seen]
    chart.band(fmr, curve.fnmr_low[seen], curve.fnmr_high[seen], "band")
    chart.line(fmr, curve.fnmr[seen], "curve")
    for point in trial.evaluation.points:
        if point.support is not Support.NONE:
            chart.dot(point.fmr.value, point.fnmr.value, rate(point.fnmr), "point")
    return chart.render()


def score_chart(trial: Trial) -> Markup:
    chart = histogram(
        [(trial.impostor.scores, "impostor"), (trial.genuine.scores, "genuine")],
        title="Scores of the two kinds of comparison",
        x_label="score (cosine similarity)",
    )
    if trial.working is not None:
        chart.upright(trial.working.threshold, "shipped threshold", "threshold")
    else:
        point = trial.evaluation.points[1]
        chart.upright(point.threshold, f"FMR {power(point.fmr_asked)} here", "threshold")
    return chart.render()


def rate(value: Rate) -> str:
    return percent(value.value)


def interval(value: Rate) -> str:
    return f"{percent(value.low)} to {percent(value.high)}"


def percent(part: float) -> str:
    """Two decimals, or two digits where those would show none."""
    if not part:
        return "0\u00a0%"
    return f"{100 * part:.2f}\u00a0%" if part >= 1e-3 else f"{100 * part:.2g}\u00a0%"


def power(fmr: float) -> str:
    """As policies write it: 1e-4."""
    return f"1e-{round(-np.log10(fmr))}"


def _faces(pairs: Sequence[Pair]) -> list[tuple[Pair, str, str]]:
    return [(pair, _data_uri(_crop(pair.one)), _data_uri(_crop(pair.two))) for pair in pairs]


def _crop(sample: Sample) -> Pixels:
    try:
        pixels = sample.picture.read()
    except PictureError:
        return NO_PICTURE
    left, top, right, bottom = sample.face.box
    side = max(sample.face.width, sample.face.height) * (1 + MARGIN)
    x, y = (left + right) / 2 - side / 2, (top + bottom) / 2 - side / 2
    height, width = pixels.shape[:2]
    part = pixels[
        max(0, int(y)) : min(height, int(y + side)), max(0, int(x)) : min(width, int(x + side))
    ]
    return cv2.resize(part, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )


def _whole(missed: Missed) -> Pixels:
    try:
        pixels = missed.picture.read()
    except PictureError:
        return NO_PICTURE
    scale = THUMBNAIL_PX / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _data_uri(pixels: Pixels) -> str:
    _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"data:image/jpeg;base64,{b64encode(content.tobytes()).decode()}"
