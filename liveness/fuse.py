"""From cues to a verdict.

Guarantees: any attack found is an attack, however strong the other cues; a cue that the level
requires and that is missing or undecided leaves the verdict undecided, never live. Where the
passive network is missing or cannot tell, the level ``passive`` requires motion instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from liveness.types import Cue, Level, Outcome, Verdict

ALWAYS = frozenset({"continuity", "injection"})
MOTION = frozenset({"motion", "relief"})


def required(level: Level, *, has_passive: bool, has_colours: bool) -> frozenset[str]:
    """The cues that must say live. ``has_colours``: the plan has some to show."""
    if level is Level.NONE:
        return frozenset()
    passive = frozenset({"passive"} if has_passive else ())
    if level is Level.PASSIVE and has_passive:
        return ALWAYS | passive
    return ALWAYS | MOTION | passive | frozenset({"flash"} if has_colours else ())


def fuse(cues: Sequence[Cue], level: Level, *, has_passive: bool, has_colours: bool) -> Verdict:
    found = {cue.name: cue.outcome for cue in cues}
    needed = required(level, has_passive=has_passive, has_colours=has_colours)
    if level is not Level.NONE and Outcome.ATTACK in found.values():
        outcome = Outcome.ATTACK
    elif all(found.get(name) is Outcome.LIVE for name in needed):
        outcome = Outcome.LIVE
    else:
        outcome = Outcome.UNDECIDED
    return Verdict(outcome=outcome, cues=tuple(cues))
