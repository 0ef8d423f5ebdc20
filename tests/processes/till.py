"""Registered terminals on real HTTP, with the real ceremony; made-up faces stand for the camera."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countenance.house import House
from face_engine.catalogue import load_pack
from face_engine.templates import Candidate
from face_engine.types import Embedding, Face
from liveness.types import Observation
from service.clock import unix_ms
from service.verification.policy import default_policy
from terminal_client.ceremony import Ceremony, Frame
from terminal_client.checkout import WAITING
from terminal_client.device import REGISTER
from terminal_client.exchange import Word
from terminal_client.keystore import Identity
from terminal_client.outbox import ATTEMPT, CONFIRM
from terminal_client.transport import CHALLENGE, Transport, send
from terminal_client.views import Views
from wire import envelope
from wire.envelope import SigningKey
from wire.ids import AccountId, MerchantId
from wire.messages import (
    Completion,
    Context,
    Decision,
    EnrolmentContext,
    PaymentContext,
    PaymentRequest,
    Registered,
    Registration,
    Source,
    TerminalKind,
    WaitingPayment,
    WithdrawalContext,
)
from wire.money import Money

CURRENCY = "EUR"
TRIES_MAX = 900
PAUSE_S = 0.1
DEADLINE_S = TRIES_MAX * PAUSE_S
FACE = Face(box=(0, 0, 100, 100), landmarks=np.zeros((5, 2), np.float32), score=1.0)


def made_up(seed: int) -> Embedding:
    """A face that nobody has, as the pack ``pip`` would embed it."""
    pack = load_pack("pip")
    numbers = np.random.default_rng(seed).normal(size=pack.embedder.dimensions)
    vector = (numbers / np.linalg.norm(numbers)).astype(np.float32)
    return Embedding(vector=vector, model_id=pack.model_id)


@dataclass
class Till:
    identity: Identity
    key: SigningKey
    transport: Transport
    counter: int = 0

    @classmethod
    def register(cls, code: str, kind: TerminalKind, transport: Transport) -> Till:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        request = Registration(code=code, public_key=public, kind=kind)
        answer = send(transport, REGISTER, envelope.sign(request, SigningKey(private, b"new")).raw)
        registered = envelope.parse(answer, Registered).message
        identity = Identity(
            terminal=registered.terminal,
            kind=kind,
            service_key=registered.service_key,
            merchant=registered.merchant,
            door=registered.door,
        )
        return cls(identity, SigningKey(private, identity.terminal.raw), transport)

    def send(self, path: str, body: bytes) -> bytes:
        """The same bytes until there is an answer."""
        return send(
            self.transport,
            path,
            body,
            tries=TRIES_MAX,
            deadline_s=DEADLINE_S,
            pause=lambda _: time.sleep(PAUSE_S),
        )

    def waiting(self) -> PaymentContext | None:
        """The payment that the merchant's system wants this terminal to take."""
        request = PaymentRequest(terminal=self.identity.terminal, requested_at_ms=unix_ms())
        answer = self.send(WAITING, envelope.sign(request, self.key).raw)
        return envelope.parse(answer, WaitingPayment).message.context

    def prepare(
        self, context: Context, seed: int, pin: str | None = None, claim: str | None = None
    ) -> Prepared:
        """Everything before the evidence is sent."""
        face = made_up(seed)
        views, none = (Views(same_person_min=0.5, reference_min=0.5) for _ in range(2))
        source = Source.CAMERA
        ceremony = Ceremony(
            self.identity,
            self.key,
            context,
            claim or f"card:{seed}",
            face.model_id,
            source,
            views,
            none,
        )
        ceremony.begin(self.send(CHALLENGE, ceremony.ask(unix_ms())))
        seen = Observation(captured_at_ms=0, faces=(FACE,), passive=None, embedding=face)
        view = Candidate(embedding=face, quality=50, yaw_deg=0, pitch_deg=0)
        ceremony.look(Frame(observation=seen, flaw=None, view=view))
        self.counter += 1
        evidence = ceremony.evidence(
            counter=self.counter, pin=pin, camera=bytes(32), now_ms=unix_ms()
        )
        return Prepared(self, ceremony, evidence)


@dataclass
class Prepared:
    """Evidence that is ready to be sent, as often as it takes."""

    till: Till
    ceremony: Ceremony
    evidence: bytes = field(repr=False)
    answer: bytes = field(default=b"", repr=False)

    def decide(self) -> Decision:
        self.answer = self.till.send(ATTEMPT, self.evidence)
        decision = self.ceremony.decide(self.answer).decision
        assert decision is not None
        return decision

    def confirm(self, completion: Completion = Completion.COMPLETED) -> None:
        word = self.ceremony.confirm(Word(completion), unix_ms())
        self.ceremony.acknowledge(self.till.send(CONFIRM, word))


@dataclass
class Mall:
    """What an operator sets up for the tills, and who shops there."""

    house: House
    merchant: MerchantId = field(init=False)
    accounts: dict[int, AccountId] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.merchant = self.house.operations.add_merchant("Shop", CURRENCY)

    def add_till(self, kind: TerminalKind, transport: Transport) -> Till:
        merchant = self.merchant if kind is TerminalKind.STORE else None
        _, code = self.house.operations.add_terminal(kind, kind.name, merchant=merchant)
        return Till.register(code, kind, transport)

    def enrol(self, station: Till, amount_minor: int) -> None:
        """A customer with ``card:seed``, the made-up face ``seed`` and this much money."""
        seed = int.from_bytes(self.merchant.raw[:4], "big") + len(self.accounts)
        account = AccountId.new()
        context = EnrolmentContext(
            account=account, consent_version=default_policy().consent_version
        )
        decision = station.prepare(context, seed).decide()
        assert decision.approved, decision
        money = Money(amount_minor=amount_minor, currency=CURRENCY)
        assert self.house.operations.top_up(account, money) is None
        self.accounts[seed] = account

    def payment(self, amount_minor: int, order: str) -> PaymentContext:
        return PaymentContext(
            amount_minor=amount_minor, currency=CURRENCY, payee=self.merchant, order=order
        )


def withdrawal(amount_minor: int) -> WithdrawalContext:
    return WithdrawalContext(amount_minor=amount_minor, currency=CURRENCY)
