"""What a terminal asks for before and after an attempt: registration, what to take, challenge,
confirmation.

Guarantees: a code registers one key; a challenge is for the terminal that signed the request,
for what it may ask for, and drawn freshly; the first word on an approval stands.

The caller must still answer 503 to :class:`service.errors.Unavailable`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from psycopg import Connection

from face_engine.calibration import Calibration
from service import attempts, policies
from service.access import store as access
from service.audit import log
from service.audit.leaf import ConfirmationLeaf
from service.clock import Clock
from service.db import Database, Row
from service.faces import accepted
from service.intents import refuse_intent
from service.keys import KeyRing
from service.ledger import store as ledger
from service.ledger.rules import CloseRefusal
from service.payments import store as payments
from service.stages import Refused, refused
from service.terminals import challenges, registration
from service.terminals import store as terminals
from service.terminals.store import Terminal
from service.verification.policy import Policy
from wire import envelope
from wire.codec import Message
from wire.denial import Denial, Reason
from wire.envelope import Signed, Unverified
from wire.errors import SignatureError, WireError
from wire.ids import ChallengeId, EntryId, TerminalId, TransferId
from wire.messages import (
    NONCE_BYTES,
    Acknowledgement,
    Challenge,
    ChallengeRequest,
    Completion,
    Confirmation,
    Context,
    EnrolmentContext,
    EntryContext,
    Factor,
    Level,
    PaymentContext,
    PaymentRequest,
    Registered,
    Registration,
    WaitingPayment,
    WithdrawalContext,
)
from wire.plan import draw_plan

CLOCK_SKEW_MAX_MS = 120_000
M = TypeVar("M", bound=Message)
R = TypeVar("R", ChallengeRequest, PaymentRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often a terminal may ask: a bucket of ``burst``, refilled by ``per_minute``."""

    per_minute: int = 60
    burst: int = 20


