"""The main job on this machine, on real photos: enrol, pay, withdraw, open a door, audit.

The service, its database and its worker are real processes; the terminals are real terminals
in this process, whose camera shows a rendered customer (:mod:`liveness.rig`) made from a photo
that comes inside a pip package. What it cannot show is how it does on your customers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles

import cv2
import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from access.rules import Grant
from access.schedule import DAYS, Schedule, find_time_zone
from countenance import simulated_kiosks
from countenance.stage import Stage
from face_engine.engine import Engine
from face_engine.pictures import SUFFIXES, PictureError, enlarge, read_picture
from face_engine.types import Face, Pixels
from liveness.rig.presentation import live_customer
from service.audit import log
from service.audit.notes import verifier_key
from service.audit.verify import AuditError, VerifierKey, verify_log
from service.clock import unix_ms
from service.customers import acts as customers
from service.ledger.check import check
from service.operators import staff
from service.operators.people import Role
from service.verification.policy import default_policy
from terminal_client.atm import CashMachine
from terminal_client.camera import Camera, SimulatedCamera, Stills
from terminal_client.device import Actuator
from terminal_client.door import DoorPolicy
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.console import ConsoleChannel
from terminal_client.drivers.simulated_dispenser import SimulatedDispenser
from terminal_client.errors import Rejected
from terminal_client.exchange import Ended, Ending
from terminal_client.journal import Journal
from terminal_client.kiosk.browser_camera import BrowserCamera
from terminal_client.outbox import ATTEMPT
from terminal_client.terminal import Terminal, acted
from terminal_client.transport import HttpTransport, Reply, send
from wire import envelope
from wire.codec import MAX_MESSAGE_BYTES
from wire.ids import AccountId, AttemptId, DoorId, MerchantId
from wire.messages import (
    Context,
    Decision,
    Direction,
    EnrolmentContext,
    EntryContext,
    Evidence,
    PaymentContext,
    TerminalKind,
    WithdrawalContext,
)
from wire.money import Money

CURRENCY = "EUR"
PIN = "2468"
# A rendered head nods and comes closer less plainly than a person, and is asked again more often:
# so often by the terminal, and so often does the customer step before it anew.
TRIES_MAX, VISITS_MAX = 4, 4
ASKS_AGAIN = frozenset({Ending.NOT_LIVE, Ending.FRAMES_DISAGREE, Ending.NO_USABLE_FACE})
START_MONEY = Money(amount_minor=50_000, currency=CURRENCY)
OWN_CAMERA = {
    TerminalKind.ENROLMENT: "own camera enrolment",
    TerminalKind.STORE: "own camera store",
}
"""Terminals before the visitor's own camera, as the browser has it, and their homes."""
EXPECTED = {
    "payment_genuine": "approved",
    "payment_impostor": "denied:not_verified",
    "payment_replayed": "denied:challenge_not_accepted",
    "payment_tampered": "denied:evidence_not_accepted",
    "withdrawal_genuine": "approved",
    "door_genuine": "approved",
    "door_impostor": "denied:not_verified",
    "door_outside_schedule": "denied:outside_schedule",
    "ledger_balanced": True,
    "audit_verified": True,
}


class TimedTransport:
    """Measures the decisions, and keeps the last evidence for the attacks."""

    def __init__(self, url: str) -> None:
        self._http = HttpTransport(url)
        self.decision_ms: list[float] = []
        self.evidence = b""

    def exchange(
        self, path: str, body: bytes, *, timeout_s: float, bytes_max: int = MAX_MESSAGE_BYTES
    ) -> Reply:
        started = time.perf_counter()
        reply = self._http.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if path == ATTEMPT:
            self.decision_ms.append((time.perf_counter() - started) * 1000)
            self.evidence = body
        return reply


