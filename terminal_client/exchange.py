"""One attempt's messages with the service, without I/O: what the way with a face
(:mod:`terminal_client.ceremony`) and the way without one (:mod:`terminal_client.card`) share.

Guarantees: no step can be left out or taken twice (:class:`RuntimeError`). A challenge or
decision counts only if the pinned service signed it for this terminal, this context and this
evidence. Every ending is an :class:`Ended`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from hmac import compare_digest
from typing import ClassVar, TypeVar

from terminal_client.errors import NotTheService
from terminal_client.keystore import Identity
from wire import envelope
from wire.codec import Message
from wire.envelope import Signed, SigningKey
from wire.errors import WireError
from wire.ids import AttemptId
from wire.messages import (
    Acknowledgement,
    CardEvidence,
    Challenge,
    Completion,
    Confirmation,
    Context,
    Decision,
    Evidence,
)

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Ending(Enum):
    """How an attempt ends; only a decision of the service approves."""

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


@dataclass(frozen=True, slots=True)
class Word:
    """What was done with an approval, as the terminal confirms it; ``amount_minor`` is what was
    handed out, where it is less than was approved."""

    completion: Completion
    amount_minor: int | None = None


COMPLETED, FAILED = Word(Completion.COMPLETED), Word(Completion.FAILED)


class State(Enum):
    NEW = auto()
    ASKED = auto()
    LOOKING = auto()
    ENOUGH = auto()
    SENT = auto()
    APPROVED = auto()
    CONFIRMED = auto()
    OVER = auto()


@dataclass(slots=True)
class Exchange:
    """``claim`` says which account; ``PATH`` is where the evidence goes."""

    PATH: ClassVar[str]
    identity: Identity
    key: SigningKey
    context: Context
    claim: str = field(repr=False)
    attempt: AttemptId = field(default_factory=AttemptId.new, kw_only=True)
    ended: Ended | None = field(default=None, kw_only=True)
    _state: State = field(default=State.NEW, kw_only=True)
    _challenge: Challenge | None = field(default=None, kw_only=True)
    _evidence: Signed[Evidence] | Signed[CardEvidence] | None = field(
        default=None, repr=False, kw_only=True
    )

    @property
    def sent(self) -> Signed[Evidence] | Signed[CardEvidence]:
        """The evidence, once it was made."""
        if self._evidence is None:
            raise RuntimeError(f"the ceremony is {self._state.name}")
        return self._evidence

    def decide(self, answer: bytes) -> Ended:
        """Takes the decision; raises :class:`NotTheService`, and then nothing is approved."""
        self._require(State.SENT)
        decision = check_decision(answer, self.sent, self.identity)
        ending = Ending.APPROVED if decision.approved else Ending.DENIED
        self._state = State.APPROVED if decision.approved else State.OVER
        self.ended = Ended(ending=ending, reason=decision.reason, decision=decision)
        return self.ended

    def confirm(self, word: Word, now_ms: int) -> bytes:
        """The signed word on what was done with the approval."""
        self._step(State.APPROVED, State.CONFIRMED)
        return confirmation(self.attempt, word, self.identity, self.key, now_ms)

    def acknowledge(self, answer: bytes) -> Acknowledgement:
        """Raises :class:`NotTheService`; then the confirmation is to be sent again."""
        self._require(State.CONFIRMED)
        acknowledged = check_acknowledgement(answer, self.attempt, self.identity)
        self._state = State.OVER
        return acknowledged

    def _take_challenge(self, answer: bytes, following: State) -> Challenge:
        self._step(State.ASKED, following)
        challenge = read_answer(answer, Challenge, self.identity)
        if challenge.terminal != self.identity.terminal or challenge.context != self.context:
            raise NotTheService("a challenge for something else")
        self._challenge = challenge
        return challenge

    def _end(self, ending: Ending, reason: str | None = None) -> Ended:
        self._state = State.OVER
        self.ended = Ended(ending=ending, reason=reason)
        return self.ended

    def _require(self, state: State) -> None:
        if self._state is not state:
            raise RuntimeError(f"the ceremony is {self._state.name}, not {state.name}")

    def _step(self, state: State, following: State) -> None:
        self._require(state)
        self._state = following

    def _expect(self, part: T | None) -> T:
        if part is None:
            raise RuntimeError(f"the ceremony is {self._state.name}")
        return part


def check_decision(
    answer: bytes, evidence: Signed[Evidence] | Signed[CardEvidence], identity: Identity
) -> Decision:
    """The decision on this evidence, by the pinned service; raises :class:`NotTheService`."""
    decision = read_answer(answer, Decision, identity)
    if (
        decision.attempt != evidence.message.attempt
        or decision.context != evidence.message.context
        or not compare_digest(decision.evidence_digest, evidence.digest)
    ):
        raise NotTheService("a decision on something else")
    return decision


def check_acknowledgement(answer: bytes, attempt: AttemptId, identity: Identity) -> Acknowledgement:
    acknowledged = read_answer(answer, Acknowledgement, identity)
    if acknowledged.attempt != attempt:
        raise NotTheService("an acknowledgement of something else")
    return acknowledged


def confirmation(
    attempt: AttemptId, word: Word, identity: Identity, key: SigningKey, now_ms: int
) -> bytes:
    message = Confirmation(
        attempt=attempt,
        terminal=identity.terminal,
        completion=word.completion,
        confirmed_at_ms=now_ms,
        amount_minor=word.amount_minor,
    )
    return envelope.sign(message, key).raw


def read_answer(answer: bytes, kind: type[M], identity: Identity) -> M:
    """The pinned service's message; raises :class:`NotTheService`."""
    try:
        unverified = envelope.parse(answer, kind)
        return envelope.verify(unverified, identity.service_key).message
    except WireError as error:
        raise NotTheService(f"not an answer of the service: {error}") from error
