"""Kiosks before simulated customers, or before whoever sits at the browser: for the demo, and for
tests in a browser.

Guarantees: each runs in a thread of its own, which opens the terminal and closes it; what ends the
block ends them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from face_engine.types import Face, Pixels
from liveness.rig.presentation import Filmed, live_customer
from terminal_client.atm import CashMachine
from terminal_client.device import Actuator
from terminal_client.door import DoorPolicy, entry
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.console import ConsoleChannel
from terminal_client.drivers.dispenser import Dispenser
from terminal_client.drivers.simulated_dispenser import SimulatedDispenser
from terminal_client.enrolment import Consent
from terminal_client.exchange import Ended
from terminal_client.journal import Journal
from terminal_client.kiosk.browser_camera import BrowserCamera
from terminal_client.kiosk.cash import CashPoint
from terminal_client.kiosk.cashier import Cashier
from terminal_client.kiosk.checkout import Checkout
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.joining import Desk
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.part import Part
from terminal_client.kiosk.passage import Passage
from terminal_client.kiosk.server import KioskServer
from terminal_client.kiosk.simulation import Simulation
from terminal_client.kiosk.web import Sides
from terminal_client.kiosk.words import shipped_consent
from terminal_client.payments import PaymentBook
from terminal_client.terminal import OnPrompt, Terminal
from wire.ids import AccountId
from wire.messages import Direction, EntryContext

CURRENCY = "EUR"
NOTES = {5000: 10, 2000: 10}
STOP_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """``cashier_url`` is empty where nobody is at a till; no ``simulation`` before a browser's own
    camera."""

    url: str = field(repr=False)
    cashier_url: str = field(repr=False)
    part: Part
    simulation: Simulation | None


Opener = Callable[[Terminal, Line, Feed], AbstractContextManager[Part]]


def simulation(people: Mapping[str, tuple[Pixels, Face]], cards: Mapping[str, str]) -> Simulation:
    """``people`` are portraits by their names; ``cards`` map what is written on them to claims."""

    def person(portrait: tuple[Pixels, Face]) -> Callable[[int], Any]:
        def render(seed: int) -> Filmed:
            return live_customer(*portrait, seed=seed)

        return render

    return Simulation({name: person(each) for name, each in people.items()}, cards)


@contextmanager
def kiosk(
    open_terminal: Callable[[], AbstractContextManager[Terminal]],
    opener: Opener,
    camera: Simulation | BrowserCamera,
) -> Iterator[Running]:
    """Raises what kept it from starting."""
    started: Queue[Running | Exception] = Queue()

    def run() -> None:
        try:
            with ExitStack() as stack:
                terminal = stack.enter_context(open_terminal())
                line = stack.enter_context(Line(terminal.transport))
                own = stack.enter_context(camera) if isinstance(camera, BrowserCamera) else None
                simulated = camera if isinstance(camera, Simulation) else None
                feed = Feed(camera)
                part = stack.enter_context(opener(terminal, line, feed))
                sides = Sides(
                    screen=part.screen,
                    feed=feed,
                    cashier=part.cashier,
                    simulation=simulated,
                    camera_url=own.url if own else None,
                )
                server = stack.enter_context(KioskServer(sides, 0))
                if own is not None:
                    own.is_own = server.is_own
                urls = {"url": server.url, "cashier_url": server.cashier_url or ""}
                started.put(Running(part=part, simulation=simulated, **urls))
                part.run()
        except Exception as error:
            started.put(error)
            raise

    thread = Thread(target=run, daemon=True, name="kiosk")
    thread.start()
    found = started.get()
    if isinstance(found, Exception):
        raise found
    try:
        yield found
    finally:
        found.part.stop()
        thread.join(STOP_S)


def store(home: Path, name: str) -> Opener:
    @contextmanager
    def open_store(terminal: Terminal, line: Line, feed: Feed) -> Iterator[Part]:
        with closing(PaymentBook(home / "payments.db")) as book:
            checkout = Checkout(name, terminal, feed, book, line)
            till = checkout.till
            cashier = Cashier(till, name, CURRENCY)
            yield Part(screen=checkout.screen, run=till.run, stop=till.stop, cashier=cashier)

    return open_store


def cash_point(
    home: Path, name: str, through: Callable[[Dispenser], Dispenser] = lambda unit: unit
) -> Opener:
    """``through`` puts something between the machine and its dispenser."""

    @contextmanager
    def open_atm(terminal: Terminal, line: Line, feed: Feed) -> Iterator[Part]:
        with closing(SimulatedDispenser(home / "dispenser.db", NOTES)) as dispenser:
            journal = Journal(home / "journal")
            machine = CashMachine(through(dispenser), journal, terminal.unix_ms)
            point = CashPoint(name, terminal, feed, machine, CURRENCY, line)
            yield Part(screen=point.host.screen, run=point.run, stop=point.host.stop)

    return open_atm


def passage(name: str) -> Opener:
    @contextmanager
    def open_door(terminal: Terminal, line: Line, feed: Feed) -> Iterator[Part]:
        context = entry(terminal.identity, Direction.IN)
        lock = ConsoleChannel(lambda _text: None)
        with Keeper(lock, DoorPolicy(), lambda _event: None) as keeper:
            gate = _Online(terminal, context, feed)
            door = Passage(name, terminal, feed, gate, keeper, context, line)
            yield Part(screen=door.screen, run=door.run, stop=door.host.stop)

    return open_door


def desk(
    name: str,
    consent: Consent | None = None,
    enrolled: Callable[[AccountId], None] = lambda _account: None,
) -> Opener:
    @contextmanager
    def open_desk(terminal: Terminal, line: Line, feed: Feed) -> Iterator[Part]:
        station = Desk(name, terminal, feed, consent or shipped_consent(), line, enrolled)
        yield Part(screen=station.host.screen, run=station.run, stop=station.host.stop)

    return open_desk


@dataclass
class _Online:
    """A door that always asks the service."""

    terminal: Terminal
    context: EntryContext
    feed: Feed

    def attempt(self, claim: str, act: Actuator, on_prompt: OnPrompt) -> tuple[Ended, bool]:
        ended = self.terminal.attempt(self.context, claim, self.feed, act=act, on_prompt=on_prompt)
        return ended, False
