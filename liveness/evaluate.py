"""How often attacks pass and people fail: ISO/IEC 30107-3, over any presentations.

One attempt is one whole liveness check on simulated time: the clock is the frames' own, nothing
sleeps, and a face is looked at as a terminal looks at it. Accepted means the verdict *live*;
*undecided* asks again, so it is no acceptance and no rejection, and is counted by itself.

Guarantee: the counts depend on the attempts alone, never on their order or on this machine.
The caller must say which attempts are of which species, and must not tune a detector on the
people or recordings that it is then tested on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from statistics import median
from typing import Protocol

from face_engine.engine import Engine
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Face, Frame
from liveness.challenge import Colour, Move, Plan
from liveness.fuse import fuse
from liveness.session import FRAMES_MAX, LivenessSession, Progress
from liveness.types import Cue, Level, Observation, Outcome, Verdict

LIVE = "live"
CONFIDENCE = 0.95
BISECTIONS = 60
ONE_RUN = 0.001
PATIENCE_MS = 30_000


class Presentation(Protocol):
    """Somebody or something before a camera.

    Times are whole milliseconds of one clock that never runs back.
    """

    def follow(self, move: Move | None, at_ms: int, colour: Colour | None = None) -> None:
        """What the screen asks and shows from ``at_ms`` on."""

    def next_ms(self, after_ms: int) -> int | None:
        """When the frame after ``after_ms`` arrives; None after the last."""

    def frame(self, at_ms: int) -> Frame:
        """The frame of that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """``took_ms``: from the first frame to the verdict, on the frames' clock; ``cues``: each
    cue's outcome by name."""

    species: str
    outcome: Outcome
    took_ms: int
    frames: int
    cues: Mapping[str, Outcome]


OnFrame = Callable[[Frame, Progress], None]


def attempt(
    species: str,
    presentation: Presentation,
    engine: Engine,
    *,
    plan: Plan,
    level: Level,
    same_person_min: float,
    on_frame: OnFrame = lambda _frame, _progress: None,
) -> Result:
    """One liveness check, as a terminal drives it: until something is asked, a frame with a
    flaw begins it anew; who shows no usable face for ``PATIENCE_MS`` is undecided."""
    session = LivenessSession(plan, level, same_person_min)
    began_ms: int | None = None
    at_ms = 0
    while (next_ms := presentation.next_ms(at_ms)) is not None:
        at_ms = next_ms
        began_ms = at_ms if began_ms is None else began_ms
        frame = presentation.frame(at_ms)
        seen, flawed = _look(frame, engine, session, session.follow)
        if flawed and session.waiting:
            if at_ms - began_ms > PATIENCE_MS:
                break
            session = LivenessSession(plan, level, same_person_min)
            presentation.follow(None, at_ms)
            continue
        progress = session.observe(seen)
        on_frame(frame, progress)
        if progress.finished:
            break
        presentation.follow(progress.move, at_ms, progress.colour)
    verdict = session.verdict()
    return Result(
        species=species,
        outcome=verdict.outcome,
        took_ms=at_ms - (began_ms or 0),
        frames=session.frames,
        cues={cue.name: cue.outcome for cue in verdict.cues},
    )