@dataclass
class Shop:
    """A merchant, a door, and the terminals, as an operator sets them up."""

    stage: Stage
    engine: Engine
    home: Path
    transport: TimedTransport = field(init=False)
    merchant: MerchantId = field(init=False)
    door: DoorId = field(init=False)
    terminals: list[Terminal] = field(default_factory=list)
    customers: list[AccountId] = field(default_factory=list)

    def __post_init__(self) -> None:
        operations = self.stage.house.operations
        self.transport = TimedTransport(self.stage.url)
        self.merchant = operations.add_merchant("Corner Shop", CURRENCY)
        self.door = operations.add_door("Front door")

    def add_terminal(self, kind: TerminalKind, folder: str = "") -> Terminal:
        """``folder`` is its home, which is named by its kind otherwise."""
        folder = folder or kind.name.lower()
        _, code = self.stage.house.operations.add_terminal(
            kind,
            folder.capitalize(),
            merchant=self.merchant if kind is TerminalKind.STORE else None,
            door=self.door if kind is TerminalKind.DOOR else None,
        )
        terminal = self._open(folder)
        terminal.register(code, kind)
        self.terminals.append(terminal)
        return terminal

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.outbox.close()

    @contextmanager
    def kiosks(self) -> Iterator[list[tuple[str, str]]]:
        """What may be tried out once the job is done, and where; the terminals are theirs now."""
        for kind, folder in OWN_CAMERA.items():
            self.add_terminal(kind, folder)
        self.close()
        people = {name.capitalize(): each for name, each in sample_portraits(self.engine)}
        cards = {"Card 0001": "card:0001", "Card 0002": "card:0002"}
        (self.home / "cash").mkdir()
        desk = simulated_kiosks.desk("Reception", enrolled=self._welcome)
        openers = {
            "store": simulated_kiosks.store(self.home, "Corner Shop"),
            "atm": simulated_kiosks.cash_point(self.home / "cash", "Lobby"),
            "door": simulated_kiosks.passage("Front door"),
            "enrolment": desk,
            OWN_CAMERA[TerminalKind.ENROLMENT]: desk,
            OWN_CAMERA[TerminalKind.STORE]: simulated_kiosks.store(
                self.home / OWN_CAMERA[TerminalKind.STORE], "Corner Shop"
            ),
        }
        links = []
        with ExitStack() as stack:
            for folder, opener in openers.items():
                own = folder in OWN_CAMERA.values()
                camera = BrowserCamera() if own else simulated_kiosks.simulation(people, cards)
                opened = simulated_kiosks.kiosk(partial(self._open, folder), opener, camera)
                running = stack.enter_context(opened)
                links.append((f"kiosk: {folder}", running.url))
                if running.cashier_url:
                    cashier = "own camera cashier" if own else "cashier"
                    links.append((f"kiosk: {cashier}", running.cashier_url))
            yield links + self.pages()

    def _open(self, folder: str) -> Terminal:
        terminal = Terminal.open(self.home / folder, self.transport, self.engine)
        terminal.has_colours = True
        return terminal

    def _welcome(self, account: AccountId) -> None:
        """Who enrols at a kiosk can pay at once, and go in."""
        self.stage.house.operations.top_up(account, START_MONEY)
        self.grant(account, "always")

    def pages(self) -> list[tuple[str, str]]:
        """Ways into the console, and to the own page of whoever enrolled first; each works once."""
        operations, origin = self.stage.house.operations, f"http://localhost:{self.stage.port}"
        _, code = staff.of(operations).add_operator("Demo", {Role.ADMIN})
        own = customers.of(operations).make_link(self.customers[0])
        return [
            ("console", f"{origin}/console/join/{code}"),
            ("my face", f"{origin}/me/enter#{own}"),
        ]

    def payment(self, amount_minor: int, order: str) -> PaymentContext:
        return PaymentContext(
            amount_minor=amount_minor, currency=CURRENCY, payee=self.merchant, order=order
        )

    def entry(self) -> EntryContext:
        return EntryContext(door=self.door, direction=Direction.IN)

    def grant(self, account: AccountId, schedule: str) -> None:
        grant = Grant(
            schedule=Schedule.parse(schedule),
            time_zone=find_time_zone("UTC"),
            valid_from_ms=0,
            valid_until_ms=2**50,
        )
        self.stage.house.operations.grant(account, self.door, grant)

    def results(self) -> dict[str, object]:
        """Whether money balances and the log verifies, and how long decisions took."""
        house = self.stage.house
        with house.database.transaction() as conn:
            while log.integrate(conn, house.keys.log, now_ms=unix_ms()):
                pass
            balanced = check(conn) == ()
            entries = conn.execute(
                "SELECT position, leaf FROM audit_entries WHERE position IS NOT NULL"
                " ORDER BY position"
            ).fetchall()
            notes = conn.execute("SELECT note FROM audit_checkpoints ORDER BY size").fetchall()
            decided = conn.execute("SELECT leaf_hash FROM attempts").fetchall()
        try:
            key = VerifierKey.parse(verifier_key(house.keys.log))
            verify_log(
                [(row[0], row[1]) for row in entries],
                [row[0] for row in notes],
                key,
                decided=[row[0] for row in decided],
            )
            verified = True
        except AuditError:
            verified = False
        measured = self.transport.decision_ms
        cuts = quantiles(measured, n=20, method="inclusive") if len(measured) > 1 else [0.0] * 19
        return {
            "ledger_balanced": balanced,
            "audit_verified": verified,
            "decision_ms_p50": round(cuts[9], 2),
            "decision_ms_p95": round(cuts[18], 2),
        }


