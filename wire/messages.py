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
    TerminalId,
)
from wire.money import AMOUNT_MINOR_MAX, Money

PROBE_LABEL = b"countenance/v1/probe"
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


class Outcome(IntEnum):
    APPROVED = 1
    DENIED = 2


class Completion(IntEnum):
    """What became of an approved attempt at the terminal."""

    COMPLETED = 1
    FAILED = 2


class SealSuite(IntEnum):
    """HPKE suites (RFC 9180): KEM, HKDF-SHA256, AES-256-GCM."""

    MLKEM768_X25519 = 1
    X25519 = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentContext(Message):
    amount_minor: int = field(metadata=on_wire(1, codec.uint(AMOUNT_MINOR_MAX)))
    currency: str = field(metadata=on_wire(2, codec.text(3, minimum=3)))
    payee: MerchantId = field(metadata=on_wire(3, codec.ident(MerchantId)))
    order: str = field(metadata=on_wire(4, codec.text(80)))

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
    return next(purpose for purpose, kind in CONTEXT_OF.items() if isinstance(context, kind))


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
class ChallengeRequest(Message):
    """``requested_at_ms`` is Unix time; the service refuses one that is minutes off.

    ``colours`` is false for a screen without colours, a person who must not or will not look at
    them, and after a flash that could not be read: the plan then has one more move instead.
    """

    LABEL = "countenance/v1/challenge-request"
    terminal: TerminalId = field(metadata=on_wire(1, codec.ident(TerminalId)))
    context: Context = field(metadata=on_wire(2, CONTEXT))
    requested_at_ms: int = field(metadata=on_wire(3, codec.uint()))
    colours: bool = field(default=True, metadata=on_wire(4, codec.flag()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge(Message):
    """Single use. Binds the evidence to this terminal, this context and this plan."""

    LABEL = "countenance/v1/challenge"
    challenge: ChallengeId = field(metadata=on_wire(1, codec.ident(ChallengeId)))
    nonce: bytes = field(metadata=on_wire(2, codec.octets(NONCE_BYTES)))
    terminal: TerminalId = field(metadata=on_wire(3, codec.ident(TerminalId)))
    context: Context = field(metadata=on_wire(4, CONTEXT))
    expires_at_ms: int = field(metadata=on_wire(5, codec.uint()))
    level: Level = field(metadata=on_wire(6, codec.code(Level)))
    plan: LivenessPlan = field(metadata=on_wire(7, codec.nested(LivenessPlan)))
    model_ids: tuple[bytes, ...] = field(
        metadata=on_wire(8, codec.many(codec.octets(MODEL_ID_BYTES), MODELS_MAX, minimum=1))
    )
    pin_required: bool = field(metadata=on_wire(9, codec.flag()))
    seal_suite: SealSuite = field(metadata=on_wire(10, codec.code(SealSuite)))
    seal_key: bytes = field(metadata=on_wire(11, codec.octets(32, 2048)))


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
        clear = self.to_map()
        del clear[SEALED_KEY]
        return PROBE_LABEL + sha256(codec.encode(clear)).digest()

    @property
    def purpose(self) -> Purpose:
        return purpose_of(self.context)


SEALED_KEY = next(f.metadata["key"] for f in fields(Evidence) if f.name == "sealed")


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
    """The service's answer to one attempt, signed. ``result`` is the transfer or entry."""

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

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.DENIED) != (self.reason is not None):
            raise ValueError("a denial has a reason, an approval has none")

    @property
    def approved(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation(Message):
    """What the terminal did with an approval: dispensed, opened, printed, or failed to."""

    LABEL = "countenance/v1/confirmation"
    attempt: AttemptId = field(metadata=on_wire(1, codec.ident(AttemptId)))
    terminal: TerminalId = field(metadata=on_wire(2, codec.ident(TerminalId)))
    completion: Completion = field(metadata=on_wire(3, codec.code(Completion)))
    confirmed_at_ms: int = field(metadata=on_wire(4, codec.uint()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement(Message):
    """The service has the confirmation, durably."""

    LABEL = "countenance/v1/acknowledgement"
    attempt: AttemptId = field(metadata=on_wire(1, codec.ident(AttemptId)))
    completion: Completion = field(metadata=on_wire(2, codec.code(Completion)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Message):
    """A request that got no decision. Not signed: it only ever denies.

    ``reason`` is a :class:`wire.denial.Reason`; ``now_ms`` lets a terminal with a
    wrong clock say so.
    """

    reason: str = field(metadata=on_wire(1, codec.text(40)))
    detail: str = field(metadata=on_wire(2, codec.text(200)))
    now_ms: int = field(metadata=on_wire(3, codec.uint()))