def watch(
    species: str,
    recording: Presentation,
    engine: Engine,
    *,
    level: Level,
    same_person_min: float,
    assumed: frozenset[str],
) -> Result:
    """Looks at a whole recording, which follows no plan.

    Every stretch of frames without a flaw is one check, and the worst of them counts: an attack
    that passes once is accepted, a live person who is called an attack once is rejected.
    ``assumed`` are cues that are taken to say live, since a file cannot speak to them.
    """
    verdicts: list[Verdict] = []
    session = LivenessSession(Plan(()), level, same_person_min)
    frames, began_ms, at_ms = 0, None, 0

    def conclude() -> None:
        if session.frames:
            verdicts.append(_assume(session, engine, assumed))

    while (next_ms := recording.next_ms(at_ms)) is not None:
        at_ms = next_ms
        began_ms = at_ms if began_ms is None else began_ms
        seen, flawed = _look(recording.frame(at_ms), engine, session)
        frames += 1
        if not flawed:
            session.observe(seen)
        if flawed or session.frames == FRAMES_MAX:
            conclude()
            session = LivenessSession(Plan(()), level, same_person_min)
    conclude()
    every = [{cue.name: cue.outcome for cue in verdict.cues} for verdict in verdicts]
    names = {name for cues in every for name in cues} - assumed
    worst = (Outcome.ATTACK, Outcome.LIVE) if species == LIVE else (Outcome.LIVE, Outcome.ATTACK)
    return Result(
        species=species,
        outcome=_first_of(worst, [verdict.outcome for verdict in verdicts]),
        took_ms=at_ms - (began_ms or 0),
        frames=frames,
        cues={name: _first_of(worst, [cues.get(name) for cues in every]) for name in names},
    )


def _first_of(wanted: Sequence[Outcome], found: Sequence[Outcome | None]) -> Outcome:
    return next((outcome for outcome in wanted if outcome in found), Outcome.UNDECIDED)


def _look(
    frame: Frame, engine: Engine, session: LivenessSession, follow: Face | None = None
) -> tuple[Observation, bool]:
    """What a terminal sees in the frame, and whether it has a flaw."""
    pixels = frame.pixels
    if follow is not None:
        near = engine.follow(pixels, follow)
        return Observation(captured_at_ms=frame.captured_at_ms, faces=near, pixels=pixels), False
    faces = engine.detect(pixels)
    flawed = find_flaw(pixels, faces, PROBE) is not None
    embed = not flawed and session.wants_embedding
    seen = Observation(
        captured_at_ms=frame.captured_at_ms,
        faces=faces,
        pixels=pixels,
        passive=engine.passive(pixels, faces[0]) if faces else None,
        embedding=engine.embed(pixels, faces[0]) if embed else None,
    )
    return seen, flawed