class Desk:
    """Composes the domains; they do not know each other."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        calibrations: Mapping[bytes, Calibration],
        clock: Clock,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._calibrations = calibrations
        self._clock = clock
        self._limits = limits or Limits()

    def register(self, raw: bytes) -> Signed[Registered] | Refused:
        """Binds a new terminal's key to the terminal that the one-time code was made for."""
        try:
            unverified = envelope.parse(raw, Registration)
            request = envelope.verify(unverified, unverified.message.public_key).message
        except SignatureError as error:
            return refused(Denial.SIGNATURE_INVALID, str(error))
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        with self._database.transaction() as conn:
            terminal = terminals.register(
                conn,
                code_hash=registration.code_hash(request.code, self._keys.claims),
                kind=request.kind,
                public_key=request.public_key,
                now_ms=self._clock(),
            )
        if terminal is None:
            return refused(Denial.TERMINAL_UNKNOWN, "the code is wrong, used or expired")
        answer = Registered(
            terminal=terminal.terminal,
            service_key=self._keys.signing.public,
            kind=terminal.kind,
            merchant=terminal.merchant,
            door=terminal.door,
        )
        return envelope.sign(answer, self._keys.signing)

    def next_payment(self, raw: bytes) -> Signed[WaitingPayment] | Refused:
        """What a store's terminal is to take: the intent that it names, or the oldest for it."""
        try:
            unverified = envelope.parse(raw, PaymentRequest)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        now_ms, request = self._clock(), unverified.message
        with self._database.transaction(pipelined=True) as conn:
            terminal = self._admit(conn, unverified, now_ms)
            if isinstance(terminal, Refused):
                return terminal
            if request.intent is None:
                found = payments.next_for(conn, terminal.terminal, now_ms=now_ms)
            else:
                found = payments.find(conn, request.intent, now_ms=now_ms)
                denial: Denial | None = Denial.INTENT_UNKNOWN
                if found is not None and _belongs(terminal, found.context):
                    denial = refuse_intent(conn, found.context, terminal, now_ms=now_ms)
                if denial is not None:
                    return refused(denial, "the payment is not open")
        answer = WaitingPayment(
            terminal=terminal.terminal,
            requested_at_ms=request.requested_at_ms,
            expires_at_ms=found.expires_at_ms if found else now_ms,
            context=found.context if found else None,
        )
        return envelope.sign(answer, self._keys.signing)

    def challenge(self, raw: bytes) -> Signed[Challenge] | Refused:
        """Issues a single-use challenge for one context to one terminal."""
        try:
            unverified = envelope.parse(raw, ChallengeRequest)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        now_ms, request = self._clock(), unverified.message
        with self._database.transaction(pipelined=True) as conn:
            terminal = self._admit(conn, unverified, now_ms)
            if isinstance(terminal, Refused):
                return terminal
            version, policy = policies.latest(conn, self._keys.signing, now_ms=now_ms)
            if not _belongs(terminal, request.context):
                return refused(Denial.CONTEXT_CHANGED, "not this terminal's to ask for")
            denial = refuse_intent(conn, request.context, terminal, now_ms=now_ms)
            if denial is not None:
                return refused(denial, "the payment is not open")
            challenge = self._draw(terminal, request, policy, now_ms)
            if isinstance(challenge, Refused):
                return challenge
            challenges.store_challenge(conn, challenge, policy_version=version, now_ms=now_ms)
        return envelope.sign(challenge, self._keys.signing)

    def _draw(
        self, terminal: Terminal, request: ChallengeRequest, policy: Policy, now_ms: int
    ) -> Challenge | Refused:
        nonce, context = secrets.token_bytes(NONCE_BYTES), request.context
        tier = policy.tier_for(context) if request.face else None
        denial = None if request.face else policy.refuse_card(context)
        if denial is Denial.FACTOR_NOT_ALLOWED:
            return refused(denial, "the policy asks for a face here")
        if denial is not None or (request.face and tier is None):
            return refused(Denial.LIMIT_EXCEEDED, "the amount is above the limit")
        level = tier.liveness if tier else Level.NONE
        models = accepted(self._calibrations, policy) if tier else ()
        seal_key = self._keys.opening.public
        return Challenge(
            challenge=ChallengeId.new(),
            nonce=nonce,
            terminal=terminal.terminal,
            context=context,
            expires_at_ms=now_ms + policy.challenge_ttl_ms,
            level=level,
            plan=draw_plan(nonce, level, colours=request.colours),
            model_ids=tuple(each.model_id for each in models),
            factor=tier.factor if tier else Factor.CARD_PIN,
            seal_suite=seal_key.suite,
            seal_key=seal_key.raw,
        )

    def confirm(self, raw: bytes) -> Signed[Acknowledgement] | Refused:
        """Takes what a terminal did with an approval; the first word on it stands."""
        try:
            unverified = envelope.parse(raw, Confirmation)
        except WireError as error:
            return refused(Denial.MALFORMED, str(error))
        confirmation = unverified.message
        with self._database.transaction(pipelined=True) as conn:
            terminal = self._authenticate(conn, unverified, unverified.message.terminal)
            if isinstance(terminal, Refused):
                return terminal
            approval = attempts.lock_approved(conn, confirmation.attempt, terminal.terminal)
            if approval is None:
                return refused(Denial.MALFORMED, "no approved attempt of this terminal")
            completion = approval.completion
            if completion is None:
                completion = confirmation.completion
                self._complete(conn, confirmation)
        answer = Acknowledgement(attempt=confirmation.attempt, completion=completion)
        return envelope.sign(answer, self._keys.signing)

    def _complete(self, conn: Connection[Row], confirmation: Confirmation) -> None:
        now_ms, attempt = self._clock(), confirmation.attempt
        done = confirmation.completion is Completion.COMPLETED
        attempts.complete(conn, confirmation, now_ms=now_ms)
        transfer, part_minor, finding = TransferId(attempt.raw), confirmation.amount_minor, None
        if not ledger.is_withdrawal(conn, transfer):
            finding = CloseRefusal.AMOUNT_OUT_OF_RANGE if part_minor is not None else None
        elif done:
            finding = ledger.post(conn, transfer, now_ms=now_ms, amount_minor=part_minor)
        else:
            finding = ledger.void(conn, transfer, now_ms=now_ms)
        access.close_entry(conn, EntryId(attempt.raw), opened=done, at_ms=now_ms)
        leaf = ConfirmationLeaf(
            at_ms=now_ms,
            attempt=attempt,
            completion=confirmation.completion,
            finding=finding,
            amount_minor=part_minor,
        )
        log.append(conn, leaf.encode())

    def _admit(
        self,
        conn: Connection[Row],
        unverified: Unverified[R],
        now_ms: int,
    ) -> Terminal | Refused:
        """The terminal that signed the request, if its clock is right and it asks not too often."""
        request = unverified.message
        terminal = self._authenticate(conn, unverified, request.terminal)
        if isinstance(terminal, Refused):
            return terminal
        if abs(request.requested_at_ms - now_ms) > CLOCK_SKEW_MAX_MS:
            return refused(Denial.CHALLENGE_EXPIRED, "the terminal's clock is wrong")
        if not terminals.take_token(
            conn,
            terminal.terminal,
            per_minute=self._limits.per_minute,
            burst=self._limits.burst,
            now_ms=now_ms,
        ):
            return Refused(None, Reason.TOO_MANY_REQUESTS, "wait a few seconds")
        return terminal

    def _authenticate(
        self,
        conn: Connection[Row],
        unverified: Unverified[M],
        claimed: TerminalId,
    ) -> Terminal | Refused:
        """(2): the registered terminal whose key signed; revoked ones are told so."""
        terminal = terminals.find(conn, claimed)
        if (
            terminal is None
            or terminal.public_key is None
            or unverified.kid != terminal.terminal.raw
        ):
            return refused(Denial.TERMINAL_UNKNOWN, "register this terminal")
        try:
            envelope.verify(unverified, terminal.public_key)
        except SignatureError as error:
            return refused(Denial.SIGNATURE_INVALID, str(error))
        if terminal.revoked:
            return refused(Denial.TERMINAL_REVOKED, "this terminal was revoked")
        return terminal


def _belongs(terminal: Terminal, context: Context) -> bool:
    """Whether a terminal may ask for this context at all."""
    if isinstance(context, PaymentContext):
        return terminal.merchant == context.payee
    if isinstance(context, EntryContext):
        return terminal.door == context.door
    return isinstance(context, WithdrawalContext) == (terminal.kind.name == "ATM") and (
        isinstance(context, EnrolmentContext) == (terminal.kind.name == "ENROLMENT")
    )
