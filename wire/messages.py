"""The messages of the protocol, typed. Keys and ranges are those of ``docs/protocol.md``.

Guarantee: an instance that was decoded has every field in its range. The caller
must still verify the signature around a message, and compare ids, nonce, purpose
and context with what it expects.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from hashlib import sha256
from typing import Any

from wire import codec
from wire.codec import Kind, Message, on_wire
from wire.errors import MalformedError
from wire.ids import (
    AccountId,
    AttemptId,
    ChallengeId,
    DoorId,
    MerchantId,
    PaymentIntentId,
    TerminalId,
)
from wire.money import AMOUNT_MINOR_MAX, Money

PROBE_LABEL = b"countenance/v1/probe"
CARD_PROBE_LABEL = b"countenance/v1/card-probe"
CARD_CLAIMS = ("card:", "qr:", "badge:")
"""What a person has with them; a phone number is known to others."""
NO_BIOMETRICS = "none"
"""The consent version of an enrolment without a face: no consent to biometrics was asked for."""
NONCE_BYTES = 32
MODEL_ID_BYTES = 16
PLAN_STEPS_MAX = 8
PLAN_COLOURS_MAX = 12
HOLD_MS_MAX = 5_000
MODELS_MAX = 8
REFERENCES_MAX = 5
CUES_MAX = 16
SEALED_BYTES_MAX = 32 * 1024
EMBEDDING_BYTES_MAX = 4 * 1024
CLAIM_CHARS_MAX = 120
RECORDS_MAX = 64
PERSON_BYTES = 16
CHAIN_START = bytes(32)
CHAIN_LABEL = b"countenance/v1/door-record"


class Purpose(IntEnum):
    PAYMENT = 1
    WITHDRAWAL = 2
    ENTRY = 3
    ENROLMENT = 4


class TerminalKind(IntEnum):
    STORE = 1
    ATM = 2
    DOOR = 3
    ENROLMENT = 4

    @property
    def purpose(self) -> Purpose:
        """The one purpose that a terminal of this kind may ask for."""
        return Purpose(int(self))


class Direction(IntEnum):
    IN = 1
    OUT = 2


class Factor(IntEnum):
    """What an attempt is verified by."""

    FACE = 1
    FACE_PIN = 2
    CARD_PIN = 3

    @property
    def has_face(self) -> bool:
        return self is not Factor.CARD_PIN

    @property
    def has_pin(self) -> bool:
        return self is not Factor.FACE


class Level(IntEnum):
    """Liveness levels, weakest first."""

    NONE = 0
    PASSIVE = 1
    STANDARD = 2
    STRICT = 3


class Move(IntEnum):
    """Head moves, from the person's own point of view."""

    LEFT = 1
    RIGHT = 2
    UP = 3
    DOWN = 4
    CLOSER = 5


class Colour(IntEnum):
    """What the terminal's screen shows during the flash."""

    BLACK = 1
    WHITE = 2
    GREEN = 3
    BLUE = 4
    ROSE = 5


class LivenessOutcome(IntEnum):
    LIVE = 1
    ATTACK = 2
    UNDECIDED = 3


class Source(IntEnum):
    """Where the frames came from. Production accepts only cameras."""

    CAMERA = 1
    STREAM = 2
    FILE = 3
    SIMULATED = 4
    BROWSER = 5


class Outcome(IntEnum):
    APPROVED = 1
    DENIED = 2


class Completion(IntEnum):
    """What became of an approved attempt at the terminal."""

    COMPLETED = 1
    FAILED = 2


class DoorEventKind(IntEnum):
    OPENED = 1
    CLOSED = 2
    HELD_OPEN = 3
    FORCED = 4
    REQUEST_TO_EXIT = 5
    TAMPER = 6
    TAMPER_OVER = 7
    NOT_OPENED = 8
    DECIDED = 9
    FAULT = 10


class DoorFault(IntEnum):
    """Why a door cannot decide alone, or what it found when it looked."""

    BUNDLE_TAMPERED = 1
    BUNDLE_FOREIGN = 2
    BUNDLE_ROLLED_BACK = 3
    BUNDLE_STALE = 4
    CLOCK_TURNED_BACK = 5
    RECORDS_FULL = 6


