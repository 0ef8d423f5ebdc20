"""A terminal that is set up: registration, attempts, and what was left over from last time.

Guarantees: evidence is on disk before it is sent, and the same bytes are sent until they are
answered, so a lost answer never charges twice. An approval that the device's journal does not
know as acted on before a power cut is confirmed as failed at the next start.

The caller must act on an approval at once (:attr:`Actuator`), and show the prompts.
"""

from __future__ import annotations

import time
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from face_engine.calibration import shipped
from face_engine.engine import Engine
from face_engine.quality import ENROLMENT, PROBE, find_flaw
from face_engine.types import Frame as CameraFrame
from liveness.types import Observation, Outcome
from terminal_client.camera import Camera
from terminal_client.ceremony import (
    COLOURS_UNREADABLE,
    Ceremony,
    Ended,
    Frame,
    Prompt,
    check_acknowledgement,
    check_decision,
    confirmation,
)
from terminal_client.errors import NotTheService, TerminalError
from terminal_client.keystore import Identity, Keystore
from terminal_client.outbox import Outbox, Waiting
from terminal_client.transport import Transport, send
from wire import envelope
from wire.errors import WireError
from wire.ids import AttemptId
from wire.messages import (
    Completion,
    Context,
    Decision,
    EnrolmentContext,
    EntryContext,
    Evidence,
    Registered,
    Registration,
    TerminalKind,
    WithdrawalContext,
)

REGISTER, CHALLENGE, ATTEMPT, CONFIRM = (
    "/v1/terminals",
    "/v1/challenges",
    "/v1/attempts",
    "/v1/confirmations",
)
SAME_PERSON_FMR = 1e-3
ASKS_AGAIN = (Outcome.UNDECIDED.value, COLOURS_UNREADABLE)

Actuator = Callable[[Decision], Completion]
"""Prints, dispenses or opens, and says whether it did."""

OnPrompt = Callable[[Prompt], None]


def acted(_decision: Decision) -> Completion:
    """For terminals whose whole act is to show the result."""
    return Completion.COMPLETED


