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
from face_engine.types import Frame
from liveness.challenge import Colour, Move, Plan
from liveness.session import LivenessSession
from liveness.types import Level, Observation, Outcome

LIVE = "live"
CONFIDENCE = 0.95
BISECTIONS = 60
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
    """``took_ms``: from the first frame to the verdict, on the frames' clock. ``cues`` are the
    outcomes by name.."""

    species: str
    outcome: Outcome
    took_ms: int
    frames: int
    cues: Mapping[str, Outcome]
    scores: Mapping[str, float]


def attempt(
    species: str,
    presentation: Presentation,
    engine: Engine,
    *,
    plan: Plan,
    level: Level,
    same_person_min: float,
) -> Result:
    """One liveness check. Frames with a flaw are passed over until the plan begins, as a
    terminal does; who shows no usable face for ``PATIENCE_MS`` is undecided."""
    session = LivenessSession(plan, level, same_person_min)
    began_ms = at_ms = 0
    while (next_ms := presentation.next_ms(at_ms)) is not None:
        at_ms = next_ms
        began_ms = began_ms or at_ms
        frame = presentation.frame(at_ms)
        faces = engine.detect(frame.pixels)
        flawed = find_flaw(frame.pixels, faces, PROBE) is not None
        if session.waiting and flawed:
            if at_ms - began_ms > PATIENCE_MS:
                break
            session = LivenessSession(plan, level, same_person_min)
            presentation.follow(None, at_ms)
            continue
        embed = session.wants_embedding and not flawed
        progress = session.observe(
            Observation(
                captured_at_ms=at_ms,
                faces=faces,
                pixels=frame.pixels,
                passive=engine.passive(frame.pixels, faces[0]) if faces else None,
                embedding=engine.embed(frame.pixels, faces[0]) if embed else None,
            )
        )
        if progress.finished:
            break
        presentation.follow(progress.move, at_ms, progress.colour)
    verdict = session.verdict()
    return Result(
        species=species,
        outcome=verdict.outcome,
        took_ms=at_ms - began_ms,
        frames=session.frames,
        cues={cue.name: cue.outcome for cue in verdict.cues},
        scores={cue.name: cue.score for cue in verdict.cues},
    )


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
class Evaluation:
    """``species`` are the attacks, worst first: the highest upper bound, then the most
    undecided."""

    species: Mapping[str, Attacks]
    live: BonaFide
    verdict_ms_p50: float | None
    results: tuple[Result, ...]


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


Signature = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessing:
    """An attacker who knows everything but the nonce, and plays recordings of a guessed plan.

    ``matched`` of ``tries`` drawn plans had the guessed moves and colours; a hold may be as
    long as the plan's longest, so holds are never in the attacker's way. ``plans`` are the
    plans that the drawn ones show to be possible, each as likely as any other. ``right_accepted``
    of ``right_attempts`` is how often the best presentation of the right plan passed the checks,
    measured by whole attempts; ``wrong_apcer`` the same of the worst recording with another plan.
    """

    tries: int
    matched: int
    plans: int
    right_attempts: int
    right_accepted: int
    wrong_attempts: int
    wrong_accepted: int

    @property
    def accepted(self) -> float:
        """How many of the tries pass, as expected from what was measured."""
        right = self.right_accepted / self.right_attempts if self.right_attempts else 1.0
        wrong = self.wrong_accepted / self.wrong_attempts if self.wrong_attempts else 0.0
        return self.matched * right + (self.tries - self.matched) * wrong

    @property
    def allowed(self) -> int:
        """The 99.9 % quantile of how many plans a blind guesser matches."""
        rate = 1 / self.plans
        allowed = 0
        while _at_most(allowed, self.tries, rate) < 0.999:
            allowed += 1
        return allowed


def guess_plans(draw: Callable[[int], Plan], tries: int) -> tuple[int, int]:
    """How many of ``tries`` plans are the first one's again, and how many plans there are.

    All plans are equally likely, so no guess is better than the plan that was drawn first. The
    number of plans is counted over the moves and colours that were seen to follow each other.
    """
    guess = _signature(draw(0))
    drawn = [_signature(draw(index)) for index in range(1, tries + 1)]
    return sum(plan == guess for plan in drawn), _count_paths([guess, *drawn])


def _signature(plan: Plan) -> Signature:
    return (*(step.move.value for step in plan.steps), *(one.value for one in plan.colours))


def _count_paths(drawn: Sequence[Signature]) -> int:
    """How many sequences the transitions between neighbours allow."""
    ways: dict[str, int] = dict.fromkeys({plan[0] for plan in drawn if plan}, 1)
    longest = max(len(plan) for plan in drawn)
    for place in range(1, longest):
        following: dict[str, int] = {}
        pairs = {(plan[place - 1], plan[place]) for plan in drawn if len(plan) > place}
        for before, after in pairs:
            following[after] = following.get(after, 0) + ways[before]
        ways = following
    return max(1, sum(ways.values()))