class SealSuite(IntEnum):
    """HPKE suites (RFC 9180): KEM, HKDF-SHA256, AES-256-GCM."""

    MLKEM768_X25519 = 1
    X25519 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentContext(Message):
    """``intent`` is the merchant's payment intent, where its system made one for this order."""

    amount_minor: int = field(metadata=on_wire(1, codec.uint(AMOUNT_MINOR_MAX)))
    currency: str = field(metadata=on_wire(2, codec.text(3, minimum=3)))
    payee: MerchantId = field(metadata=on_wire(3, codec.ident(MerchantId)))
    order: str = field(metadata=on_wire(4, codec.text(80)))
    intent: PaymentIntentId | None = field(
        default=None, metadata=on_wire(5, codec.ident(PaymentIntentId), optional=True)
    )

    def __post_init__(self) -> None:
        _ = self.money

    @property
    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalContext(Message):
    amount_minor: int = field(metadata=on_wire(1, codec.uint(AMOUNT_MINOR_MAX)))
    currency: str = field(metadata=on_wire(2, codec.text(3, minimum=3)))

    def __post_init__(self) -> None:
        _ = self.money

    @property
    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryContext(Message):
    door: DoorId = field(metadata=on_wire(1, codec.ident(DoorId)))
    direction: Direction = field(metadata=on_wire(2, codec.code(Direction)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentContext(Message):
    """``consent_version`` names the text that the person agreed to."""

    account: AccountId = field(metadata=on_wire(1, codec.ident(AccountId)))
    consent_version: str = field(metadata=on_wire(2, codec.text(40)))


Context = PaymentContext | WithdrawalContext | EntryContext | EnrolmentContext

CONTEXT_OF: dict[Purpose, type[Context]] = {
    Purpose.PAYMENT: PaymentContext,
    Purpose.WITHDRAWAL: WithdrawalContext,
    Purpose.ENTRY: EntryContext,
    Purpose.ENROLMENT: EnrolmentContext,
}


def purpose_of(context: Context) -> Purpose:
    return _PURPOSE_OF[type(context)]


_PURPOSE_OF = {kind: purpose for purpose, kind in CONTEXT_OF.items()}


def _read_context(value: Any) -> Context:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedError("must be a purpose and its map")
    return CONTEXT_OF[codec.code(Purpose).read(value[0])].from_map(value[1])


CONTEXT: Kind[Context] = Kind(
    lambda context: [int(purpose_of(context)), context.to_map()], _read_context
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep(Message):
    move: Move = field(metadata=on_wire(1, codec.code(Move)))
    hold_ms: int = field(metadata=on_wire(2, codec.uint(HOLD_MS_MAX)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessPlan(Message):
    """What the person must do, then what the screen must show, both in order.

    No steps at the level none; no colours below standard or for a request without them.
    """

    steps: tuple[PlanStep, ...] = field(
        metadata=on_wire(1, codec.many(codec.nested(PlanStep), PLAN_STEPS_MAX))
    )
    colours: tuple[Colour, ...] = field(
        default=(), metadata=on_wire(2, codec.many(codec.code(Colour), PLAN_COLOURS_MAX))
    )

    @property
    def digest(self) -> bytes:
        return sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CueScore(Message):
    """A cue's score in thousandths: 0 is certainly an attack, 1000 certainly live."""

    name: str = field(metadata=on_wire(1, codec.text(32)))
    score_milli: int = field(metadata=on_wire(2, codec.uint(1000)))
    outcome: LivenessOutcome = field(metadata=on_wire(3, codec.code(LivenessOutcome)))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming(Message):
    """When a step was carried out, in milliseconds after the first frame."""

    move: Move = field(metadata=on_wire(1, codec.code(Move)))
    started_ms: int = field(metadata=on_wire(2, codec.uint(600_000)))
    ended_ms: int = field(metadata=on_wire(3, codec.uint(600_000)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourTiming(Message):
    """When a colour came onto the screen, in milliseconds after the first frame."""

    colour: Colour = field(metadata=on_wire(1, codec.code(Colour)))
    shown_ms: int = field(metadata=on_wire(2, codec.uint(600_000)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessReport(Message):
    """``camera`` is the digest of the identity of the camera that the frames came from."""

    level: Level = field(metadata=on_wire(1, codec.code(Level)))
    outcome: LivenessOutcome = field(metadata=on_wire(2, codec.code(LivenessOutcome)))
    plan_digest: bytes = field(metadata=on_wire(3, codec.octets(32)))
    transcript_digest: bytes = field(metadata=on_wire(4, codec.octets(32)))
    frames: int = field(metadata=on_wire(5, codec.uint(10_000)))
    cues: tuple[CueScore, ...] = field(
        metadata=on_wire(6, codec.many(codec.nested(CueScore), CUES_MAX))
    )
    steps: tuple[StepTiming, ...] = field(
        metadata=on_wire(7, codec.many(codec.nested(StepTiming), PLAN_STEPS_MAX))
    )
    colours: tuple[ColourTiming, ...] = field(
        default=(), metadata=on_wire(8, codec.many(codec.nested(ColourTiming), PLAN_COLOURS_MAX))
    )
    camera: bytes = field(metadata=on_wire(9, codec.octets(32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Message):
    """A new terminal's key. Signed with that key (proof of possession)."""

    LABEL = "countenance/v1/registration"
    code: str = field(repr=False, metadata=on_wire(1, codec.text(64)))
    public_key: bytes = field(metadata=on_wire(2, codec.octets(32)))
    kind: TerminalKind = field(metadata=on_wire(3, codec.code(TerminalKind)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(Message):
    """The service's answer: who the terminal is, and what it stands for."""

    LABEL = "countenance/v1/registered"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    service_key: bytes = field(metadata=on_wire(2, codec.octets(32)))
    kind: TerminalKind = field(metadata=on_wire(3, codec.code(TerminalKind)))
    merchant: MerchantId | None = field(metadata=on_wire(4, codec.ident(MerchantId), optional=True))
    door: DoorId | None = field(metadata=on_wire(5, codec.ident(DoorId), optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRequest(Message):
    """Asks what to take: the open payment intent ``intent``, or, without one, the oldest that
    waits for this very terminal."""

    LABEL = "countenance/v1/payment-request"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    requested_at_ms: int = field(metadata=on_wire(2, codec.uint()))
    intent: PaymentIntentId | None = field(
        default=None, metadata=on_wire(3, codec.ident(PaymentIntentId), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPayment(Message):
    """What to ask a challenge for, until ``expires_at_ms``; without ``context`` nothing waits.

    ``requested_at_ms`` is the request's.
    """

    LABEL = "countenance/v1/waiting-payment"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    requested_at_ms: int = field(metadata=on_wire(2, codec.uint()))
    expires_at_ms: int = field(metadata=on_wire(3, codec.uint()))
    context: PaymentContext | None = field(
        default=None, metadata=on_wire(4, codec.nested(PaymentContext), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRequest(Message):
    """``requested_at_ms`` is Unix time; the service refuses one that is minutes off.

    ``colours`` is false for a screen without colours, a person who must not or will not look at
    them, and after a flash that could not be read: the plan then has one more move instead.
    ``face`` is false for a person who does not want their face used, who then needs a card or a
    code, and a PIN; there are no colours then.
    """

    LABEL = "countenance/v1/challenge-request"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    context: Context = field(metadata=on_wire(2, CONTEXT))
    requested_at_ms: int = field(metadata=on_wire(3, codec.uint()))
    colours: bool = field(default=True, metadata=on_wire(4, codec.flag()))
    face: bool = field(default=True, metadata=on_wire(5, codec.flag()))

    def __post_init__(self) -> None:
        if self.colours and not self.face:
            raise ValueError("there are no colours without a face")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge(Message):
    """Single use. Binds the evidence to this terminal, this context, this plan and this factor.

    Without a face there are no models, no level and no plan.
    """

    LABEL = "countenance/v1/challenge"
    challenge: ChallengeId = field(metadata=on_wire(1, codec.ident(ChallengeId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    terminal: TerminalId = field(metadata=on_wire(3, codec.ident(TerminalId)))
    context: Context = field(metadata=on_wire(4, CONTEXT))
    expires_at_ms: int = field(metadata=on_wire(5, codec.uint()))
    level: Level = field(metadata=on_wire(6, codec.code(Level)))
    plan: LivenessPlan = field(metadata=on_wire(7, codec.nested(LivenessPlan)))
    model_ids: tuple[bytes, ...] = field(
        metadata=on_wire(8, codec.many(codec.octets(MODEL_ID_BYTES), MODELS_MAX))
    )
    factor: Factor = field(metadata=on_wire(9, codec.code(Factor)))
    seal_suite: SealSuite = field(metadata=on_wire(10, codec.code(SealSuite)))
    seal_key: bytes = field(metadata=on_wire(11, codec.octets(32, 2048)))

    def __post_init__(self) -> None:
        if self.factor.has_face != bool(self.model_ids):
            raise ValueError("a face has models, and a card has none")
        if not self.factor.has_face and (
            self.level is not Level.NONE or self.plan.steps or self.plan.colours
        ):
            raise ValueError("a card is not asked to be alive")

    @property
    def pin_required(self) -> bool:
        return self.factor.has_pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Message):
    """What a terminal signs: one attempt. Everything but ``sealed`` is its clear part."""

    LABEL = "countenance/v1/evidence"
    challenge: ChallengeId = field(metadata=on_wire(1, codec.ident(ChallengeId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    attempt: AttemptId = field(metadata=on_wire(3, codec.ident(AttemptId)))
    terminal: TerminalId = field(metadata=on_wire(4, codec.ident(TerminalId)))
    counter: int = field(metadata=on_wire(5, codec.uint()))
    context: Context = field(metadata=on_wire(6, CONTEXT))
    model_id: bytes = field(metadata=on_wire(7, codec.octets(MODEL_ID_BYTES)))
    source: Source = field(metadata=on_wire(8, codec.code(Source)))
    captured_at_ms: int = field(metadata=on_wire(9, codec.uint()))
    liveness: LivenessReport = field(metadata=on_wire(10, codec.nested(LivenessReport)))
    seal_key_digest: bytes = field(metadata=on_wire(11, codec.octets(32)))
    sealed: bytes = field(repr=False, metadata=on_wire(12, codec.octets(1, SEALED_BYTES_MAX)))

    @property
    def binding(self) -> bytes:
        """The HPKE ``info``: it ties the sealed part to this evidence's clear part."""
        return PROBE_LABEL + _clear_digest(self)

    @property
    def purpose(self) -> Purpose:
        return purpose_of(self.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvidence(Message):
    """One attempt without a face: by what the person has and knows."""

    LABEL = "countenance/v1/card-evidence"
    challenge: ChallengeId = field(metadata=on_wire(1, codec.ident(ChallengeId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    attempt: AttemptId = field(metadata=on_wire(3, codec.ident(AttemptId)))
    terminal: TerminalId = field(metadata=on_wire(4, codec.ident(TerminalId)))
    counter: int = field(metadata=on_wire(5, codec.uint()))
    context: Context = field(metadata=on_wire(6, CONTEXT))
    entered_at_ms: int = field(metadata=on_wire(7, codec.uint()))
    seal_key_digest: bytes = field(metadata=on_wire(8, codec.octets(32)))
    sealed: bytes = field(repr=False, metadata=on_wire(9, codec.octets(1, SEALED_BYTES_MAX)))

    @property
    def binding(self) -> bytes:
        """The HPKE ``info``, of another label than a face's."""
        return CARD_PROBE_LABEL + _clear_digest(self)

    @property
    def purpose(self) -> Purpose:
        return purpose_of(self.context)


AnyEvidence = Evidence | CardEvidence


def sealed_key_of(kind: type[AnyEvidence]) -> int:
    """The key of the field that is sealed."""
    return next(int(f.metadata["key"]) for f in fields(kind) if f.name == "sealed")


def _clear_digest(evidence: AnyEvidence) -> bytes:
    clear = evidence.to_map()
    del clear[sealed_key_of(type(evidence))]
    return sha256(codec.encode(clear)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProbe(Message):
    """The sealed part of an attempt without a face; ``claim`` is a card's, code's or badge's."""

    claim: str = field(repr=False, metadata=on_wire(1, codec.text(CLAIM_CHARS_MAX)))
    pin: str = field(repr=False, metadata=on_wire(2, codec.text(12)))

    def __post_init__(self) -> None:
        if not self.claim.startswith(CARD_CLAIMS):
            raise ValueError("a claim of something that the person has")


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor(Message):
    """The same face by another model, which is to take the first one's place."""

    model_id: bytes = field(metadata=on_wire(1, codec.octets(MODEL_ID_BYTES)))
    embedding: bytes = field(repr=False, metadata=on_wire(2, codec.octets(64, EMBEDDING_BYTES_MAX)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Message):
    """The sealed part: the claim, and the face as little-endian float32 numbers.

    One embedding for a verification; one to five for an enrolment. A terminal that runs two
    models sends the face by both: the evidence's ``model_id`` names the one of ``embeddings``.
    """

    claim: str = field(repr=False, metadata=on_wire(1, codec.text(CLAIM_CHARS_MAX)))
    embeddings: tuple[bytes, ...] = field(
        repr=False,
        metadata=on_wire(
            2, codec.many(codec.octets(64, EMBEDDING_BYTES_MAX), REFERENCES_MAX, minimum=1)
        ),
    )
    pin: str | None = field(repr=False, metadata=on_wire(3, codec.text(12), optional=True))
    holder_share: bytes | None = field(
        repr=False, metadata=on_wire(4, codec.octets(32), optional=True)
    )
    successor: Successor | None = field(
        default=None, metadata=on_wire(5, codec.nested(Successor), optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Message):
    """The service's answer to one attempt, signed. ``result`` is the transfer or entry;
    ``factor`` what it was verified by, absent in decisions from before there was a choice."""

    LABEL = "countenance/v1/decision"
    attempt: AttemptId = field(metadata=on_wire(1, codec.ident(AttemptId)))
    evidence_digest: bytes = field(metadata=on_wire(2, codec.octets(32)))
    context: Context = field(metadata=on_wire(3, CONTEXT))
    outcome: Outcome = field(metadata=on_wire(4, codec.code(Outcome)))
    reason: str | None = field(metadata=on_wire(5, codec.text(40), optional=True))
    result: bytes | None = field(metadata=on_wire(6, codec.octets(16), optional=True))
    decided_at_ms: int = field(metadata=on_wire(7, codec.uint()))
    expires_at_ms: int = field(metadata=on_wire(8, codec.uint()))
    leaf_hash: bytes = field(metadata=on_wire(9, codec.octets(32)))
    factor: Factor | None = field(
        default=None, metadata=on_wire(10, codec.code(Factor), optional=True)
    )

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.DENIED) != (self.reason is not None):
            raise ValueError("a denial has a reason, an approval has none")

    @property
    def approved(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Message):
    """What the terminal did with an approval: dispensed, opened, printed, or failed to.

    ``amount_minor`` is what was handed out of a withdrawal, where it is less than was approved.
    """

    LABEL = "countenance/v1/confirmation"
    attempt: AttemptId = field(metadata=on_wire(1, codec.ident(AttemptId)))
    terminal: TerminalId = field(metadata=on_wire(2, codec.ident(TerminalId)))
    completion: Completion = field(metadata=on_wire(3, codec.code(Completion)))
    confirmed_at_ms: int = field(metadata=on_wire(4, codec.uint()))
    amount_minor: int | None = field(
        default=None, metadata=on_wire(5, codec.uint(AMOUNT_MINOR_MAX), optional=True)
    )

    def __post_init__(self) -> None:
        if self.amount_minor == 0 or (self.amount_minor and self.completion is Completion.FAILED):
            raise ValueError("only what was handed out has an amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement(Message):
    """The service has the confirmation, durably."""

    LABEL = "countenance/v1/acknowledgement"
    attempt: AttemptId = field(metadata=on_wire(1, codec.ident(AttemptId)))
    completion: Completion = field(metadata=on_wire(2, codec.code(Completion)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorDecision(Message):
    """What a door decided alone, by its bundle of this number.

    ``person`` is who was claimed, ``companion`` who passes together with them, both as they are
    named in the bundle; without ``denial``, the fine-grained one, the door was commanded.
    ``alarm`` is the rule that let them pass, and alarms.
    """

    bundle: int = field(metadata=on_wire(1, codec.uint()))
    direction: Direction = field(metadata=on_wire(2, codec.code(Direction)))
    person: bytes | None = field(
        default=None, metadata=on_wire(3, codec.octets(PERSON_BYTES), optional=True)
    )
    denial: str | None = field(default=None, metadata=on_wire(4, codec.text(40), optional=True))
    companion: bytes | None = field(
        default=None, metadata=on_wire(5, codec.octets(PERSON_BYTES), optional=True)
    )
    alarm: str | None = field(default=None, metadata=on_wire(6, codec.text(40), optional=True))

    def __post_init__(self) -> None:
        if self.denial is None and self.person is None:
            raise ValueError("nobody is let in without a name")
        if self.companion is not None and (self.denial or self.companion == self.person):
            raise ValueError("a companion is somebody else, who passes too")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRecord(Message):
    """One thing that a door did. ``sequence`` counts from 1, without a gap, for ever.

    ``offline`` says that the service could not be asked then. ``attempt`` is the entry that it
    belongs to, where it belongs to one. What was decided alone has a ``decision``, a fault its
    ``fault``, and nothing else has either.
    """

    sequence: int = field(metadata=on_wire(1, codec.uint()))
    at_ms: int = field(metadata=on_wire(2, codec.uint()))
    offline: bool = field(metadata=on_wire(3, codec.flag()))
    event: DoorEventKind = field(metadata=on_wire(4, codec.code(DoorEventKind)))
    attempt: AttemptId | None = field(
        default=None, metadata=on_wire(5, codec.ident(AttemptId), optional=True)
    )
    decision: DoorDecision | None = field(
        default=None, metadata=on_wire(6, codec.nested(DoorDecision), optional=True)
    )
    fault: DoorFault | None = field(
        default=None, metadata=on_wire(7, codec.code(DoorFault), optional=True)
    )

    def __post_init__(self) -> None:
        decided = self.event is DoorEventKind.DECIDED
        if decided != (self.decision is not None) or (
            decided and not (self.offline and self.attempt is not None)
        ):
            raise ValueError("what was decided is an attempt, offline, and its decision")
        if (self.event is DoorEventKind.FAULT) != (self.fault is not None):
            raise ValueError("a fault says which")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorEvents(Message):
    """Records of a door's outbox, in its order. ``previous`` is the chain's head before them, and
    ``head`` after them, both as the door took them down when it wrote the records.

    The chain's head is 32 zero bytes before the first record, and after each one SHA-256 of the
    text ``countenance/v1/door-record``, the head before it, and its CBOR.
    """

    LABEL = "countenance/v1/door-events"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    previous: bytes = field(metadata=on_wire(2, codec.octets(32)))
    records: tuple[DoorRecord, ...] = field(
        metadata=on_wire(3, codec.many(codec.nested(DoorRecord), RECORDS_MAX, minimum=1))
    )
    head: bytes = field(metadata=on_wire(4, codec.octets(32)))

    def __post_init__(self) -> None:
        first = self.records[0].sequence
        if first < 1 or [each.sequence for each in self.records] != list(
            range(first, first + len(self.records))
        ):
            raise ValueError("records follow each other, from 1 on")

    @property
    def heads(self) -> tuple[bytes, ...]:
        """The chain's head after each record."""
        found, head = [], self.previous
        for record in self.records:
            head = chain_head(head, record)
            found.append(head)
        return tuple(found)


def chain_head(previous: bytes, record: DoorRecord) -> bytes:
    """The head of a door's chain after a record."""
    return sha256(CHAIN_LABEL + previous + record.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorEventsKept(Message):
    """The service has the records up to ``sequence``, durably; ``head`` is the chain's there."""

    LABEL = "countenance/v1/door-events-kept"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    sequence: int = field(metadata=on_wire(2, codec.uint()))
    head: bytes = field(metadata=on_wire(3, codec.octets(32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Message):
    """A request that got no decision. Not signed: it only ever denies.

    ``reason`` is a :class:`wire.denial.Reason`; ``now_ms`` lets a terminal with a
    wrong clock say so.
    """

    reason: str = field(metadata=on_wire(1, codec.text(40)))
    detail: str = field(metadata=on_wire(2, codec.text(200)))
    now_ms: int = field(metadata=on_wire(3, codec.uint()))
