"""A terminal without its camera: registration, and what was left over from last time.

Guarantees: an approval that the device's journal does not know as acted on before a power cut
is confirmed as failed at the next start; a message leaves the outbox only when the pinned
service has answered it.

The caller must reconcile before it starts a new attempt.
"""

from __future__ import annotations

import time
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import Self

from terminal_client.ceremony import check_acknowledgement, check_decision, confirmation
from terminal_client.errors import NotRegistered, NotTheService, StorageError, UsageError
from terminal_client.keystore import Identity, Keystore
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox, Waiting
from terminal_client.transport import Transport, send
from wire import envelope
from wire.envelope import Signed
from wire.errors import WireError
from wire.ids import AttemptId
from wire.messages import (
    Completion,
    Decision,
    EntryContext,
    Evidence,
    Registered,
    Registration,
    TerminalKind,
    WithdrawalContext,
)

REGISTER = "/v1/terminals"
CODE_CHARS_MAX = 64


@dataclass
class Device:
    """``unix_ms`` is the wall clock in milliseconds; ``monotonic_ms`` one that nobody sets."""

    keystore: Keystore
    outbox: Outbox
    transport: Transport
    unix_ms: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000, kw_only=True)
    monotonic_ms: Callable[[], int] = field(
        default=lambda: time.monotonic_ns() // 1_000_000, kw_only=True
    )

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

    def reconcile(self, was_done: Callable[[AttemptId], bool] = lambda _: False) -> list[Decision]:
        """Settles what the last run left; returns the decisions that it learns of.

        ``was_done`` says from the device's own journal whether notes or a door were released.
        Raises :class:`TerminalError` where the service cannot be reached: do not go on then.
        """
        learned = []
        for waiting in self.outbox.waiting():
            if waiting.path == ATTEMPT:
                decision = self._recall(waiting, done=was_done(waiting.attempt))
                learned.append(decision)
            else:
                self._deliver(waiting)
        return learned

    def _recall(self, waiting: Waiting, *, done: bool) -> Decision:
        evidence = self._own(waiting)
        answer = send(self.transport, waiting.path, waiting.raw)
        decision = check_decision(answer, evidence, self.identity)
        if not decision.approved:
            self.outbox.done(waiting)
            return decision
        key = self.keystore.signing_key(self.identity)
        released = isinstance(decision.context, WithdrawalContext | EntryContext)
        completion = Completion.COMPLETED if done or not released else Completion.FAILED
        word = confirmation(waiting.attempt, completion, self.identity, key, self.unix_ms())
        follow = Waiting(waiting.attempt, CONFIRM, word)
        self.outbox.swap(waiting, follow)
        self._deliver(follow)
        return decision

    def _own(self, waiting: Waiting) -> Signed[Evidence]:
        try:
            unverified = envelope.parse(waiting.raw, Evidence)
            return envelope.verify(unverified, self.keystore.public_key)
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
