"""Real devices with a made-up face for the camera, whose power may fail at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from face_engine.templates import Candidate
from face_engine.types import Embedding, Face
from liveness.types import Observation
from service.ledger import store as ledger
from service.terminals import registration
from service.terminals import store as terminals
from service.verification.policy import Policy, default_policy
from terminal_client.ceremony import Ceremony, Frame
from terminal_client.device import Device
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.transport import CHALLENGE, Reply, send
from terminal_client.views import Views
from tests.ceremony.house import CURRENCY, MODEL_ID, House, face
from wire.ids import AttemptId, TerminalId
from wire.messages import Context, Source, TerminalKind


class PowerCut(BaseException):
    pass


@dataclass
class Power:
    """Fails at the step of this number."""

    fails_at: int
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.fails_at:
            raise PowerCut

    def around(self, owner: Any, *names: str) -> None:
        for name in names:
            setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = method(*args, **kwargs)
            self.step()
            return result

        return run


class InProcess:
    def __init__(self, house: House) -> None:
        self._client = house.client()

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        answer = self._client.post(path, data=body, content_type="application/cose")
        return Reply(answer.status_code, answer.data)


def publish_easy(house: House) -> None:
    """No liveness, no PIN for a face, no limits."""
    standard = default_policy()
    tiers = {
        name: tuple(replace(tier, level="none", pin=False) for tier in tiers)
        for name, tiers in standard.tiers.items()
    }
    house.publish(Policy(tiers=tiers, limits={}, without_face=standard.without_face))


def register_device(house: House, home: Path, kind: TerminalKind) -> None:
    code = registration.new_code(house.keys.signing.public)
    terminal = terminals.Terminal(
        terminal=TerminalId.new(),
        kind=kind,
        name=kind.name,
        merchant=house.merchant if kind is TerminalKind.STORE else None,
        door=house.door if kind is TerminalKind.DOOR else None,
        public_key=None,
        revoked=False,
    )
    with house.database.transaction() as conn:
        terminals.add_terminal(
            conn,
            terminal,
            code_hash=registration.code_hash(code, house.keys.claims),
            code_expires_at_ms=house.clock() + 60_000,
            now_ms=house.clock(),
        )
        if kind is TerminalKind.ATM:
            ledger.open_cassette(conn, terminal.terminal, CURRENCY)
    with Device(Keystore(home), Outbox(home / "outbox.db"), InProcess(house)) as device:
        device.register(code, kind)


def made_up_ceremony(
    device: Device,
    context: Context,
    seed: int,
    attempt: AttemptId | None = None,
    embedding: Embedding | None = None,
) -> Ceremony:
    """A ceremony up to its evidence: the face of ``seed`` was seen once, or this one."""
    if embedding is None:
        vector = np.frombuffer(face(seed, like=0.9), "<f4").astype(np.float32)
        embedding = Embedding(vector=vector, model_id=MODEL_ID)
    views = [Views(same_person_min=0.5, reference_min=0.5) for _ in range(2)]
    ceremony = Ceremony(
        device.identity,
        device.keystore.signing_key(device.identity),
        context,
        f"card:{seed}",
        embedding.model_id,
        Source.CAMERA,
        *views,
        attempt=attempt or AttemptId.new(),
    )
    ceremony.begin(send(device.transport, CHALLENGE, ceremony.ask(device.unix_ms())))
    box = Face(box=(0, 0, 100, 100), landmarks=np.zeros((5, 2), np.float32), score=1.0)
    seen = Observation(captured_at_ms=0, faces=(box,), passive=None, embedding=embedding)
    view = Candidate(embedding=embedding, quality=50, yaw_deg=0, pitch_deg=0)
    ceremony.look(Frame(observation=seen, flaw=None, view=view))
    ceremony.evidence(
        counter=device.keystore.next_counter(),
        pin=None,
        camera=bytes(32),
        now_ms=device.unix_ms(),
    )
    return ceremony
