"""THE main path of a terminal, as a state machine without I/O.

    ceremony = Ceremony(identity, key, context, claim)
    send(ceremony.ask(now))                              -> ceremony.begin(answer)
    for every frame: ceremony.look(frame)                until it says that it has enough
    send(ceremony.evidence(counter, pin, camera, now))   -> ceremony.decide(answer)
    act, then send(ceremony.confirm(word, now))          -> ceremony.acknowledge(answer)

Guarantees: those of :mod:`terminal_client.exchange`; the face is sealed before it leaves this
object.

The caller must bring frames, time, counter and PIN; store the evidence before it sends it; and
never show or log a claim, PIN or embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from face_engine.quality import Flaw
from face_engine.templates import Candidate, Disagreement
from face_engine.types import Embedding, Face
from liveness.challenge import Colour, Move, Plan, Step
from liveness.session import LivenessSession
from liveness.types import Level, Observation, Outcome
from terminal_client.exchange import Ended, Ending, Exchange, State
from terminal_client.outbox import ATTEMPT
from terminal_client.views import Views
from wire import envelope, messages
from wire.envelope import SealKey
from wire.messages import (
    Challenge,
    ChallengeRequest,
    ColourTiming,
    CueScore,
    EnrolmentContext,
    Evidence,
    LivenessOutcome,
    LivenessReport,
    Probe,
    Source,
    StepTiming,
    Successor,
)

FLAWED_FRAMES_MAX = 200
PATIENCE_MS = 30_000
COLOURS_UNREADABLE = "colours_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame that was looked at: what was found, what is wrong with it.

    ``view`` is the face by the terminal's model, and ``successor`` by the one that is to take
    its place, where :attr:`Ceremony.wants_view` asked for them and there is no flaw.
    """

    observation: Observation
    flaw: Flaw | None
    view: Candidate | None = None
    successor: Candidate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to show now. ``enough``: the camera has done its part."""

    instruction: str
    move: Move | None
    colour: Colour | None
    fraction: float
    enough: bool = False


@dataclass(slots=True)
class Ceremony(Exchange):
    """``views`` and ``successors`` gather the face by the terminal's model and by the one that is
    to take its place; ``colours``: whether the screen can show them and the person may look at
    them."""

    PATH = ATTEMPT
    model_id: bytes
    source: Source
    views: Views
    successors: Views
    holder_share: bytes | None = field(default=None, repr=False)
    colours: bool = False
    _session: LivenessSession | None = None
    _colour: Colour | None = None
    _references: tuple[Embedding, ...] = field(default=(), repr=False)
    _flawed: int = 0
    _last_flaw: Flaw = Flaw.NO_FACE
    _started_ms: int | None = None

    def ask(self, now_ms: int) -> bytes:
        """The signed request for a challenge; ``now_ms`` is Unix time."""
        self._step(State.NEW, State.ASKED)
        request = ChallengeRequest(
            terminal=self.identity.terminal,
            context=self.context,
            requested_at_ms=now_ms,
            colours=self.colours,
        )
        return envelope.sign(request, self.key).raw

    def begin(self, answer: bytes) -> Ended | None:
        """Takes the challenge; raises :class:`NotTheService`."""
        challenge = self._take_challenge(answer, State.LOOKING)
        self._session = self._new_session(challenge)
        if not self.accepts(self.model_id):
            return self._end(Ending.MODEL_NOT_ACCEPTED)
        return None

    def _new_session(self, challenge: Challenge) -> LivenessSession:
        level = Level[challenge.level.name]
        return LivenessSession(_plan(challenge), level, self.views.same_person_min)

    @property
    def pin_required(self) -> bool:
        return self._expect(self._challenge).pin_required

    @property
    def wants_embedding(self) -> bool:
        """Whether the next good frame's view belongs into its observation, too."""
        return self._expect(self._session).wants_embedding

    @property
    def follow(self) -> Face | None:
        """The face to look for where the last frame had it; None for a look at the whole."""
        return None if self.wants_view else self._expect(self._session).follow

    @property
    def wants_view(self) -> bool:
        """Whether to embed the next good frame: an enrolment also takes turned heads."""
        turned = self._enrolling and self._colour is None and not self.views.full
        return self.wants_embedding or turned

    def accepts(self, model_id: bytes) -> bool:
        """Whether the service takes embeddings of this model."""
        return model_id in self._expect(self._challenge).model_ids

    @property
    def _enrolling(self) -> bool:
        return isinstance(self.context, EnrolmentContext)

    def look(self, frame: Frame) -> Prompt | Ended:
        """Takes the next frame; returns what to show, or how it ended."""
        self._require(State.LOOKING)
        seen, session = frame.observation, self._expect(self._session)
        if self._started_ms is None:
            self._started_ms = seen.captured_at_ms
        if frame.flaw is not None and session.waiting:
            return self._wait_for_a_face(frame.flaw, seen.captured_at_ms)
        for view, views in ((frame.view, self.views), (frame.successor, self.successors)):
            if view is not None:
                views.add(view, turned=seen.embedding is None)
        progress = session.observe(seen)
        self._colour = progress.colour
        if not progress.finished:
            return Prompt(
                instruction=progress.move.instruction if progress.move else "Look at the camera",
                move=progress.move,
                colour=progress.colour,
                fraction=progress.fraction,
            )
        return self._conclude(session)

    def _wait_for_a_face(self, flaw: Flaw, at_ms: int) -> Prompt | Ended:
        self._flawed += 1
        self._last_flaw = flaw
        # What is asked for starts from good frames: those before a bad one are forgotten.
        self._session = self._new_session(self._expect(self._challenge))
        self._forget()
        if self._flawed > FLAWED_FRAMES_MAX or at_ms - (self._started_ms or 0) > PATIENCE_MS:
            return self._end(Ending.NO_USABLE_FACE, flaw.value)
        return Prompt(instruction=flaw.instruction, move=None, colour=None, fraction=0.0)

    def stop(self) -> Ended:
        """The camera has no more frames."""
        self._require(State.LOOKING)
        return self._end(Ending.NO_USABLE_FACE, self._last_flaw.value)

    def _conclude(self, session: LivenessSession) -> Prompt | Ended:
        verdict = session.verdict()
        if session.colours_unreadable:
            return self._end(Ending.NOT_LIVE, COLOURS_UNREADABLE)
        if verdict.outcome is not Outcome.LIVE:
            return self._end(Ending.NOT_LIVE, verdict.outcome.value)
        found = self._gathered(self.views)
        if found is None:
            return self._end(Ending.NO_USABLE_FACE, Flaw.NO_FACE.value)
        if isinstance(found, Disagreement):
            return self._end(Ending.FRAMES_DISAGREE)
        self._references = found
        self._step(State.LOOKING, State.ENOUGH)
        return Prompt(instruction="Thank you", move=None, colour=None, fraction=1.0, enough=True)

    def evidence(self, *, counter: int, pin: str | None, camera: bytes, now_ms: int) -> bytes:
        """The signed evidence, the face in it sealed. Store it before sending it.

        ``camera``: the digest of the identity of the camera that the frames came from.
        """
        self._step(State.ENOUGH, State.SENT)
        challenge, session = self._expect(self._challenge), self._expect(self._session)
        seal_key = SealKey(challenge.seal_suite, challenge.seal_key)
        clear = Evidence(
            challenge=challenge.challenge,
            nonce=challenge.nonce,
            attempt=self.attempt,
            terminal=self.identity.terminal,
            counter=counter,
            context=self.context,
            model_id=self.model_id,
            source=self.source,
            captured_at_ms=now_ms,
            liveness=_report(challenge, session, camera),
            seal_key_digest=seal_key.digest,
            sealed=b"-",
        )
        probe = Probe(
            claim=self.claim,
            embeddings=tuple(_numbers(each) for each in self._references),
            pin=pin,
            holder_share=self.holder_share,
            successor=self._successor(),
        )
        sealed = seal_key.seal(probe.encode(), clear.binding)
        self._evidence = envelope.sign(replace(clear, sealed=sealed), self.key)
        self._forget()
        return self._evidence.raw

    def _gathered(self, views: Views) -> tuple[Embedding, ...] | Disagreement | None:
        """An enrolment keeps several references; a probe is one, the mean of its views."""
        if self._enrolling:
            return views.references()
        found = views.probe()
        return (found,) if isinstance(found, Embedding) else found

    def _successor(self) -> Successor | None:
        found = self.successors.probe()
        if not isinstance(found, Embedding):
            return None
        return Successor(model_id=found.model_id, embedding=_numbers(found))

    def _forget(self) -> None:
        self.views.clear()
        self.successors.clear()
        self._references = ()


