"""The passive network's word over several frames.

Guarantee: no verdict from fewer than ``FRAMES_MIN`` frames; a middling median is undecided.
Limits: the network was trained on others' data; what it misses is measured, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from liveness.types import Cue, Outcome

FRAMES_MIN = 5
LIVE_MIN = 0.7
ATTACK_MAX = 0.15


def passive_cue(scores: Sequence[float]) -> Cue | None:
    """None where the pack has no passive network."""
    if not scores:
        return None
    middle = median(scores)
    outcome = Outcome.UNDECIDED
    if len(scores) >= FRAMES_MIN and middle >= LIVE_MIN:
        outcome = Outcome.LIVE
    elif len(scores) >= FRAMES_MIN and middle <= ATTACK_MAX:
        outcome = Outcome.ATTACK
    return Cue(name="passive", score=middle, outcome=outcome)
