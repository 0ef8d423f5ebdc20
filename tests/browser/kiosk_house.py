"""A kiosk of each kind, as its program runs it, before rendered customers; the service beside it
is in this process, and may be gone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from countenance import simulated_kiosks
from countenance.demo import Portrait, sample_portraits
from countenance.simulated_kiosks import Opener, Running, simulation
from countenance.stage import trial_policy
from face_engine.calibration import shipped
from face_engine.engine import Engine
from liveness.rig.presentation import live_customer
from service.db import Database
from terminal_client.camera import SimulatedCamera
from terminal_client.drivers.dispenser import Dispenser, Handed
from terminal_client.enrolment import CONSENT_VERSION, Consent
from terminal_client.errors import Unreachable
from terminal_client.kiosk.browser_camera import BrowserCamera
from terminal_client.terminal import Terminal
from terminal_client.transport import Reply
from tests.ceremony.devices import InProcess, register_device
from tests.ceremony.house import Clock, House
from wire.codec import MAX_MESSAGE_BYTES as MAX
from wire.ids import AccountId, AttemptId
from wire.messages import EnrolmentContext, Level, TerminalKind

PIN = "2468"
START_MINOR = 50_000
OWNER, OTHER = "Astronaut", "Actor"
CARD, OTHERS_CARD = "Card 0001", "Card 0002"
CLAIMS = {CARD: "card:0001", OTHERS_CARD: "card:0002"}


class TrueClock(Clock):
    def __call__(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass
class Cuttable:
    """The way to the service; it may be down, or go down after an answer was made."""

    inner: InProcess
    down: bool = False
    lose_answers_of: str = ""

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int = MAX) -> Reply:
        if self.down:
            raise Unreachable("the service does not answer")
        reply = self.inner.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if path == self.lose_answers_of:
            self.down = True
            raise Unreachable("the answer was lost")
        return reply


@dataclass
class Shutter:
    """``take`` is called while the notes lie in it."""

    inner: Dispenser
    take: Callable[[], object]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def present(self, attempt: AttemptId) -> Handed:
        self.take()
        return self.inner.present(attempt)


@dataclass
class Kiosks:
    """Two customers with money; the first one's face is the only one that pays for the first.

    ``line`` is the way to the service of the kiosk that was opened last.
    """

    database: Database
    folder: Path
    engine: Engine
    portraits: dict[str, Portrait]
    house: House = field(init=False)
    accounts: dict[str, AccountId] = field(default_factory=dict)
    line: Cuttable = field(init=False)

    def __post_init__(self) -> None:
        self.house = House(self.database, clock=TrueClock(), calibrations=shipped())
        self.house.publish(trial_policy(Level.NONE))
        with self._terminal(TerminalKind.ENROLMENT, "first desk") as desk:
            for claim, portrait in zip(CLAIMS.values(), self.portraits.values(), strict=True):
                account = AccountId.new()
                context = EnrolmentContext(account=account, consent_version=CONSENT_VERSION)
                camera = SimulatedCamera(live_customer(*portrait, seed=1))
                ended = desk.attempt(context, claim, camera, pin=PIN)
                assert ended.approved, ended.reason
                self.house.top_up(account, START_MINOR)
                self.accounts[claim] = account

    @contextmanager
    def _terminal(self, kind: TerminalKind, name: str) -> Iterator[Terminal]:
        home = self.folder / name
        register_device(self.house, home, kind)
        self.line = Cuttable(InProcess(self.house))
        with Terminal.open(home, self.line, self.engine) as terminal:
            terminal.has_colours = True
            terminal.patience_s = 1.0
            yield terminal

    @contextmanager
    def _running(
        self, kind: TerminalKind, opener: Opener, camera: BrowserCamera | None = None
    ) -> Iterator[Running]:
        before = camera or simulation(self.portraits, CLAIMS)
        with simulated_kiosks.kiosk(lambda: self._terminal(kind, kind.name), opener, before) as it:
            yield it

    @contextmanager
    def store(
        self, name: str = "Corner Shop", camera: BrowserCamera | None = None
    ) -> Iterator[Running]:
        opener = simulated_kiosks.store(self.folder, name)
        with self._running(TerminalKind.STORE, opener, camera) as it:
            yield it

    @contextmanager
    def atm(self, take: Callable[[], object]) -> Iterator[Running]:
        opener = simulated_kiosks.cash_point(self.folder, "Lobby", lambda unit: Shutter(unit, take))
        with self._running(TerminalKind.ATM, opener) as it:
            yield it

    @contextmanager
    def door(self) -> Iterator[Running]:
        with self._running(TerminalKind.DOOR, simulated_kiosks.passage("Front door")) as it:
            yield it

    @contextmanager
    def desk(
        self, consent: Consent | None = None, camera: BrowserCamera | None = None
    ) -> Iterator[Running]:
        """Who enrols has money at once."""

        def welcome(account: AccountId) -> None:
            self.house.top_up(account, START_MINOR)

        opener = simulated_kiosks.desk("Reception", consent, welcome)
        with self._running(TerminalKind.ENROLMENT, opener, camera) as it:
            yield it


def portraits(engine: Engine) -> dict[str, Portrait]:
    return dict(zip((OWNER, OTHER), (each for _, each in sample_portraits(engine)), strict=True))
