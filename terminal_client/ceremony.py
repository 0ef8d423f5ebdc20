"""THE main path of a terminal, as a state machine without I/O.

    ceremony = Ceremony(identity, key, context, claim)
    send(ceremony.ask(now))                      -> ceremony.begin(answer)
    for every frame: ceremony.look(frame)        until it says that it has enough
    send(ceremony.evidence(counter, pin, now))   -> ceremony.decide(answer)
    act, then send(ceremony.confirm(completion)) -> ceremony.acknowledge(answer)

Guarantees: no step can be left out or taken twice (:class:`RuntimeError`). A challenge or
decision counts only if the pinned service signed it for this terminal, this context and this
evidence. The face is sealed before it leaves this object. Every ending is an :class:`Ended`.

The caller must bring frames, time, counter and PIN; store the evidence before it sends it; and
never show or log a claim, PIN or embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hmac import compare_digest
from typing import TypeVar

from face_engine.quality import Flaw
from face_engine.templates import Candidate, Disagreement
from face_engine.types import Embedding
from liveness.challenge import Colour, Move, Plan, Step
from liveness.session import LivenessSession
from liveness.types import Level, Observation, Outcome
from terminal_client.errors import NotTheService
from terminal_client.keystore import Identity
from terminal_client.views import Views
from wire import envelope, messages
from wire.codec import Message
from wire.envelope import SealKey, Signed, SigningKey
from wire.errors import WireError
from wire.ids import AttemptId
from wire.messages import (
    Acknowledgement,
    Challenge,
    ChallengeRequest,
    ColourTiming,
    Completion,
    Confirmation,
    Context,
    CueScore,
    Decision,
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

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Ending(Enum):
    """How a ceremony ends; only a decision of the service approves."""

    APPROVED = "approved"
    DENIED = "denied"
    NO_USABLE_FACE = "no_usable_face"
    NOT_LIVE = "not_live"
    FRAMES_DISAGREE = "frames_disagree"
    MODEL_NOT_ACCEPTED = "model_not_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """``reason`` is the service's coarse reason, the flaw of the last frame, or what liveness
    lacked: ``COLOURS_UNREADABLE`` where a new attempt without colours may do."""

    ending: Ending
    reason: str | None = None
    decision: Decision | None = None

    @property
    def approved(self) -> bool:
        return self.ending is Ending.APPROVED


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


class _State(Enum):
    NEW = auto()
    ASKED = auto()
    LOOKING = auto()
    ENOUGH = auto()
    SENT = auto()
    APPROVED = auto()
    CONFIRMED = auto()
    OVER = auto()


@dataclass(slots=True)
class Ceremony:
    """``claim`` says which account; ``views`` and ``successors`` gather the face by the
    terminal's model and by the one that is to take its place; ``colours``: whether the screen
    can show them and the person may look at them."""

    identity: Identity
    key: SigningKey
    context: Context
    claim: str = field(repr=False)
    model_id: bytes
    source: Source
    views: Views
    successors: Views
    holder_share: bytes | None = field(default=None, repr=False)
    colours: bool = False
    attempt: AttemptId = field(default_factory=AttemptId.new)
    ended: Ended | None = None
    _state: _State = _State.NEW
    _challenge: Challenge | None = None
    _session: LivenessSession | None = None
    _colour: Colour | None = None
    _references: tuple[Embedding, ...] = field(default=(), repr=False)
    _flawed: int = 0
    _last_flaw: Flaw = Flaw.NO_FACE
    _started_ms: int | None = None
    _evidence: Signed[Evidence] | None = field(default=None, repr=False)

    def ask(self, now_ms: int) -> bytes:
        """The signed request for a challenge; ``now_ms`` is Unix time."""
        self._step(_State.NEW, _State.ASKED)
        request = ChallengeRequest(
            terminal=self.identity.terminal,
            context=self.context,
            requested_at_ms=now_ms,
            colours=self.colours,
        )
        return envelope.sign(request, self.key).raw

    def begin(self, answer: bytes) -> Ended | None:
        """Takes the challenge; raises :class:`NotTheService`."""
        self._step(_State.ASKED, _State.LOOKING)
        challenge = self._read(answer, Challenge)
        if challenge.terminal != self.identity.terminal or challenge.context != self.context:
            raise NotTheService("a challenge for something else")
        self._challenge = challenge
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
        self._require(_State.LOOKING)
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
        self._require(_State.LOOKING)
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
        self._step(_State.LOOKING, _State.ENOUGH)
        return Prompt(instruction="Thank you", move=None, colour=None, fraction=1.0, enough=True)

    def evidence(self, *, counter: int, pin: str | None, now_ms: int) -> bytes:
        """The signed evidence, the face in it sealed. Store it before sending it."""
        self._step(_State.ENOUGH, _State.SENT)
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
            liveness=_report(challenge, session),
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

    def decide(self, answer: bytes) -> Ended:
        """Takes the decision; raises :class:`NotTheService`, and then nothing is approved."""
        self._require(_State.SENT)
        decision = check_decision(answer, self._expect(self._evidence), self.identity)
        ending = Ending.APPROVED if decision.approved else Ending.DENIED
        self._state = _State.APPROVED if decision.approved else _State.OVER
        self.ended = Ended(ending=ending, reason=decision.reason, decision=decision)
        return self.ended

    def confirm(self, completion: Completion, now_ms: int) -> bytes:
        """The signed word on what was done with the approval."""
        self._step(_State.APPROVED, _State.CONFIRMED)
        return confirmation(self.attempt, completion, self.identity, self.key, now_ms)

    def acknowledge(self, answer: bytes) -> Acknowledgement:
        """Raises :class:`NotTheService`; then the confirmation is to be sent again."""
        self._require(_State.CONFIRMED)
        acknowledged = check_acknowledgement(answer, self.attempt, self.identity)
        self._state = _State.OVER
        return acknowledged

    def _end(self, ending: Ending, reason: str | None = None) -> Ended:
        self._state = _State.OVER
        self.ended = Ended(ending=ending, reason=reason)
        return self.ended

    def _require(self, state: _State) -> None:
        if self._state is not state:
            raise RuntimeError(f"the ceremony is {self._state.name}, not {state.name}")

    def _step(self, state: _State, following: _State) -> None:
        self._require(state)
        self._state = following

    def _expect(self, part: T | None) -> T:
        if part is None:
            raise RuntimeError(f"the ceremony is {self._state.name}")
        return part

    def _read(self, answer: bytes, kind: type[M]) -> M:
        return _read(answer, kind, self.identity)


def _numbers(embedding: Embedding) -> bytes:
    return embedding.vector.astype("<f4").tobytes()


def check_decision(answer: bytes, evidence: Signed[Evidence], identity: Identity) -> Decision:
    """The decision on this evidence, by the pinned service; raises :class:`NotTheService`."""
    decision = _read(answer, Decision, identity)
    if (
        decision.attempt != evidence.message.attempt
        or decision.context != evidence.message.context
        or not compare_digest(decision.evidence_digest, evidence.digest)
    ):
        raise NotTheService("a decision on something else")
    return decision


def check_acknowledgement(answer: bytes, attempt: AttemptId, identity: Identity) -> Acknowledgement:
    acknowledged = _read(answer, Acknowledgement, identity)
    if acknowledged.attempt != attempt:
        raise NotTheService("an acknowledgement of something else")
    return acknowledged


def confirmation(
    attempt: AttemptId, completion: Completion, identity: Identity, key: SigningKey, now_ms: int
) -> bytes:
    message = Confirmation(
        attempt=attempt,
        terminal=identity.terminal,
        completion=completion,
        confirmed_at_ms=now_ms,
    )
    return envelope.sign(message, key).raw


def _read(answer: bytes, kind: type[M], identity: Identity) -> M:
    try:
        unverified = envelope.parse(answer, kind)
        return envelope.verify(unverified, identity.service_key).message
    except WireError as error:
        raise NotTheService(f"not an answer of the service: {error}") from error


def _plan(challenge: Challenge) -> Plan:
    return Plan(
        tuple(
            Step(move=Move[step.move.name], hold_ms=step.hold_ms) for step in challenge.plan.steps
        ),
        tuple(Colour[colour.name] for colour in challenge.plan.colours),
    )


def _report(challenge: Challenge, session: LivenessSession) -> LivenessReport:
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
    )