@dataclass
class Terminal:
    """``unix_ms`` is the wall clock in milliseconds; ``has_colours``: whether the screen can
    show colours to the person before the camera."""

    keystore: Keystore
    outbox: Outbox
    transport: Transport
    engine: Engine
    unix_ms: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    has_colours: bool = False

    @classmethod
    def open(cls, home: Path, transport: Transport, engine: Engine) -> Terminal:
        """Raises :class:`StorageError`."""
        keystore = Keystore(home)
        return cls(keystore, Outbox(home / "outbox.db"), transport, engine)

    @property
    def identity(self) -> Identity:
        identity = self.keystore.identity
        if identity is None:
            raise TerminalError("this terminal is not registered: get a code from an operator")
        return identity

    def register(self, code: str, kind: TerminalKind) -> Identity:
        """Raises :class:`NotTheService` where the answer is not of the service in the code."""
        key = self.keystore.registration_key
        request = Registration(code=code, public_key=self.keystore.public_key, kind=kind)
        answer = send(self.transport, REGISTER, envelope.sign(request, key).raw)
        try:
            unverified = envelope.parse(answer, Registered)
            registered = envelope.verify(unverified, unverified.message.service_key).message
        except WireError as error:
            raise NotTheService("the registration was not answered by a service") from error
        pinned = b32encode(sha256(registered.service_key).digest()[:10]).decode()
        if not compare_digest(code.partition(".")[2].strip(), pinned):
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

    def attempt(
        self,
        context: Context,
        claim: str,
        camera: Camera,
        *,
        pin: str | None = None,
        holder_share: bytes | None = None,
        colours: bool = True,
        tries: int = 2,
        act: Actuator = acted,
        on_prompt: OnPrompt = lambda _prompt: None,
    ) -> Ended:
        """One whole attempt. Raises :class:`TerminalError` where there is no decision.

        ``colours``: false for a person who opts out of them; one more move is then asked
        instead, as it is in the next try where the colours could not be read. ``tries``: how
        often, at most, a person is asked whose liveness stays undecided.
        """
        identity = self.identity
        key = self.keystore.signing_key(identity)
        ceremony = Ceremony(
            identity,
            key,
            context,
            claim,
            self.engine.model_id,
            camera.source,
            self._same_person_min(),
            holder_share,
            self.has_colours and colours,
        )
        request = ceremony.ask(self.unix_ms())
        ended = ceremony.begin(send(self.transport, CHALLENGE, request))
        ended = ended or self._capture(ceremony, camera, on_prompt)
        if ended is not None and ended.reason in ASKS_AGAIN and tries > 1:
            return self.attempt(
                context, claim, camera, pin=pin, holder_share=holder_share,
                colours=colours and ended.reason != COLOURS_UNREADABLE,
                tries=tries - 1, act=act, on_prompt=on_prompt,
            )  # fmt: skip
        if ended is not None:
            return ended
        evidence = ceremony.evidence(
            counter=self.keystore.next_counter(),
            pin=pin if ceremony.pin_required or isinstance(context, EnrolmentContext) else None,
            now_ms=self.unix_ms(),
        )
        waiting = Waiting(ceremony.attempt, ATTEMPT, evidence)
        self.outbox.put(waiting)
        ended = ceremony.decide(send(self.transport, ATTEMPT, evidence))
        if not ended.approved or ended.decision is None:
            self.outbox.done(waiting)
            return ended
        confirmed = ceremony.confirm(act(ended.decision), self.unix_ms())
        follow = Waiting(ceremony.attempt, CONFIRM, confirmed)
        self.outbox.swap(waiting, follow)
        ceremony.acknowledge(send(self.transport, CONFIRM, confirmed))
        self.outbox.done(follow)
        return ended

    def _same_person_min(self) -> float:
        return shipped()[self.engine.model_id].threshold_for(SAME_PERSON_FMR)

    def _capture(self, ceremony: Ceremony, camera: Camera, on_prompt: OnPrompt) -> Ended | None:
        for frame in camera.frames():
            seen = ceremony.look(self._observe(ceremony, frame))
            if isinstance(seen, Ended):
                return seen
            on_prompt(seen)
            camera.show(seen.move, seen.colour)
            if seen.enough:
                return None
        return ceremony.stop()

    def _observe(self, ceremony: Ceremony, frame: CameraFrame) -> Frame:
        faces = self.engine.detect(frame.pixels)
        enrolling = isinstance(ceremony.context, EnrolmentContext)
        flaw = find_flaw(frame.pixels, faces, ENROLMENT if enrolling else PROBE)
        embed = flaw is None and ceremony.wants_embedding
        observation = Observation(
            captured_at_ms=frame.captured_at_ms,
            faces=faces,
            pixels=frame.pixels,
            passive=self.engine.passive(frame.pixels, faces[0]) if faces else None,
            embedding=self.engine.embed(frame.pixels, faces[0]) if embed else None,
        )
        return Frame(observation=observation, flaw=flaw)

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
                answer = send(self.transport, waiting.path, waiting.raw)
                check_acknowledgement(answer, waiting.attempt, self.identity)
                self.outbox.done(waiting)
        return learned

    def _recall(self, waiting: Waiting, *, done: bool) -> Decision:
        evidence = envelope.parse(waiting.raw, Evidence)
        signed = envelope.verify(evidence, self.keystore.public_key)
        answer = send(self.transport, waiting.path, waiting.raw)
        decision = check_decision(answer, signed, self.identity)
        if not decision.approved:
            self.outbox.done(waiting)
            return decision
        key = self.keystore.signing_key(self.identity)
        released = isinstance(decision.context, WithdrawalContext | EntryContext)
        completion = Completion.COMPLETED if done or not released else Completion.FAILED
        word = confirmation(waiting.attempt, completion, self.identity, key, self.unix_ms())
        follow = Waiting(waiting.attempt, CONFIRM, word)
        self.outbox.swap(waiting, follow)
        check_acknowledgement(send(self.transport, CONFIRM, word), waiting.attempt, self.identity)
        self.outbox.done(follow)
        return decision
