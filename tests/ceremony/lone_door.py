"""A real door's parts before a service in this process, with a network that can be cut."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.audit.leaf import DoorRecordLeaf
from service.db import Database
from terminal_client.door import entry
from terminal_client.door_link import Health, Link
from terminal_client.errors import Unreachable
from terminal_client.exchange import COMPLETED, Ended, Word
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.standalone import Desk, LoneTerminal, Standalone
from terminal_client.transport import Reply
from tests.ceremony.devices import InProcess, made_up_ceremony, register_device
from tests.ceremony.house import MODEL_ID, House
from wire.codec import decode
from wire.ids import AttemptId
from wire.messages import Decision, Direction, DoorEventKind, TerminalKind


@dataclass
class Cable:
    """The way to the service; ``spoil`` may change an answer."""

    through: InProcess
    cut: bool = False
    spoil: Callable[[str, bytes], bytes] = field(default=lambda _path, raw: raw)
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        if self.cut:
            raise Unreachable("the cable is cut")
        self.sent.append((path, body))
        reply = self.through.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        return Reply(reply.status, self.spoil(path, reply.body))


@dataclass
class LoneDoor:
    """``wall`` is the machine's clock, apart from the service's; ``steady`` goes on with both."""

    house: House
    home: Path
    skew_ms: int = 0
    camera: bool = True
    lock: bool = True
    fail_safe: bool | None = None
    released: list[AttemptId] = field(default_factory=list)
    cable: Cable = field(init=False)

    def __post_init__(self) -> None:
        if not (self.home / "identity").exists():
            register_device(self.house, self.home, TerminalKind.DOOR)
        self.cable = Cable(InProcess(self.house))
        self.start()

    def start(self) -> None:
        self.keystore = Keystore(self.home)
        identity = self.keystore.identity
        assert identity is not None
        self.identity = identity
        self.standalone = Standalone(
            self.home,
            self.keystore,
            identity,
            unix_ms=lambda: self.house.clock() + self.skew_ms,
            steady_ms=self.house.clock,
        )
        self.link = Link(
            self.standalone,
            self.keystore,
            identity,
            self.cable,
            MODEL_ID,
            lambda: Health(camera=self.camera, lock=self.lock, fail_safe=self.fail_safe),
            self.released.append,
        )

    def stop(self) -> None:
        with suppress(Exception):
            self.standalone.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def beat(self) -> None:
        """Time for a beat, and all that follows."""
        self.house.clock.now_ms += 10_000
        self.link.turn()

    def alone(self) -> LoneTerminal:
        desk = Desk(self.standalone, self.keystore, self.identity)
        return LoneTerminal(
            self.keystore, Outbox(self.home / "outbox.db"), desk, None,  # type: ignore[arg-type]
            unix_ms=self.standalone.clock,
        )  # fmt: skip

    def enter(
        self,
        seed: int,
        direction: Direction = Direction.IN,
        *,
        opens: bool = True,
        dies: bool = False,
        **more: Any,
    ) -> Ended:
        """One attempt that the door decides; then it opens, or not, or the power fails."""

        def act(decision: Decision) -> Word:
            if not dies:
                kind = DoorEventKind.OPENED if opens else DoorEventKind.NOT_OPENED
                self.standalone.happened(kind, offline=True, attempt=decision.attempt)
            return COMPLETED

        with self.alone() as terminal:
            context = entry(terminal.identity, direction)
            return terminal.carry_out(made_up_ceremony(terminal, context, seed, **more), act)


def leaves(database: Database) -> list[DoorRecordLeaf]:
    """What the log has of doors, in its order."""
    with database.transaction() as conn:
        found = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    return [DoorRecordLeaf.decode(leaf) for (leaf,) in found if decode(leaf)[1] == "door"]


def alarms(database: Database) -> list[str]:
    with database.transaction() as conn:
        rows = conn.execute("SELECT kind FROM alarms ORDER BY at_ms, alarm_id").fetchall()
    return [kind for (kind,) in rows]
