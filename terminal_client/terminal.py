"""A device with its camera: one attempt from the challenge to the confirmation.

Guarantees: evidence is on disk before it is sent, and the same bytes are sent until they are
answered, so a lost answer never charges twice. What was approved and done is confirmed, now
or at the next start.

A withdrawal or an entry that is approved too late is not acted on, and confirmed as failed; a
payment stands, since its money moved with the decision.

The caller must act on an approval at once (:attr:`Actuator`), and show the prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from face_engine.calibration import shipped
from face_engine.engine import Engine
from face_engine.quality import ENROLMENT, PROBE, assess, find_flaw
from face_engine.templates import Candidate
from face_engine.types import Face, Pixels
from face_engine.types import Frame as CameraFrame
from liveness.types import Observation, Outcome
from terminal_client.camera import Camera
from terminal_client.ceremony import COLOURS_UNREADABLE, Ceremony, Ended, Frame, Prompt
from terminal_client.device import Device
from terminal_client.errors import NotTheService, Rejected, Unreachable, UsageError
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox, Waiting
from terminal_client.transport import Transport, send
from terminal_client.views import Views
from wire.messages import Completion, Context, Decision, EnrolmentContext, PaymentContext

CHALLENGE = "/v1/challenges"
SAME_PERSON_FMR, REFERENCE_FMR = 1e-3, 1e-4
QUALITY_MIN = 0.01
ASKS_AGAIN = (Outcome.UNDECIDED.value, COLOURS_UNREADABLE)
TRIES_MAX = 3

Actuator = Callable[[Decision], Completion]
"""Prints, dispenses or opens, and says whether it did."""

OnPrompt = Callable[[Prompt], None]

PinPad = Callable[[], str]
"""Asks the person for the PIN; called only where the policy wants one."""


def acted(_decision: Decision) -> Completion:
    """For terminals whose whole act is to show the result."""
    return Completion.COMPLETED


@dataclass
class Terminal(Device):
    """``has_colours``: whether the screen can show colours to the person before the camera;
    ``successor``: the engine of a better pack, which faces are enrolled by on the way."""

    engine: Engine
    has_colours: bool = False
    successor: Engine | None = None

    @classmethod
    def open(cls, home: Path, transport: Transport, engine: Engine) -> Terminal:
        """Raises :class:`StorageError`."""
        keystore = Keystore(home)
        return cls(keystore, Outbox(home / "outbox.db"), transport, engine)

    def attempt(
        self,
        context: Context,
        claim: str,
        camera: Camera,
        *,
        pin: str | PinPad | None = None,
        holder_share: bytes | None = None,
        colours: bool = True,
        tries: int = TRIES_MAX,
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
            _views(self.engine),
            _views(self.successor or self.engine),
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
            pin=_ask(pin) if _wants_pin(ceremony) else None,
            now_ms=self.unix_ms(),
        )
        waiting = Waiting(ceremony.attempt, ATTEMPT, evidence)
        self.outbox.put(waiting)
        sent_at_ms = self.monotonic_ms()
        ended = ceremony.decide(send(self.transport, ATTEMPT, evidence))
        if not ended.approved or ended.decision is None:
            self.outbox.done(waiting)
            return ended
        completion = Completion.FAILED
        if not self._is_over(ended.decision, sent_at_ms):
            completion = act(ended.decision)
        confirmed = ceremony.confirm(completion, self.unix_ms())
        follow = Waiting(ceremony.attempt, CONFIRM, confirmed)
        self.outbox.swap(waiting, follow)
        # What was approved and done stays so: a lost confirmation waits for the next start.
        with suppress(Unreachable, Rejected, NotTheService):
            ceremony.acknowledge(send(self.transport, CONFIRM, confirmed))
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
        pixels, faces = frame.pixels, self.engine.detect(frame.pixels)
        enrolling = isinstance(ceremony.context, EnrolmentContext)
        flaw = find_flaw(pixels, faces, ENROLMENT if enrolling else PROBE)
        wanted = flaw is None and ceremony.wants_view
        view = _view(self.engine, pixels, faces) if wanted else None
        observation = Observation(
            captured_at_ms=frame.captured_at_ms,
            faces=faces,
            pixels=pixels,
            passive=self.engine.passive(pixels, faces[0]) if faces else None,
            embedding=view.embedding if view and ceremony.wants_embedding else None,
        )
        other = self.successor if wanted else None
        successor = None
        if other is not None and ceremony.accepts(other.model_id):
            successor = _view(other, pixels, other.detect(pixels))
        return Frame(observation=observation, flaw=flaw, view=view, successor=successor)


def _view(engine: Engine, pixels: Pixels, faces: Sequence[Face]) -> Candidate | None:
    """The largest face by this engine's model; None where this engine finds none."""
    if not faces:
        return None
    quality = assess(pixels, faces[0])
    return Candidate(
        embedding=engine.embed(pixels, faces[0]),
        quality=max(quality.score, QUALITY_MIN),
        yaw_deg=quality.pose.yaw_deg,
        pitch_deg=quality.pose.pitch_deg,
    )


def _views(engine: Engine) -> Views:
    """Raises :class:`UsageError` for a pack without a calibration."""
    calibration = shipped().get(engine.model_id)
    if calibration is None:
        raise UsageError(f"the pack {engine.pack.name} has no calibration: countenance calibrate")
    return Views(
        same_person_min=calibration.threshold_for(SAME_PERSON_FMR),
        reference_min=calibration.threshold_for(REFERENCE_FMR),
    )


def _wants_pin(ceremony: Ceremony) -> bool:
    return ceremony.pin_required or isinstance(ceremony.context, EnrolmentContext)


def _ask(pin: str | PinPad | None) -> str | None:
    return pin() if callable(pin) else pin