def outcome(ended: Ended) -> str:
    """``approved`` or ``denied:<reason>``; what ended before a decision is a denial, too."""
    if ended.approved:
        return "approved"
    reason = ended.reason or ended.ending.value
    return f"denied:{reason if ended.ending is Ending.DENIED else ended.ending.value}"


Portrait = tuple[Pixels, Face]


def sample_portraits(engine: Engine) -> list[tuple[str, Portrait]]:
    """Two people whose photos come inside pip packages."""
    spec = find_spec("insightface")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package insightface is not installed")
    images = Path(spec.origin).parent / "data" / "images"
    pictures = [
        ("astronaut", cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)),
        ("actor", read_picture(images / "Tom_Hanks_54745.png")),
    ]
    portraits = []
    for name, picture in pictures:
        pixels = np.asarray(picture, np.uint8)
        faces = engine.detect(pixels)
        if not faces:
            pixels = enlarge(pixels, 2)
            faces = engine.detect(pixels)
        portraits.append((name, (pixels, faces[0])))
    return portraits


@dataclass
class MainJob:
    """Tells what it does line by line."""

    shop: Shop
    console: Console
    _seed: int = 0

    def run(self) -> dict[str, object]:
        """Returns the results by name, as ``countenance demo --json`` prints them."""
        (_, one), (_, two) = sample_portraits(self.shop.engine)
        station = self.shop.add_terminal(TerminalKind.ENROLMENT)
        store, atm, door = (
            self.shop.add_terminal(kind)
            for kind in (TerminalKind.STORE, TerminalKind.ATM, TerminalKind.DOOR)
        )
        self._say("registered a store terminal, an ATM, a door and an enrolment station")
        accounts = [
            self._enrol(station, portrait, claim)
            for portrait, claim in ((one, "card:0001"), (two, "card:0002"))
        ]
        self.shop.customers.extend(accounts)
        for account in accounts:
            self.shop.stage.house.operations.top_up(account, START_MONEY)
        results: dict[str, object] = {
            "pack": self.shop.engine.pack.name,
            "enrolled": len(accounts),
        }
        payment = self.shop.payment(1250, "coffee-1")
        results["payment_genuine"] = self._attempt("pays 12.50 EUR", store, payment, one)
        genuine = self.shop.transport.evidence
        results["payment_impostor"] = self._attempt("claims another's card", store, payment, two)
        results["payment_replayed"] = self._replay(store, genuine)
        results["payment_tampered"] = self._tamper(genuine)
        results["withdrawal_genuine"] = self._withdraw(atm, one)
        results |= self._doors(door, accounts[0], one, two)
        return results | self.shop.results()

    def _enrol(self, station: Terminal, portrait: Portrait, claim: str) -> AccountId:
        account = AccountId.new()
        context = EnrolmentContext(
            account=account, consent_version=default_policy().consent_version
        )
        said = outcome(self._visit(station, context, claim, portrait))
        self._say("a customer agrees, shows the face and chooses a PIN", said)
        if said != "approved":
            raise RuntimeError(f"the enrolment was {said}")
        return account

    def _attempt(
        self,
        what: str,
        terminal: Terminal,
        context: Context,
        portrait: Portrait,
        act: Actuator = acted,
    ) -> str:
        said = outcome(self._visit(terminal, context, "card:0001", portrait, act))
        self._say(f"{terminal.identity.kind.name.lower()}: {what}", said)
        return said

    def _visit(
        self,
        terminal: Terminal,
        context: Context,
        claim: str,
        portrait: Portrait,
        act: Actuator = acted,
    ) -> Ended:
        """Until there is a decision, or the customer has enough of it."""
        for _ in range(VISITS_MAX):
            ended = terminal.attempt(
                context, claim, self._customer(portrait), pin=PIN, act=act, tries=TRIES_MAX
            )
            if ended.ending not in ASKS_AGAIN:
                break
        return ended

    def _replay(self, store: Terminal, genuine: bytes) -> str:
        """A thief inside the terminal sends the genuine evidence as a new attempt."""
        evidence = envelope.parse(genuine, Evidence).message
        again = replace(evidence, attempt=AttemptId.new(), counter=store.keystore.next_counter())
        key = store.keystore.signing_key(store.identity)
        raw = send(self.shop.transport, ATTEMPT, envelope.sign(again, key).raw)
        decision = envelope.parse(raw, Decision).message
        said = "approved" if decision.approved else f"denied:{decision.reason}"
        self._say("store: the same evidence again, as a new payment", said)
        return said

    def _tamper(self, genuine: bytes) -> str:
        """Somebody on the network changes the amount."""
        amount, changed = (1250).to_bytes(2, "big"), (1251).to_bytes(2, "big")
        tampered = genuine.replace(b"\x19" + amount, b"\x19" + changed, 1)
        try:
            send(self.shop.transport, ATTEMPT, tampered)
            said = "approved"
        except Rejected as error:
            said = f"denied:{error.reason}"
        self._say("network: the amount changed by one cent on the way", said)
        return said

    def _withdraw(self, atm: Terminal, portrait: Portrait) -> str:
        notes = {5000: 10, 2000: 10, 1000: 10}
        context = WithdrawalContext(amount_minor=8_000, currency=CURRENCY)
        with closing(SimulatedDispenser(self.shop.home / "dispenser.db", notes)) as dispenser:
            machine = CashMachine(dispenser, Journal(self.shop.home / "journal"), unix_ms)
            return self._attempt(
                "draws 80 EUR with face and PIN", atm, context, portrait, machine.dispense
            )

    def _doors(
        self, door: Terminal, account: AccountId, owner: Portrait, other: Portrait
    ) -> dict[str, object]:
        lock = ConsoleChannel(lambda text: self._say(f"door: {text}"))
        with Keeper(lock, DoorPolicy(), lambda _event: None) as keeper:
            self.shop.grant(account, "always")
            entry = self.shop.entry()
            genuine = self._attempt("the owner enters", door, entry, owner, keeper.admit)
            impostor = self._attempt(
                "another face, the owner's badge", door, entry, other, keeper.admit
            )
            tomorrow = DAYS[(datetime.now(UTC).weekday() + 2) % 7]
            self.shop.grant(account, f"{tomorrow} 00:00-24:00")
            late = self._attempt("the owner outside the schedule", door, entry, owner, keeper.admit)
            self.shop.grant(account, "always")
        return {
            "door_genuine": genuine,
            "door_impostor": impostor,
            "door_outside_schedule": late,
        }

    def _customer(self, portrait: Portrait) -> Camera:
        self._seed += 1
        return SimulatedCamera(live_customer(*portrait, seed=self._seed))

    def _say(self, what: str, said: str | None = None) -> None:
        colour = "green" if said == "approved" else "yellow"
        ending = f" [{colour}]{said}[/]" if said else ""
        self.console.print(f"  {what}{ending}", highlight=False)


