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
from terminal_client.ceremony import COLOURS_UNREADABLE, Ceremony, Frame, Prompt
from terminal_client.device import Actuator, Device
from terminal_client.errors import UsageError
from terminal_client.exchange import COMPLETED, Ended, Word
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.transport import CHALLENGE, Transport, send
from terminal_client.views import Views
from wire.ids import AttemptId
from wire.messages import Context, Decision, EnrolmentContext

SAME_PERSON_FMR, REFERENCE_FMR = 1e-3, 1e-4
QUALITY_MIN = 0.01
ASKS_AGAIN = (Outcome.UNDECIDED.value, COLOURS_UNREADABLE)
TRIES_MAX = 3

OnPrompt = Callable[[Prompt], None]

PinPad = Callable[[], str]
"""Asks the person for the PIN; called only where the policy wants one."""


def acted(_decision: Decision) -> Word:
    """For terminals whose whole act is to show the result."""
    return COMPLETED


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
        on_send: Callable[[], None] = lambda: None,
        attempt: AttemptId | None = None,
    ) -> Ended:
        """One whole attempt. Raises :class:`TerminalError` where there is no decision.

        ``colours``: false for a person who opts out of them; one more move is then asked
        instead, as it is in the next try where the colours could not be read. ``tries``: how
        often, at most, a person is asked whose liveness stays undecided. ``on_prompt`` and
        ``on_send`` may raise to give up; ``attempt`` is the id to use.
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
            attempt=attempt or AttemptId.new(),
        )
        request = ceremony.ask(self.unix_ms())
        answer = send(self.transport, CHALLENGE, request, deadline_s=self.patience_s)
        ended = ceremony.begin(answer)
        ended = ended or self._capture(ceremony, camera, on_prompt)
        if ended is not None and ended.reason in ASKS_AGAIN and tries > 1:
            return self.attempt(
                context, claim, camera, pin=pin, holder_share=holder_share,
                colours=colours and ended.reason != COLOURS_UNREADABLE,
                tries=tries - 1, act=act, on_prompt=on_prompt, on_send=on_send, attempt=attempt,
            )  # fmt: skip
        if ended is not None:
            return ended
        ceremony.evidence(
            counter=self.keystore.next_counter(),
            pin=_ask(pin) if _wants_pin(ceremony) else None,
            camera=camera.identity,
            now_ms=self.unix_ms(),
        )
        return self.carry_out(ceremony, act, on_send=on_send)

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
        pixels, follow = frame.pixels, ceremony.follow
        if follow is not None:
            near = self.engine.follow(pixels, follow)
            followed = Observation(captured_at_ms=frame.captured_at_ms, faces=near, pixels=pixels)
            return Frame(observation=followed, flaw=None)
        faces = self.engine.detect(pixels)
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
