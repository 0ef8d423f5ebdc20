"""What thresholds and liveness rest on: calibrations in force, and a trial where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from pathlib import Path

from flask import Response, current_app

from face_engine.calibration import Calibration, CalibrationUnsupportedError, shipped
from service import policies as stored
from service import population
from service.console.frame import operations, page, show
from service.operators.liveness_trial import LivenessTrial, TrialError, read_trial
from service.operators.people import Role
from service.verification.policy import Policy

READERS = frozenset({Role.ADMIN, Role.AUDITOR, Role.SUPPORT})
WIDTH, HEIGHT, EDGE = 560.0, 180.0, 24.0


@dataclass(frozen=True, slots=True)
class Need:
    """A false match rate of the policy in force; ``threshold`` is None where the calibration
    cannot show it, which no service starts with."""

    fmr: float
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The points as SVG: similarity to the right, the rate's bound upwards, by powers of ten.
    ``marks`` are (x, y, rate) of what the policy asks for."""

    line: str
    marks: tuple[tuple[float, float, float], ...]
    decades: tuple[tuple[float, float], ...]
    from_: float
    until: float


@page("/calibration", READERS)
def calibration() -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        version, policy = stored.latest(conn, acts.keys.signing, now_ms=acts.clock())
        checks = population.latest(conn)
    found = sorted(shipped().values(), key=lambda each: each.pack)
    return show(
        "calibration.html",
        version=version,
        found=[(each, needs(each, policy), curve(each, policy)) for each in found],
        checks=checks,
        packs={each.model_id: each.pack for each in found},
    )


def needs(calibration: Calibration, policy: Policy) -> list[Need]:
    return [Need(fmr, _threshold(calibration, fmr)) for fmr in policy.rates]


def _threshold(calibration: Calibration, fmr: float) -> float | None:
    try:
        return calibration.threshold_for(fmr)
    except CalibrationUnsupportedError:
        return None


def curve(calibration: Calibration, policy: Policy) -> Curve | None:
    points = [(at, bound) for at, bound in calibration.points if bound > 0]
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    top, bottom = log10(points[0][1]), log10(points[-1][1])

    def x(at: float) -> float:
        return round(EDGE * 2 + (at - first) / (last - first) * (WIDTH - EDGE * 3), 1)

    def y(rate: float) -> float:
        return round(EDGE / 2 + (top - log10(rate)) / (top - bottom or 1) * (HEIGHT - EDGE * 2), 1)

    marks = [(each.threshold, each.fmr) for each in needs(calibration, policy) if each.threshold]
    decades = range(int(bottom) - (bottom < int(bottom)), int(top) + 1)
    return Curve(
        line=" ".join(f"{x(at)},{y(bound)}" for at, bound in points),
        marks=tuple((x(at), y(rate), rate) for at, rate in marks),
        decades=tuple((y(10.0**each), 10.0**each) for each in decades if bottom <= each <= top),
        from_=first,
        until=last,
    )


@page("/liveness", READERS)
def liveness() -> Response:
    """Nothing is shown that was not measured: without a file there are no figures."""
    path: Path | None = current_app.extensions["liveness_report"]
    trial: LivenessTrial | None = None
    wrong = False
    if path is not None:
        try:
            trial = read_trial(path)
        except TrialError:
            wrong = True
    return show("liveness.html", trial=trial, wrong=wrong, at_ms=_made_ms(path) if trial else None)


def _made_ms(path: Path | None) -> int | None:
    try:
        return int(path.stat().st_mtime * 1000) if path else None
    except OSError:
        return None