def table_of(results: dict[str, object]) -> Table:
    """Results beside what was expected."""
    table = Table("what", "result", "as expected")
    for name, value in results.items():
        expected = EXPECTED.get(name)
        mark = "" if expected is None else "[green]✓[/]" if value == expected else "[red]✗[/]"
        table.add_row(name, str(value), mark)
    return table


def as_expected(results: dict[str, object]) -> bool:
    return all(results.get(name) == expected for name, expected in EXPECTED.items())


@dataclass
class Person:
    name: str
    photos: list[Pixels]
    claim: str = field(repr=False)
    account: AccountId | None = None


@dataclass
class PeopleTrial:
    """Everybody enrols with their first photo; all others pay, first photos as impostors.

    Photos are stills, so nothing here is checked for liveness. An operator lifts each lockout
    before the next attempt, so that every face is compared.
    """

    shop: Shop
    console: Console
    upscale: int
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "genuine_attempts",
                "genuine_approved",
                "impostor_attempts",
                "impostor_approved",
                "no_face",
            ),
            0,
        )
    )

    def run(self, folder: Path) -> dict[str, object]:
        station = self.shop.add_terminal(TerminalKind.ENROLMENT)
        store = self.shop.add_terminal(TerminalKind.STORE)
        people = [self._read(path) for path in sorted(folder.iterdir()) if path.is_dir()]
        enrolled = [person for person in people if self._enrol(station, person)]
        for person in enrolled:
            for photo in person.photos[1:]:
                self._pay(store, person, photo, "genuine")
        for person in enrolled:
            for other in people:
                if other is not person and other.photos:
                    self._pay(store, person, other.photos[0], "impostor")
        return {
            "pack": self.shop.engine.pack.name,
            "liveness": "none",
            "enrolled": len(enrolled),
            **self.counts,
            **self.shop.results(),
        }

    def _read(self, folder: Path) -> Person:
        """Files that are no pictures are left out; photos sort by their numbers."""
        photos = []
        for path in sorted(folder.iterdir(), key=lambda path: (len(path.name), path.name)):
            if path.suffix.lower() not in SUFFIXES:
                continue
            try:
                pixels = read_picture(path)
            except PictureError as error:
                self.console.print(f"  [yellow]{error}[/]", highlight=False)
                self.counts["no_face"] += 1
                continue
            photos.append(enlarge(pixels, self.upscale) if self.upscale > 1 else pixels)
        return Person(folder.name, photos, f"card:{folder.name}"[:100])

    def _enrol(self, station: Terminal, person: Person) -> bool:
        if not person.photos:
            return False
        person.account = AccountId.new()
        context = EnrolmentContext(
            account=person.account, consent_version=default_policy().consent_version
        )
        ended = station.attempt(context, person.claim, Stills(person.photos[0]))
        if not ended.approved:
            self.counts["no_face"] += ended.ending is Ending.NO_USABLE_FACE
            self.console.print(f"  {person.name}: not enrolled ({outcome(ended)})")
            return False
        self.shop.stage.house.operations.top_up(person.account, START_MONEY)
        return True

    def _pay(self, store: Terminal, person: Person, photo: Pixels, kind: str) -> None:
        if person.account is None:
            raise RuntimeError("not enrolled")
        self.shop.stage.house.operations.set_account(person.account, active=True)
        ended = store.attempt(self.shop.payment(1, kind), person.claim, Stills(photo))
        if ended.ending is Ending.NO_USABLE_FACE:
            self.counts["no_face"] += 1
            return
        self.counts[f"{kind}_attempts"] += 1
        self.counts[f"{kind}_approved"] += ended.approved
