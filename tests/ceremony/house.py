"""A whole service in this process, and terminals that speak to it without a socket."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from numpy.typing import NDArray
from werkzeug.test import TestResponse

from access.rules import Grant
from access.schedule import Schedule, find_time_zone
from face_engine.calibration import Calibration
from service import policies
from service.access import places
from service.access.places import Place, Subject
from service.app import create_app
from service.authorize import Authorizer
from service.db import Database
from service.desk import Limits
from service.funding.processor import Processors
from service.keys import KeyRing
from service.ledger import store as ledger
from service.operators.acts import Operations
from service.terminals import registration
from service.terminals import store as terminals
from service.terminals.store import Terminal
from service.verification.liveness import COLOUR_MS_MIN, REACTION_MS_MIN
from service.verification.policy import Policy, default_policy
from wire import envelope
from wire.envelope import SealKey, SigningKey
from wire.ids import (
    AccountId,
    AttemptId,
    DoorId,
    MerchantId,
    PaymentIntentId,
    TerminalId,
    TransferId,
)
from wire.messages import (
    NO_BIOMETRICS,
    AnyEvidence,
    CardEvidence,
    CardProbe,
    Challenge,
    ChallengeRequest,
    ColourTiming,
    Completion,
    Confirmation,
    Context,
    Decision,
    Direction,
    EnrolmentContext,
    EntryContext,
    Evidence,
    Level,
    LivenessOutcome,
    LivenessReport,
    PaymentContext,
    PaymentRequest,
    Probe,
    Registered,
    Registration,
    Source,
    StepTiming,
    TerminalKind,
    WaitingPayment,
    WithdrawalContext,
)
from wire.money import Money

CAMERA = sha256(b"the terminal's camera").digest()
MODEL_ID, BETTER_MODEL_ID = b"a model of tests", b"better in tests."
CALIBRATIONS = {
    model_id: Calibration(
        model_id=model_id,
        pack=pack,
        dimensions=128,
        provenance="made up",
        people=1,
        impostor_comparisons=1,
        points=((0.7, 1e-4),),
    )
    for model_id, pack in ((MODEL_ID, "pip"), (BETTER_MODEL_ID, "open"))
}
NOW_MS = 1_800_000_000_000
CURRENCY = "EUR"
EVENT_SECRET = "whsec_of_tests"


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def face(seed: int, *, like: float = 1.0) -> bytes:
    """A made-up face; ``like`` is its cosine with the same person's ``face(seed)``."""
    random = np.random.default_rng(seed)
    own, other = _unit(random.normal(size=128)), random.normal(size=128)
    other = _unit(other - own * (other @ own))
    return (like * own + np.sqrt(1 - like**2) * other).astype("<f4").tobytes()


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


