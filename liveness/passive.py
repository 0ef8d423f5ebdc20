"""What a picture tells by itself: the passive network's word over several frames.

Guarantee: no verdict from fewer than ``FRAMES_MIN`` frames; a middling median is undecided.
Limits: the network was trained on others' data; what it misses is measured, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from liveness.types import Cue, Observation, Outcome

FRAMES_MIN = 5
# Where the network decides alone, and where motion, relief and flash must say live, too.
ALONE_LIVE_MIN, BESIDE_LIVE_MIN = 0.7, 0.4
ATTACK_MAX = 0.15


@dataclass(slots=True)
class PassiveTracker:
    """Feed it the frames that are not lit by a colour."""

    live_min: float = ALONE_LIVE_MIN
    _scores: list[float] = field(default_factory=list)

    @property
    def has_network(self) -> bool:
        return bool(self._scores)

    @property
    def enough(self) -> bool:
        return not self._scores or len(self._scores) >= FRAMES_MIN

    def observe(self, seen: Observation) -> None:
        if seen.passive is not None:
            self._scores.append(seen.passive)

    def cue(self) -> Cue | None:
        """None where the pack has no passive network."""
        if not self._scores:
            return None
        middle = median(self._scores)
        outcome = Outcome.UNDECIDED
        if len(self._scores) >= FRAMES_MIN and middle >= self.live_min:
            outcome = Outcome.LIVE
        elif len(self._scores) >= FRAMES_MIN and middle <= ATTACK_MAX:
            outcome = Outcome.ATTACK
        return Cue(name="passive", score=middle, outcome=outcome)