def _numbers(embedding: Embedding) -> bytes:
    return embedding.vector.astype("<f4").tobytes()


def _plan(challenge: Challenge) -> Plan:
    return Plan(
        tuple(
            Step(move=Move[step.move.name], hold_ms=step.hold_ms) for step in challenge.plan.steps
        ),
        tuple(Colour[colour.name] for colour in challenge.plan.colours),
    )


def _report(challenge: Challenge, session: LivenessSession, camera: bytes) -> LivenessReport:
    verdict = session.verdict()
    return LivenessReport(
        level=challenge.level,
        outcome=LivenessOutcome[verdict.outcome.name],
        plan_digest=challenge.plan.digest,
        transcript_digest=session.transcript_digest,
        frames=session.frames,
        cues=tuple(
            CueScore(
                name=cue.name,
                score_milli=round(cue.score * 1000),
                outcome=LivenessOutcome[cue.outcome.name],
            )
            for cue in verdict.cues
        ),
        steps=tuple(
            StepTiming(
                move=messages.Move[step.move.name],
                started_ms=step.started_ms,
                ended_ms=step.ended_ms,
            )
            for step in session.steps
        ),
        colours=tuple(
            ColourTiming(colour=messages.Colour[each.colour.name], shown_ms=each.shown_ms)
            for each in session.colours
        ),
        camera=camera,
    )
