"""A terminal without its camera: registration, and what was left over from last time.

Guarantees: evidence is on disk before it is sent, and the same bytes are sent until they are
answered, so a lost answer never charges twice; an approval that the device's journal does not
know as acted on before a power cut is confirmed as failed at the next start; a message leaves the
outbox only when the pinned service has answered it. A withdrawal or an entry that is approved too
late is not acted on, and confirmed as failed; a payment stands, since its money moved with the
decision.

The caller must reconcile before it starts a new attempt.
"""

from __future__ import annotations

import time
from base64 import b32encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Self

from terminal_client.errors import (
    NotRegistered,
    NotTheService,
    Rejected,
    StorageError,
    Unreachable,
    UsageError,
)
from terminal_client.exchange import (
    COMPLETED,
    FAILED,
    Ended,
    Exchange,
    Word,
    check_acknowledgement,
    check_decision,
    confirmation,
)
from terminal_client.keystore import Identity, Keystore
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox, Waiting
from terminal_client.transport import DEADLINE_S, Transport, send
from wire import envelope
from wire.envelope import Signed
from wire.errors import WireError
from wire.messages import (
    CardEvidence,
    Decision,
    EntryContext,
    Evidence,
    PaymentContext,
    Registered,
    Registration,
    TerminalKind,
    WithdrawalContext,
)

REGISTER = "/v1/terminals"
CODE_CHARS_MAX = 64


Actuator = Callable[[Decision], Word]
"""Prints, dispenses or opens for an approval, and says what it did."""


def left_over(decision: Decision) -> Word:
    """Of an approval that nobody knows to have been acted on before the power cut."""
    released = isinstance(decision.context, WithdrawalContext | EntryContext)
    return FAILED if released else COMPLETED


@dataclass
class Device:
    """``unix_ms`` is the wall clock in milliseconds; ``monotonic_ms`` one that nobody sets;
    ``patience_s`` is how long an attempt's message is sent before there is no answer."""

    keystore: Keystore
    outbox: Outbox
    transport: Transport
    unix_ms: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000, kw_only=True)
    monotonic_ms: Callable[[], int] = field(
        default=lambda: time.monotonic_ns() // 1_000_000, kw_only=True
    )
    patience_s: float = field(default=DEADLINE_S, kw_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.outbox.close()

    @property
    def identity(self) -> Identity:
        """Raises :class:`NotRegistered`."""
        identity = self.keystore.identity
        if identity is None:
            raise NotRegistered("this terminal is not registered: get a code from an operator")
        return identity

    def register(self, code: str, kind: TerminalKind) -> Identity:
        """Raises :class:`NotTheService` where the answer is not of the service in the code."""
        fingerprint = _fingerprint(code)
        key = self.keystore.registration_key
        request = Registration(code=code, public_key=self.keystore.public_key, kind=kind)
        answer = send(self.transport, REGISTER, envelope.sign(request, key).raw)
        try:
            unverified = envelope.parse(answer, Registered)
            registered = envelope.verify(unverified, unverified.message.service_key).message
        except WireError as error:
            raise NotTheService("the registration was not answered by a service") from error
        pinned = b32encode(sha256(registered.service_key).digest()[:10]).decode()
        if not compare_digest(fingerprint, pinned):
            raise NotTheService("another service answered than the one that gave the code")
        identity = Identity(
            terminal=registered.terminal,
            kind=registered.kind,
            service_key=registered.service_key,
            merchant=registered.merchant,
            door=registered.door,
        )
        self.keystore.remember(identity)
        return identity

    def carry_out(
        self, exchange: Exchange, act: Actuator, *, on_send: Callable[[], None] = lambda: None
    ) -> Ended:
        """Everything from the evidence on: stored, sent, decided, acted on, confirmed.

        ``on_send`` is called before the evidence is stored; what it raises ends the attempt.

        Raises :class:`TerminalError` where there is no decision; :meth:`reconcile` gets it then.
        """
        on_send()
        waiting = Waiting(exchange.attempt, exchange.PATH, exchange.sent.raw)
        self.outbox.put(waiting)
        sent_at_ms = self.monotonic_ms()
        answer = send(self.transport, waiting.path, waiting.raw, deadline_s=self.patience_s)
        ended = exchange.decide(answer)
        if not ended.approved or ended.decision is None:
            self.outbox.done(waiting)
            return ended
        over = self._is_over(ended.decision, sent_at_ms)
        word = FAILED if over else act(ended.decision)
        confirmed = exchange.confirm(word, self.unix_ms())
        follow = Waiting(exchange.attempt, CONFIRM, confirmed)
        self.outbox.swap(waiting, follow)
        # What was approved and done stays so: a lost confirmation waits for the next start.
        with suppress(Unreachable, Rejected, NotTheService):
            exchange.acknowledge(send(self.transport, CONFIRM, confirmed))
            self.outbox.done(follow)
        return ended

    def _is_over(self, decision: Decision, sent_at_ms: int) -> bool:
        """Whether the approval's time passed since the evidence was sent, before it was decided.

        The two clocks of day need not agree. A payment is never over.
        """
        if isinstance(decision.context, PaymentContext):
            return False
        lives_ms = decision.expires_at_ms - decision.decided_at_ms
        return self.monotonic_ms() - sent_at_ms >= lives_ms

    def reconcile(self, settle: Actuator = left_over) -> list[Decision]:
        """Settles what the last run left; returns the decisions that it learns of.

        ``settle`` says from the device's own journal what was done for an approval.
        Raises :class:`TerminalError` where the service cannot be reached: do not go on then.
        """
        learned = []
        for waiting in self.outbox.waiting():
            if waiting.path != CONFIRM:
                learned.append(self._recall(waiting, settle))
            else:
                self._deliver(waiting)
        return learned

    def _recall(self, waiting: Waiting, settle: Actuator) -> Decision:
        evidence = self._own(waiting)
        answer = send(self.transport, waiting.path, waiting.raw)
        decision = check_decision(answer, evidence, self.identity)
        if not decision.approved:
            self.outbox.done(waiting)
            return decision
        key = self.keystore.signing_key(self.identity)
        word = confirmation(waiting.attempt, settle(decision), self.identity, key, self.unix_ms())
        follow = Waiting(waiting.attempt, CONFIRM, word)
        self.outbox.swap(waiting, follow)
        self._deliver(follow)
        return decision

    def _own(self, waiting: Waiting) -> Signed[Evidence] | Signed[CardEvidence]:
        key = self.keystore.public_key
        try:
            if waiting.path == ATTEMPT:
                return envelope.verify(envelope.parse(waiting.raw, Evidence), key)
            return envelope.verify(envelope.parse(waiting.raw, CardEvidence), key)
        except WireError as error:
            raise StorageError(
                "the outbox holds evidence that this terminal's key did not sign"
            ) from error

    def _deliver(self, waiting: Waiting) -> None:
        """Sends a confirmation, and forgets it once the service has it."""
        answer = send(self.transport, waiting.path, waiting.raw)
        check_acknowledgement(answer, waiting.attempt, self.identity)
        self.outbox.done(waiting)


def _fingerprint(code: str) -> str:
    """The service's fingerprint in a registration code; raises :class:`UsageError`."""
    secret, _, fingerprint = code.partition(".")
    if not secret or len(fingerprint.strip()) != 16 or len(code) > CODE_CHARS_MAX:
        raise UsageError("a registration code reads XXXXXXXX-XXXXXXXX.KKKKKKKKKKKKKKKK")
    return fingerprint.strip().upper()
