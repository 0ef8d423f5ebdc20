"""A door that decides itself while the service cannot be asked, in the service's stead.

The ceremony is the same as ever: the door gives itself a challenge, makes evidence, and answers it
by :mod:`terminal_client.door_bundle`; challenge and decision are signed with the terminal's own
key, and count for this process alone.

Guarantees: an entry that is not taken down on disk is not commanded. Nobody is let in by a bundle
that :func:`open_bundle` refuses, that was declared void, or while the clock was turned back; the
reason is taken down once for each start and change (:class:`wire.messages.DoorFault`). What the
service revoked stays so after a restart. Payments never come here: the only context is the door's.

The caller must bring bundles and what the service says of them (:mod:`terminal_client.door_link`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock

import numpy as np

from face_engine.types import Embedding
from terminal_client.device import Actuator
from terminal_client.door_bundle import Alone, Held, open_bundle
from terminal_client.door_clock import DoorClock
from terminal_client.door_log import FILE_NAME, DoorLog
from terminal_client.errors import StorageError, Unreachable
from terminal_client.exchange import Ended, Exchange
from terminal_client.keystore import Identity, Keystore, write_whole
from terminal_client.outbox import ATTEMPT
from terminal_client.terminal import Terminal
from terminal_client.transport import CHALLENGE, Reply
from wire import envelope
from wire.bundle import Bundle, DoorStanding
from wire.codec import MAX_MESSAGE_BYTES
from wire.denial import Denial
from wire.envelope import SEED_BYTES, OpeningKey
from wire.ids import AttemptId, ChallengeId
from wire.messages import (
    NONCE_BYTES,
    Challenge,
    ChallengeRequest,
    Decision,
    Direction,
    DoorDecision,
    DoorEventKind,
    DoorFault,
    DoorRecord,
    EntryContext,
    Evidence,
    LivenessOutcome,
    Outcome,
    Probe,
    SealSuite,
)
from wire.plan import draw_plan

BUNDLE_FILE, SEAL_SECRET = "bundle", "door-seal"
CHALLENGE_MS, ENTRY_MS, SEE_EVERY_MS = 60_000, 60_000, 60_000
REVOKED, NEWEST, SEEN = "revoked", "newest", "seen"


class Standalone:
    """One for each process; safe for several threads."""

    def __init__(
        self,
        home: Path,
        keystore: Keystore,
        identity: Identity,
        *,
        unix_ms: Callable[[], int] | None = None,
        steady_ms: Callable[[], int] | None = None,
    ) -> None:
        """Raises :class:`StorageError`."""
        self._home, self._identity, self._lock = home, identity, RLock()
        self.log = DoorLog(home / FILE_NAME)
        clocks = {"unix_ms": unix_ms, "steady_ms": steady_ms}
        given = {name: clock for name, clock in clocks.items() if clock is not None}
        self.clock = DoorClock(self.log.mark(SEEN)[0], **given)
        self._key = keystore.signing_key(identity)
        seed = keystore.secret(SEAL_SECRET)
        if seed is None:
            seed = os.urandom(SEED_BYTES)
            keystore.keep(SEAL_SECRET, seed)
        self.opening = OpeningKey.from_seed(SealSuite.MLKEM768_X25519, seed)
        self._challenge: Challenge | None = None
        self._noted: DoorFault | None = None
        self._fault: DoorFault | None = None
        self._alone: Alone | None = None
        self._settle()
        self._load()

    def close(self) -> None:
        self.log.close()

    @property
    def bundle(self) -> Bundle | None:
        """The bundle that the door would decide by, if its time is right."""
        with self._lock:
            return self._alone.held.bundle if self._alone else None

    @property
    def fault(self) -> DoorFault | None:
        """Why the door cannot decide alone now."""
        with self._lock:
            if self.clock.turned_back:
                return DoorFault.CLOCK_TURNED_BACK
            if self._alone is None:
                return self._fault or DoorFault.BUNDLE_STALE
            return self._alone.held.fault_at(self.clock())

    def accept(self, raw: bytes, nonce: bytes) -> DoorFault | None:
        """Takes a new bundle for the one before, or says, and takes down, what is wrong with it."""
        with self._lock:
            newest = self.log.mark(NEWEST)[0]
            found = open_bundle(
                raw, self._identity, self.opening, newest=newest, now_ms=self.clock()
            )
            if isinstance(found, Held) and found.bundle.nonce != nonce:
                found = DoorFault.BUNDLE_ROLLED_BACK
            if isinstance(found, DoorFault):
                self._note(found)
                return found
            write_whole(self._home / BUNDLE_FILE, raw)
            self.log.remember(NEWEST, found.bundle.number)
            self.log.cover(found.bundle.sequence)
            self._use(found)
            return None

    def hear(self, standing: DoorStanding) -> None:
        """Takes what the service says of time and bundle."""
        with self._lock:
            self.clock.hear(standing.now_ms)
            self.see()
            bundle = self.bundle
            if bundle is None or standing.bundle != bundle.number or self._alone is None:
                return
            if standing.void:
                # The file's number is then one that was passed.
                self.log.remember(NEWEST, bundle.number + 1)
                (self._home / BUNDLE_FILE).unlink(missing_ok=True)
                self._alone, self._fault = None, None
            elif standing.revoked:
                people = self._alone.held.roster.people
                gone = [people[each].person for each in standing.revoked if each < len(people)]
                revoked = self._alone.revoked | set(gone)
                if revoked != self._alone.revoked:
                    self.log.remember(REVOKED, bundle.number, b"".join(sorted(revoked)))
                    self._alone.revoked = revoked

    def see(self) -> None:
        """Takes the time down, so that it is noticed if it goes back."""
        now_ms = self.clock()
        if abs(now_ms - self.log.mark(SEEN)[0]) >= SEE_EVERY_MS:
            self.log.remember(SEEN, now_ms)

    def happened(
        self,
        event: DoorEventKind,
        *,
        offline: bool,
        attempt: AttemptId | None = None,
        at_ms: int | None = None,
    ) -> None:
        """Takes down what the door did: now, unless ``at_ms`` says when."""
        with self._lock:
            when_ms = self.clock() if at_ms is None else at_ms
            record = self.log.append(event, when_ms, offline=offline, attempt=attempt)
            if record is not None and self._alone is not None:
                self._alone.replay(record)

    def passed(self, attempt: AttemptId, claim: str, direction: Direction) -> None:
        """Somebody whom the service let in at this door: remembered until the next bundle."""
        with self._lock:
            if self._alone is not None:
                self._alone.passed(attempt, claim, direction, self.clock())

    def challenge(self, request: ChallengeRequest) -> Challenge:
        """Raises :class:`Unreachable` where the door cannot decide alone, and takes down why."""
        with self._lock:
            fault, alone = self.fault, self._alone
            if fault is not None or alone is None:
                self._note(fault or DoorFault.BUNDLE_STALE)
                raise Unreachable("the service does not answer, and this door has no valid bundle")
            self.see()
            roster, nonce = alone.held.roster, os.urandom(NONCE_BYTES)
            self._challenge = Challenge(
                challenge=ChallengeId.new(),
                nonce=nonce,
                terminal=self._identity.terminal,
                context=request.context,
                expires_at_ms=self.clock() + CHALLENGE_MS,
                level=roster.level,
                plan=draw_plan(nonce, roster.level, colours=request.colours),
                model_ids=(roster.model_id,),
                factor=roster.factor,
                seal_suite=self.opening.suite,
                seal_key=self.opening.public.raw,
            )
            return self._challenge

    def decide(self, evidence: Evidence, digest: bytes) -> Decision:
        """Decides on evidence that this process made, once for each challenge.

        Raises :class:`Unreachable` where the decision cannot be taken down.
        """
        with self._lock:
            challenge, alone, now_ms = self._challenge, self._alone, self.clock()
            self._challenge = None
            if challenge is None or alone is None or evidence.challenge != challenge.challenge:
                raise Unreachable("the bundle was replaced meanwhile: once more, please")
            probe = Probe.decode(self.opening.unseal(evidence.sealed, evidence.binding))
            made = self._judge(alone, challenge, evidence, probe, now_ms)
            record = self.log.append(
                DoorEventKind.DECIDED,
                now_ms,
                offline=True,
                attempt=evidence.attempt,
                decision=made,
            )
            if record is None:
                raise Unreachable("the service does not answer, and this door's log is full")
            alone.replay(record)
        denial = Denial(made.denial) if made.denial else None
        return Decision(
            attempt=evidence.attempt,
            evidence_digest=digest,
            context=evidence.context,
            outcome=Outcome.DENIED if denial else Outcome.APPROVED,
            reason=denial.reason if denial else None,
            result=None if denial else evidence.attempt.raw,
            decided_at_ms=now_ms,
            expires_at_ms=now_ms + (0 if denial else ENTRY_MS),
            leaf_hash=bytes(32),
            factor=challenge.factor,
        )

    def _judge(
        self, alone: Alone, challenge: Challenge, evidence: Evidence, probe: Probe, now_ms: int
    ) -> DoorDecision:
        context = evidence.context
        if not isinstance(context, EntryContext) or context.door != self._identity.door:
            raise RuntimeError("a door alone lets people through itself, and nothing else")
        fault = alone.held.fault_at(now_ms)
        denial = None
        if fault is not None or now_ms >= challenge.expires_at_ms:
            denial = Denial.CHALLENGE_EXPIRED
        elif evidence.liveness.outcome is not LivenessOutcome.LIVE:
            denial = Denial.LIVENESS_UNDECIDED
        if denial is not None:
            return DoorDecision(
                bundle=alone.held.bundle.number, direction=context.direction, denial=denial.value
            )
        vector = np.frombuffer(probe.embeddings[0], "<f4").astype(np.float32)
        face = Embedding(vector=vector, model_id=evidence.model_id)
        return alone.decide(probe.claim, face, context.direction, now_ms)

    def _load(self) -> None:
        """The bundle of the last run, if there is one."""
        try:
            raw = (self._home / BUNDLE_FILE).read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{self._home / BUNDLE_FILE}: {error.strerror}") from error
        newest = self.log.mark(NEWEST)[0]
        found = open_bundle(raw, self._identity, self.opening, newest=newest, now_ms=self.clock())
        if isinstance(found, DoorFault):
            self._fault = found
            self._note(found)
        else:
            self._use(found)

    def _use(self, held: Held) -> None:
        number, raw = self.log.mark(REVOKED)
        revoked = frozenset(
            raw[at : at + 16] for at in range(0, len(raw), 16) if number == held.bundle.number
        )
        alone = Alone(held, revoked)
        for record in self.log.since(held.bundle.sequence):
            alone.replay(record)
        self._alone, self._fault, self._noted = alone, None, None

    def _note(self, fault: DoorFault) -> None:
        """Once for as long as it lasts."""
        if fault is not self._noted:
            self._noted = fault
            self.log.append(DoorEventKind.FAULT, self.clock(), offline=True, fault=fault)

    def _settle(self) -> None:
        """Of an entry that was commanded before a power cut nobody knows whether it was made."""
        waiting: DoorRecord | None = None
        for record in self.log.since(0):
            if record.decision is not None and record.decision.denial is None:
                waiting = record
            elif waiting is not None and record.attempt == waiting.attempt:
                waiting = None
        if waiting is not None:
            self.happened(DoorEventKind.NOT_OPENED, offline=True, attempt=waiting.attempt)


@dataclass
class LoneTerminal(Terminal):
    """A terminal whose door decides; ``transport`` is a :class:`Desk` of the same door."""

    @property
    def identity(self) -> Identity:
        """Decisions are signed by the terminal itself."""
        return replace(super().identity, service_key=self.keystore.public_key)

    def carry_out(
        self, exchange: Exchange, act: Actuator, *, on_send: Callable[[], None] = lambda: None
    ) -> Ended:
        """There is nothing to send again: the door's log has the decision, and what comes of it."""
        on_send()
        answer = self.transport.exchange(ATTEMPT, exchange.sent.raw, timeout_s=self.patience_s)
        ended = exchange.decide(answer.body)
        if ended.decision is not None and ended.approved:
            act(ended.decision)
        return ended


@dataclass(frozen=True)
class Desk:
    """The door itself, in the place of the way to the service."""

    standalone: Standalone
    keystore: Keystore
    identity: Identity

    def exchange(
        self,
        path: str,
        body: bytes,
        *,
        timeout_s: float,  # noqa: ARG002 - of a network
        bytes_max: int = MAX_MESSAGE_BYTES,  # noqa: ARG002 - of a network
    ) -> Reply:
        key = self.keystore.signing_key(self.identity)
        if path == CHALLENGE:
            request = envelope.verify(envelope.parse(body, ChallengeRequest), key.public).message
            return Reply(201, envelope.sign(self.standalone.challenge(request), key).raw)
        if path == ATTEMPT:
            evidence = envelope.verify(envelope.parse(body, Evidence), key.public)
            decision = self.standalone.decide(evidence.message, evidence.digest)
            return Reply(200, envelope.sign(decision, key).raw)
        raise RuntimeError("a door alone answers nothing else")
