"""From cues to a verdict.

Guarantees: any attack found is an attack, however strong the other cues; a cue that the level
requires and that is missing or undecided leaves the verdict undecided, never live. Where the
pack has no passive network, the level ``passive`` requires the motion instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from liveness.types import Cue, Level, Outcome, Verdict


def required(level: Level, *, has_passive: bool) -> frozenset[str]:
    """The cues that must say live."""
    if level is Level.NONE:
        return frozenset()
    if level is Level.PASSIVE:
        return frozenset({"continuity", "passive" if has_passive else "motion"})
    return frozenset({"continuity", "motion", *(["passive"] if has_passive else [])})


def fuse(cues: Sequence[Cue], level: Level) -> Verdict:
    """``cues`` without one named ``passive`` means that there is no passive network."""
    found = {cue.name: cue.outcome for cue in cues}
    needed = required(level, has_passive="passive" in found)
    if level is not Level.NONE and Outcome.ATTACK in found.values():
        outcome = Outcome.ATTACK
    elif all(found.get(name) is Outcome.LIVE for name in needed):
        outcome = Outcome.LIVE
    else:
        outcome = Outcome.UNDECIDED
    return Verdict(outcome=outcome, cues=tuple(cues))
