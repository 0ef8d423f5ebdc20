"""The report of a liveness trial."""

from __future__ import annotations
from countenance.liveness_trial import Trial


def render(trial: Trial) -> str:
    return ""
