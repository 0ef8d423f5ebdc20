"""Fixed keys, ids and one message of every type, from which the vectors are made."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import IntEnum
from hashlib import shake_256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire.bundle import (
    Bundle,
    BundleRequest,
    DoorBeat,
    DoorStanding,
    Roster,
    RosterGrant,
    RosterPerson,
)
from wire.codec import Message
from wire.envelope import SEED_BYTES, OpeningKey, SigningKey
from wire.ids import (
    AccountId,
    AttemptId,
    ChallengeId,
    DoorId,
    Id,
    MerchantId,
    PaymentIntentId,
    ReleaseId,
    TerminalId,
)
from wire.messages import (
    Acknowledgement,
    CardEvidence,
    CardProbe,
    Challenge,
    ChallengeRequest,
    Colour,
    ColourTiming,
    Completion,
    Confirmation,
    Context,
    CueScore,
    Decision,
    Direction,
    DoorDecision,
    DoorEventKind,
    DoorEvents,
    DoorEventsKept,
    DoorFault,
    DoorRecord,
    EnrolmentContext,
    EntryContext,
    Evidence,
    Factor,
    Level,
    LivenessOutcome,
    LivenessPlan,
    LivenessReport,
    Move,
    Outcome,
    PaymentContext,
    PaymentRequest,
    PlanStep,
    Probe,
    Problem,
    Registered,
    Registration,
    SealSuite,
    Source,
    StepTiming,
    Successor,
    TerminalKind,
    WaitingPayment,
    WithdrawalContext,
    purpose_of,
)

Case = dict[str, Any]
Document = dict[str, Any]
NOW_MS = 1_800_000_000_000


def fixed(name: str, size: int) -> bytes:
    """Bytes that are always the same: SHAKE-256 of a name. For vectors only, never as keys."""
    return shake_256(b"countenance test vector: " + name.encode()).digest(size)


def signing_key(name: str, kid: bytes) -> SigningKey:
    return SigningKey(Ed25519PrivateKey.from_private_bytes(fixed(name, 32)), kid)


def opening_key(suite: SealSuite) -> OpeningKey:
    return OpeningKey.from_seed(suite, fixed("seal", SEED_BYTES))


ACCOUNT = AccountId(fixed("account", 16))
ATTEMPT = AttemptId(fixed("attempt", 16))
CHALLENGE = ChallengeId(fixed("challenge", 16))
DOOR = DoorId(fixed("door", 16))
MERCHANT = MerchantId(fixed("merchant", 16))
INTENT = PaymentIntentId(fixed("payment intent", 16))
TERMINAL = TerminalId(fixed("terminal", 16))
SERVICE_KEY = signing_key("service key", fixed("service kid", 16))
TERMINAL_KEY = signing_key("terminal key", TERMINAL.raw)
MODEL_ID = fixed("model", 16)
NONCE = fixed("nonce", 32)

PAYMENT = PaymentContext(amount_minor=1250, currency="EUR", payee=MERCHANT, order="A-17")
INTENDED = replace(PAYMENT, intent=INTENT)
WITHDRAWAL = WithdrawalContext(amount_minor=500, currency="JPY")
ENTRY = EntryContext(door=DOOR, direction=Direction.IN)
ENROLMENT = EnrolmentContext(account=ACCOUNT, consent_version="2026-11")
PLAN = LivenessPlan(
    steps=(PlanStep(move=Move.LEFT, hold_ms=300), PlanStep(move=Move.UP, hold_ms=799)),
    colours=(Colour.WHITE, Colour.BLUE),
)
REPORT = LivenessReport(
    level=Level.STANDARD,
    outcome=LivenessOutcome.LIVE,
    plan_digest=PLAN.digest,
    transcript_digest=fixed("transcript", 32),
    frames=48,
    cues=(CueScore(name="motion", score_milli=912, outcome=LivenessOutcome.LIVE),),
    steps=(
        StepTiming(move=Move.LEFT, started_ms=100, ended_ms=400),
        StepTiming(move=Move.UP, started_ms=500, ended_ms=1299),
    ),
    colours=(
        ColourTiming(colour=Colour.WHITE, shown_ms=1400),
        ColourTiming(colour=Colour.BLUE, shown_ms=1800),
    ),
    camera=fixed("camera", 32),
)
EVIDENCE = Evidence(
    challenge=CHALLENGE,
    nonce=NONCE,
    attempt=ATTEMPT,
    terminal=TERMINAL,
    counter=7,
    context=PAYMENT,
    model_id=MODEL_ID,
    source=Source.CAMERA,
    captured_at_ms=NOW_MS,
    liveness=REPORT,
    seal_key_digest=fixed("seal key digest", 32),
    sealed=fixed("sealed", 64),
)
PROBE = Probe(
    claim="card:4000001234567899",
    embeddings=(fixed("embedding", 512),),
    pin="2468",
    holder_share=fixed("holder share", 32),
)
CARD_EVIDENCE = CardEvidence(
    challenge=CHALLENGE,
    nonce=NONCE,
    attempt=ATTEMPT,
    terminal=TERMINAL,
    counter=8,
    context=PAYMENT,
    entered_at_ms=NOW_MS,
    seal_key_digest=fixed("seal key digest", 32),
    sealed=fixed("sealed card", 64),
)
CARD_CHALLENGE = Challenge(
    challenge=CHALLENGE,
    nonce=NONCE,
    terminal=TERMINAL,
    context=PAYMENT,
    expires_at_ms=NOW_MS + 60_000,
    level=Level.NONE,
    plan=LivenessPlan(steps=()),
    model_ids=(),
    factor=Factor.CARD_PIN,
    seal_suite=SealSuite.X25519,
    seal_key=opening_key(SealSuite.X25519).public.raw,
)
CARD_PROBE = CardProbe(claim="card:4000001234567899", pin="2468")
SUCCESSOR = Successor(model_id=fixed("other model", 16), embedding=fixed("other embedding", 512))
APPROVAL = Decision(
    attempt=ATTEMPT,
    evidence_digest=fixed("evidence digest", 32),
    context=PAYMENT,
    outcome=Outcome.APPROVED,
    reason=None,
    result=ATTEMPT.raw,
    decided_at_ms=NOW_MS,
    expires_at_ms=NOW_MS + 60_000,
    leaf_hash=fixed("leaf", 32),
)
REFUSAL = Decision(
    attempt=ATTEMPT,
    evidence_digest=fixed("evidence digest", 32),
    context=WITHDRAWAL,
    outcome=Outcome.DENIED,
    reason="not_verified",
    result=None,
    decided_at_ms=NOW_MS,
    expires_at_ms=NOW_MS,
    leaf_hash=fixed("leaf", 32),
)

DOOR_EVENTS = DoorEvents(
    terminal=TERMINAL,
    previous=fixed("chain head", 32),
    records=(
        DoorRecord(
            sequence=7,
            at_ms=NOW_MS,
            offline=False,
            event=DoorEventKind.OPENED,
            attempt=ATTEMPT,
        ),
        DoorRecord(sequence=8, at_ms=NOW_MS + 1, offline=True, event=DoorEventKind.FORCED),
        DoorRecord(
            sequence=9,
            at_ms=NOW_MS + 2,
            offline=True,
            event=DoorEventKind.DECIDED,
            attempt=ATTEMPT,
            decision=DoorDecision(
                bundle=3,
                direction=Direction.IN,
                person=fixed("name at a door", 16),
                denial="anti_passback",
            ),
        ),
        DoorRecord(
            sequence=10,
            at_ms=NOW_MS + 3,
            offline=True,
            event=DoorEventKind.FAULT,
            fault=DoorFault.CLOCK_TURNED_BACK,
        ),
    ),
    head=fixed("chain head after", 32),
)
ROSTER = Roster(
    model_id=MODEL_ID,
    dimensions=128,
    threshold_micro=612_000,
    factor=Factor.FACE,
    level=Level.PASSIVE,
    claim_key=fixed("claim key", 32),
    mode="normal",
    passback="hard",
    passback_timeout_ms=3_600_000,
    occupancy_max=50,
    two_person_ms=None,
    others_inside=2,
    holidays=(739_975,),
    lockout=(5, 50, 30_000, 3_600_000),
    grants=(
        RosterGrant(
            schedule="Mon-Fri 06:00-20:00; Hol 10:00-12:00",
            time_zone="Europe/Berlin",
            valid_from_ms=0,
            valid_until_ms=NOW_MS * 2,
            through_lockdown=False,
        ),
    ),
    people=(
        RosterPerson(
            person=fixed("name at a door", 16),
            claim=fixed("claim at a door", 16),
            grants=(0,),
            references=fixed("references", 256),
            visit_until_ms=NOW_MS + 3_600_000,
            inside=True,
            since_ms=NOW_MS - 1,
            failures=2,
        ),
        RosterPerson(
            person=fixed("other name", 16),
            claim=fixed("other claim", 16),
            grants=(0,),
            references=fixed("other references", 128),
        ),
    ),
)
BUNDLE = Bundle(
    terminal=TERMINAL,
    door=DOOR,
    nonce=NONCE,
    number=3,
    issued_at_ms=NOW_MS,
    expires_at_ms=NOW_MS + 28_800_000,
    sequence=8,
    sealed=fixed("sealed roster", 64),
)
MESSAGES: tuple[Message, ...] = (
    PAYMENT,
    INTENDED,
    WITHDRAWAL,
    ENTRY,
    ENROLMENT,
    *PLAN.steps,
    PLAN,
    LivenessPlan(steps=()),
    *REPORT.cues,
    *REPORT.steps,
    *REPORT.colours,
    REPORT,
    Registration(
        code="MFRGGZDF-MZTWQ2LK.NBSWY3DPEB3W64TM",
        public_key=TERMINAL_KEY.public,
        kind=TerminalKind.STORE,
    ),
    Registered(
        terminal=TERMINAL,
        service_key=SERVICE_KEY.public,
        kind=TerminalKind.STORE,
        merchant=MERCHANT,
        door=None,
    ),
    Registered(
        terminal=TERMINAL,
        service_key=SERVICE_KEY.public,
        kind=TerminalKind.DOOR,
        merchant=None,
        door=DOOR,
    ),
    PaymentRequest(terminal=TERMINAL, requested_at_ms=NOW_MS),
    PaymentRequest(terminal=TERMINAL, requested_at_ms=NOW_MS, intent=INTENT),
    WaitingPayment(terminal=TERMINAL, requested_at_ms=NOW_MS, expires_at_ms=NOW_MS),
    WaitingPayment(
        terminal=TERMINAL,
        requested_at_ms=NOW_MS,
        expires_at_ms=NOW_MS + 600_000,
        context=INTENDED,
    ),
    *(
        ChallengeRequest(terminal=TERMINAL, context=context, requested_at_ms=NOW_MS)
        for context in (PAYMENT, WITHDRAWAL, ENTRY, ENROLMENT)
    ),
    ChallengeRequest(
        terminal=TERMINAL, context=PAYMENT, requested_at_ms=NOW_MS, colours=False, face=False
    ),
    CARD_CHALLENGE,
    Challenge(
        challenge=CHALLENGE,
        nonce=NONCE,
        terminal=TERMINAL,
        context=PAYMENT,
        expires_at_ms=NOW_MS + 60_000,
        level=Level.STANDARD,
        plan=PLAN,
        model_ids=(MODEL_ID, fixed("other model", 16)),
        factor=Factor.FACE_PIN,
        seal_suite=SealSuite.X25519,
        seal_key=opening_key(SealSuite.X25519).public.raw,
    ),
    EVIDENCE,
    PROBE,
    CARD_EVIDENCE,
    CARD_PROBE,
    Probe(claim="qr:7", embeddings=(fixed("one", 512),) * 2, pin=None, holder_share=None),
    SUCCESSOR,
    replace(PROBE, successor=SUCCESSOR),
    APPROVAL,
    replace(APPROVAL, factor=Factor.CARD_PIN),
    REFUSAL,
    Confirmation(
        attempt=ATTEMPT,
        terminal=TERMINAL,
        completion=Completion.COMPLETED,
        confirmed_at_ms=NOW_MS + 900,
    ),
    Confirmation(
        attempt=ATTEMPT,
        terminal=TERMINAL,
        completion=Completion.COMPLETED,
        confirmed_at_ms=NOW_MS + 900,
        amount_minor=2_000,
    ),
    Acknowledgement(attempt=ATTEMPT, completion=Completion.FAILED),
    *DOOR_EVENTS.records,
    DOOR_EVENTS,
    DoorEventsKept(terminal=TERMINAL, sequence=10, head=DOOR_EVENTS.heads[-1]),
    DoorDecision(
        bundle=3,
        direction=Direction.OUT,
        person=fixed("name at a door", 16),
        companion=fixed("other name", 16),
        alarm="anti_passback",
    ),
    BundleRequest(
        terminal=TERMINAL,
        nonce=NONCE,
        model_id=MODEL_ID,
        seal_suite=SealSuite.X25519,
        seal_key=opening_key(SealSuite.X25519).public.raw,
    ),
    *ROSTER.grants,
    *ROSTER.people,
    ROSTER,
    BUNDLE,
    DoorBeat(
        terminal=TERMINAL,
        nonce=NONCE,
        at_ms=NOW_MS,
        bundle=3,
        sequence=10,
        head=DOOR_EVENTS.heads[-1],
        waiting=2,
        camera=True,
        lock=False,
        fail_safe=False,
    ),
    DoorStanding(
        terminal=TERMINAL,
        nonce=NONCE,
        now_ms=NOW_MS,
        bundle=3,
        renew=True,
        void=False,
        revoked=(0, 7),
        fail_safe=True,
        release=ReleaseId(bytes(range(16))),
    ),
    Problem(reason="unavailable", detail="ask again with the same bytes", now_ms=NOW_MS),
)


def describe(value: object) -> Any:
    """A message as JSON: bytes in hex, ids in their text form, codes by name."""
    if isinstance(value, Message):
        shown = {
            each.name: describe(getattr(value, each.name))
            for each in fields(value)  # type: ignore[arg-type]
            if getattr(value, each.name) is not None
        }
        return _with_purpose(value, shown)
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, tuple):
        return [describe(each) for each in value]
    if isinstance(value, Id):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


def _with_purpose(value: Message, shown: Case) -> Case:
    if not isinstance(value, Context):
        return shown
    return {"purpose": purpose_of(value).name.lower()} | shown