@dataclass
class House:
    """The service, and what an operator set up in it."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    keys: KeyRing = field(default_factory=KeyRing.ephemeral)
    merchant: MerchantId = field(default_factory=MerchantId.new)
    door: DoorId = field(default_factory=DoorId.new)
    limits: Limits = field(default_factory=lambda: Limits(per_minute=100_000, burst=10_000))
    processors: Processors = field(default_factory=dict)
    calibrations: Mapping[bytes, Calibration] = field(default_factory=lambda: CALIBRATIONS)

    def __post_init__(self) -> None:
        authorizer = Authorizer(
            self.database,
            self.keys,
            self.calibrations,
            self.clock,
            limits=self.limits,
            processors=self.processors,
        )
        self.operations = Operations(self.database, self.keys, self.clock)
        self.app = create_app(
            authorizer,
            self.database,
            self.operations,
            processors=self.processors,
            stripe_webhook_secret=EVENT_SECRET,
            console_origin="http://localhost",
        )
        with self.database.transaction() as conn:
            conn.execute(
                "INSERT INTO merchants (merchant_id, name, currency, created_at_ms)"
                " VALUES (%s, 'Shop', 'EUR', 1)",
                (self.merchant.raw,),
            )
            ledger.open_merchant(conn, self.merchant, CURRENCY)
            places.add_door(conn, places.Door(door=self.door, name="Front"), now_ms=1)

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def publish(self, policy: Policy) -> None:
        with self.database.transaction() as conn:
            policies.publish(conn, policy, self.keys.signing, now_ms=self.clock())

    def add_terminal(self, kind: TerminalKind) -> Device:
        """An operator adds a terminal; the device registers with the code."""
        code = registration.new_code(self.keys.signing.public)
        terminal = Terminal(
            terminal=TerminalId.new(),
            kind=kind,
            name=kind.name,
            merchant=self.merchant if kind is TerminalKind.STORE else None,
            door=self.door if kind is TerminalKind.DOOR else None,
            public_key=None,
            revoked=False,
        )
        with self.database.transaction() as conn:
            terminals.add_terminal(
                conn,
                terminal,
                code_hash=registration.code_hash(code, self.keys.claims),
                code_expires_at_ms=self.clock() + registration.CODE_TTL_MS,
                now_ms=self.clock(),
            )
            if kind is TerminalKind.ATM:
                ledger.open_cassette(conn, terminal.terminal, CURRENCY)
        return Device.register(self, kind, code)

    def top_up(self, account: AccountId, amount_minor: int) -> None:
        with self.database.transaction() as conn:
            ledger.top_up(
                conn,
                transfer=TransferId.new(),
                account=account,
                money=Money(amount_minor=amount_minor, currency=CURRENCY),
                now_ms=self.clock(),
            )

    def grant(
        self, subject: Subject, schedule: str = "always", *, place: Place | None = None
    ) -> None:
        """For the door, unless ``place`` says another."""
        grant = Grant(
            schedule=Schedule.parse(schedule),
            time_zone=find_time_zone("UTC"),
            valid_from_ms=0,
            valid_until_ms=2**50,
        )
        with self.database.transaction() as conn:
            places.set_grant(conn, subject, place or self.door, grant)

    def denial_of(self, attempt: AttemptId) -> str | None:
        """What the audit keeps of an attempt; the terminal is never told."""
        with self.database.transaction() as conn:
            row = conn.execute(
                "SELECT denial FROM attempts WHERE attempt_id = %s", (attempt.raw,)
            ).fetchone()
        assert row is not None
        return row[0]


@dataclass
class Device:
    """A terminal that does everything right, unless a test changes what it sends."""

    house: House
    key: SigningKey
    terminal: TerminalId
    counter: int = 0

    @classmethod
    def register(cls, house: House, kind: TerminalKind, code: str) -> Device:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        draft = SigningKey(private, sha256(public).digest()[:16])
        request = Registration(code=code, public_key=public, kind=kind)
        answer = house.client().post(
            "/v1/terminals",
            data=envelope.sign(request, draft).raw,
            content_type="application/cose",
        )
        assert answer.status_code == 201, answer.data
        registered = envelope.verify(
            envelope.parse(answer.data, Registered), house.keys.signing.public
        ).message
        terminal = registered.terminal
        return cls(house, SigningKey(private, terminal.raw), terminal)

    def send(self, path: str, raw: bytes) -> TestResponse:
        return self.house.client().post(path, data=raw, content_type="application/cose")

    def take(self, intent: PaymentIntentId | None = None) -> TestResponse:
        request = PaymentRequest(
            terminal=self.terminal, requested_at_ms=self.house.clock(), intent=intent
        )
        return self.send("/v1/payments", envelope.sign(request, self.key).raw)

    def waiting(self, intent: PaymentIntentId | None = None) -> PaymentContext | None:
        """What the service says is to be paid here."""
        answer = self.take(intent)
        assert answer.status_code == 200, answer.data
        unverified = envelope.parse(answer.data, WaitingPayment)
        return envelope.verify(unverified, self.house.keys.signing.public).message.context

    def ask(self, context: Context, *, face: bool = True) -> TestResponse:
        request = ChallengeRequest(
            terminal=self.terminal,
            context=context,
            requested_at_ms=self.house.clock(),
            colours=face,
            face=face,
        )
        return self.send("/v1/challenges", envelope.sign(request, self.key).raw)

    def challenge(self, context: Context, *, face: bool = True) -> Challenge:
        answer = self.ask(context, face=face)
        assert answer.status_code == 201, answer.data
        unverified = envelope.parse(answer.data, Challenge)
        return envelope.verify(unverified, self.house.keys.signing.public).message

    def evidence(self, challenge: Challenge, probe: Probe, /, **changes: object) -> Evidence:
        self.counter += 1
        # The person needs this long for the plan: a report of more time than passed is refused.
        plan = challenge.plan
        self.house.clock.now_ms += sum(
            REACTION_MS_MIN + step.hold_ms for step in plan.steps
        ) + COLOUR_MS_MIN * len(plan.colours)
        seal_key = SealKey(challenge.seal_suite, challenge.seal_key)
        clear = Evidence(
            challenge=challenge.challenge,
            nonce=challenge.nonce,
            attempt=AttemptId.new(),
            terminal=self.terminal,
            counter=self.counter,
            context=challenge.context,
            model_id=MODEL_ID,
            source=Source.CAMERA,
            captured_at_ms=self.house.clock(),
            liveness=live_report(challenge),
            seal_key_digest=seal_key.digest,
            sealed=b"-",
        )
        changed = replace(clear, **changes)
        return replace(changed, sealed=seal_key.seal(probe.encode(), changed.binding))

    def card_evidence(
        self, challenge: Challenge, probe: CardProbe, /, **changes: object
    ) -> CardEvidence:
        self.counter += 1
        seal_key = SealKey(challenge.seal_suite, challenge.seal_key)
        clear = CardEvidence(
            challenge=challenge.challenge,
            nonce=challenge.nonce,
            attempt=AttemptId.new(),
            terminal=self.terminal,
            counter=self.counter,
            context=challenge.context,
            entered_at_ms=self.house.clock(),
            seal_key_digest=seal_key.digest,
            sealed=b"-",
        )
        changed = replace(clear, **changes)
        return replace(changed, sealed=seal_key.seal(probe.encode(), changed.binding))

    def card_attempt(self, context: Context, probe: CardProbe, /, **changes: object) -> Decision:
        """The way without a face."""
        challenge = self.challenge(context, face=False)
        evidence = self.card_evidence(challenge, probe, **changes)
        return self.read(self.send("/v1/card-attempts", self.sign(evidence)))

    def sign(self, evidence: AnyEvidence) -> bytes:
        return envelope.sign(evidence, self.key).raw

    def read(self, answer: TestResponse) -> Decision:
        assert answer.status_code == 200, answer.data
        unverified = envelope.parse(answer.data, Decision)
        return envelope.verify(unverified, self.house.keys.signing.public).message

    def attempt(self, context: Context, probe: Probe, /, **changes: object) -> Decision:
        """Challenge, capture, evidence, decision."""
        evidence = self.evidence(self.challenge(context), probe, **changes)
        return self.read(self.send("/v1/attempts", self.sign(evidence)))

    def confirm(
        self, attempt: AttemptId, completion: Completion, *, amount_minor: int | None = None
    ) -> TestResponse:
        confirmation = Confirmation(
            attempt=attempt,
            terminal=self.terminal,
            completion=completion,
            confirmed_at_ms=self.house.clock(),
            amount_minor=amount_minor,
        )
        return self.send("/v1/confirmations", envelope.sign(confirmation, self.key).raw)


def live_report(challenge: Challenge) -> LivenessReport:
    """A person who does at once what the plan asks."""
    steps, clock = [], 0
    for step in challenge.plan.steps:
        began = clock + REACTION_MS_MIN
        clock = began + step.hold_ms
        steps.append(StepTiming(move=step.move, started_ms=began, ended_ms=clock))
    colours = tuple(
        ColourTiming(colour=colour, shown_ms=clock + COLOUR_MS_MIN * index)
        for index, colour in enumerate(challenge.plan.colours)
    )
    return LivenessReport(
        level=challenge.level,
        outcome=LivenessOutcome.LIVE,
        plan_digest=challenge.plan.digest,
        transcript_digest=os.urandom(32),
        frames=30,
        cues=(),
        steps=tuple(steps),
        colours=colours,
        camera=CAMERA,
    )


def probe(seed: int, *, claim: str | None = None, like: float = 0.9, pin: str | None = None,
          share: bytes | None = None) -> Probe:  # fmt: skip
    return Probe(
        claim=claim or f"card:{seed}",
        embeddings=(face(seed, like=like),),
        pin=pin,
        holder_share=share,
    )


def enrol(house: House, seed: int, *, pin: str | None = "2468", share: bytes | None = None
          ) -> AccountId:  # fmt: skip
    account = AccountId.new()
    context = EnrolmentContext(account=account, consent_version=default_policy().consent_version)
    station = house.add_terminal(TerminalKind.ENROLMENT)
    wanted = Probe(
        claim=f"card:{seed}",
        embeddings=(face(seed), face(seed, like=0.95)),
        pin=pin,
        holder_share=share,
    )
    decision = station.attempt(context, wanted)
    assert decision.approved, decision
    return account


def card(seed: int, pin: str = "2468", *, claim: str | None = None) -> CardProbe:
    return CardProbe(claim=claim or f"card:{seed}", pin=pin)


def enrol_without_face(
    house: House, seed: int, pin: str = "2468", *, claim: str | None = None
) -> AccountId:
    account = AccountId.new()
    context = EnrolmentContext(account=account, consent_version=NO_BIOMETRICS)
    station = house.add_terminal(TerminalKind.ENROLMENT)
    decision = station.card_attempt(context, card(seed, pin, claim=claim))
    assert decision.approved, decision
    return account


def payment(house: House, amount_minor: int = 500) -> PaymentContext:
    return PaymentContext(
        amount_minor=amount_minor, currency=CURRENCY, payee=house.merchant, order="A-1"
    )


def withdrawal(amount_minor: int = 2000) -> WithdrawalContext:
    return WithdrawalContext(amount_minor=amount_minor, currency=CURRENCY)


def entry(house: House) -> EntryContext:
    return EntryContext(door=house.door, direction=Direction.IN)


def level_of(house: House, context: Context) -> Level:
    tier = default_policy().tier_for(context)
    assert tier is not None
    return tier.liveness


Houses = Iterator[House]