def _assume(session: LivenessSession, engine: Engine, assumed: frozenset[str]) -> Verdict:
    cues = [
        Cue(name=cue.name, score=1.0, outcome=Outcome.LIVE) if cue.name in assumed else cue
        for cue in session.verdict().cues
    ]
    return fuse(cues, session.level, has_passive=engine.has_passive, has_colours=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacks:
    """``apcer`` is the attack presentation classification error rate: accepted over all."""

    attempts: int
    accepted: int
    undecided: int

    @property
    def apcer(self) -> float:
        return self.accepted / self.attempts

    @property
    def apcer_upper95(self) -> float:
        return upper_bound(self.accepted, self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BonaFide:
    """``bpcer`` is the bona fide presentation classification error rate: live people called an
    attack over all; ``undecided`` are its non-responses."""

    attempts: int
    rejected: int
    undecided: int

    @property
    def bpcer(self) -> float:
        return self.rejected / self.attempts if self.attempts else 0.0

    @property
    def bpcer_upper95(self) -> float:
        return upper_bound(self.rejected, self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CueShares:
    """The parts of the attempts that a cue called an attack, and that it could not tell."""

    attack: float
    undecided: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """``species`` are the attacks, worst first: the highest upper bound, then the most
    undecided."""

    species: Mapping[str, Attacks]
    live: BonaFide
    verdict_ms_p50: float | None
    results: tuple[Result, ...]

    def cues(self) -> dict[str, dict[str, CueShares]]:
        """For live people and each species, what each cue said how often."""
        names = [*([LIVE] if self.live.attempts else []), *self.species]
        return {name: self._cues_on(name) for name in names}

    def _cues_on(self, species: str) -> dict[str, CueShares]:
        found = [result.cues for result in self.results if result.species == species]

        def share(cue: str, outcome: Outcome) -> float:
            return sum(cues.get(cue) is outcome for cues in found) / len(found)

        return {
            cue: CueShares(
                attack=share(cue, Outcome.ATTACK), undecided=share(cue, Outcome.UNDECIDED)
            )
            for cue in sorted({name for cues in found for name in cues})
        }


def summarise(results: Iterable[Result]) -> Evaluation:
    everything = tuple(results)
    by_species: dict[str, list[Result]] = {}
    for result in everything:
        by_species.setdefault(result.species, []).append(result)
    live = by_species.pop(LIVE, [])
    attacks = {
        name: Attacks(
            attempts=len(found),
            accepted=count(found, Outcome.LIVE),
            undecided=count(found, Outcome.UNDECIDED),
        )
        for name, found in by_species.items()
    }
    worst_first = sorted(
        attacks, key=lambda name: (-attacks[name].apcer_upper95, -attacks[name].undecided, name)
    )
    passed_ms = [result.took_ms for result in live if result.outcome is Outcome.LIVE]
    return Evaluation(
        species={name: attacks[name] for name in worst_first},
        live=BonaFide(
            attempts=len(live),
            rejected=count(live, Outcome.ATTACK),
            undecided=count(live, Outcome.UNDECIDED),
        ),
        verdict_ms_p50=median(passed_ms) if passed_ms else None,
        results=everything,
    )


def count(results: Sequence[Result], outcome: Outcome) -> int:
    return sum(result.outcome is outcome for result in results)


def upper_bound(successes: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper limit of Clopper and Pearson (1934): the rate at which as few
    successes as these would be seen with probability ``1 - confidence``. 1.0 without trials."""
    if successes >= trials:
        return 1.0
    low, high = successes / trials, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _at_most(successes, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(successes: int, trials: int, rate: float) -> float:
    """P(X <= successes) for X binomial."""
    if rate <= 0.0:
        return 1.0
    orders = lgamma(trials + 1)
    return sum(
        exp(
            orders
            - lgamma(k + 1)
            - lgamma(trials - k + 1)
            + k * log(rate)
            + (trials - k) * log1p(-rate)
        )
        for k in range(successes + 1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessing:
    """An attacker who knows everything but the nonce, and plays recordings of a guessed plan.

    ``matched`` of ``tries`` drawn plans had the guessed moves and colours, out of ``plans``
    equally likely ones, and ``moved`` the moves alone; how long a move is held never stands in the
    attacker's way, since a recording may hold each for the longest time. ``right``, ``moves`` and
    ``wrong``: how often the best presentation passed of the right plan, of the right moves under
    other colours, and of another plan, all measured by whole attempts.
    """

    tries: int
    matched: int
    moved: int
    plans: int
    right: Attacks
    moves: Attacks
    wrong: Attacks

    @property
    def accepted(self) -> float:
        """How many of the tries pass, as expected from what was measured."""
        others = self.tries - self.matched - self.moved
        return (
            self.matched * self.right.apcer
            + self.moved * self.moves.apcer
            + others * self.wrong.apcer
        )

    @property
    def allowed(self) -> int:
        """As many as pure guessing matches, but for one run in a thousand."""
        matches = 0
        while _at_most(matches, self.tries, 1 / self.plans) < 1 - ONE_RUN:
            matches += 1
        return matches


def guess_plans(draw: Callable[[int], Plan], tries: int) -> tuple[int, int]:
    """How many of the plans drawn with 1 to ``tries`` are the one drawn with 0, and how many
    others have its moves.

    All plans are equally likely, so no guess is better than this one.
    """
    guess = draw(0)
    drawn = [draw(index) for index in range(1, tries + 1)]
    moved = [plan for plan in drawn if _moves(plan) == _moves(guess)]
    matched = sum(plan.colours == guess.colours for plan in moved)
    return matched, len(moved) - matched


def _moves(plan: Plan) -> tuple[Move, ...]:
    return tuple(step.move for step in plan.steps)
