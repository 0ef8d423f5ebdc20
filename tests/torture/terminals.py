"""Terminals: the product's own devices, whose power fails, too; made-up faces for the camera."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from service.clock import unix_ms
from terminal_client.atm import CashMachine
from terminal_client.device import Device, left_over
from terminal_client.drivers.simulated_dispenser import Faults, SimulatedDispenser
from terminal_client.errors import TerminalError
from terminal_client.exchange import COMPLETED, Word
from terminal_client.journal import Journal, total
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, Outbox
from terminal_client.transport import HttpTransport, Reply
from tests.ceremony.devices import Power, PowerCut, made_up_ceremony
from tests.processes.till import CURRENCY, made_up
from wire import envelope
from wire.ids import AttemptId, MerchantId, TerminalId
from wire.messages import Context, Decision, PaymentContext, WithdrawalContext

JOB_MAX_S = 300.0
PAUSE_S = 0.1
NOTES = {5000: 100_000, 2000: 100_000, 1000: 100_000}
POWER_CUTS = 1 / 8
CUT_AT_MAX = 24


@dataclass(frozen=True, slots=True)
class Job:
    """``loses_disk``: the power fails before any note moves, and the outbox does not come back."""

    context: Context
    customer: int
    faults: Faults = field(default_factory=Faults)
    cut_at: int = 0
    loses_disk: bool = False


def draw_jobs(
    drawn: random.Random, number: int, customers: list[int], merchant: MerchantId | None
) -> list[Job]:
    """Payments to the merchant, or withdrawals where there is none."""
    jobs = []
    for n in range(number):
        cut_at = drawn.randint(1, CUT_AT_MAX) if drawn.random() < POWER_CUTS else 0
        context: Context
        if merchant is not None:
            context = PaymentContext(
                amount_minor=drawn.randint(1, 9_999), currency=CURRENCY, payee=merchant,
                order=f"order {n}",
            )  # fmt: skip
            jobs.append(Job(context, drawn.choice(customers), cut_at=cut_at))
            continue
        context = WithdrawalContext(amount_minor=1000 * drawn.randint(1, 20), currency=CURRENCY)
        faults = drawn.choice([
            *[Faults()] * 6, Faults(jams_after=drawn.randint(0, 3)), Faults(taken=0)
        ])  # fmt: skip
        lost = number >= 8 and n == 0
        jobs.append(Job(context, drawn.choice(customers), faults, cut_at, lost))
    return jobs


@dataclass
class Line:
    """The device's connection; keeps what was sent for a decision, and what was answered."""

    http: HttpTransport
    sent: dict[bytes, bytes] = field(default_factory=dict)
    answers: dict[bytes, set[bytes]] = field(default_factory=dict)

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        if path == ATTEMPT:
            self.sent[sha256(body).digest()] = body
        reply = self.http.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if path == ATTEMPT and reply.status == 200:
            self.answers.setdefault(sha256(body).digest(), set()).add(reply.body)
        return reply


@dataclass
class Unit:
    """A store's terminal, or a cash machine (``is_atm``), with everything on its disk."""

    home: Path
    terminal: TerminalId
    is_atm: bool
    line: Line
    jobs: list[Job]
    customers: dict[AttemptId, int] = field(default_factory=dict)
    lost: set[AttemptId] = field(default_factory=set)
    cuts: Counter[str] = field(default_factory=Counter)

    @property
    def decisions(self) -> dict[AttemptId, Decision]:
        """Each decision that was answered."""
        found = {}
        for raws in self.line.answers.values():
            decision = envelope.parse(min(raws), Decision).message
            found[decision.attempt] = decision
        return found

    def work(self, on_done: Callable[[], None]) -> None:
        for job in self.jobs:
            deadline, power = time.monotonic() + JOB_MAX_S, Power(job.cut_at)
            while not self._try(job, power):
                power = Power(0)
                if time.monotonic() > deadline:
                    raise TimeoutError("a terminal does not get on")
            on_done()
        self.settle()

    def _try(self, job: Job, power: Power) -> bool:
        """Whether it ended with a decision, however often the power failed."""
        attempt = AttemptId.new()
        self.customers[attempt] = job.customer
        try:
            with self._open(power, job.faults) as (device, machine):
                ceremony = made_up_ceremony(
                    device, job.context, job.customer, attempt, made_up(job.customer)
                )
                device.carry_out(
                    ceremony,
                    lambda decision: self._act(decision, machine, job),
                )
        except PowerCut:
            self.cuts["power cut"] += 1
            if attempt in self.lost:
                (self.home / "outbox.db").unlink()
        except TerminalError as error:
            self.cuts[type(error).__name__] += 1
        self.settle()
        return attempt in self.decisions

    def _act(self, decision: Decision, machine: CashMachine | None, job: Job) -> Word:
        if job.loses_disk and not any(each in self.lost for each in self.customers):
            self.lost.add(decision.attempt)
            raise PowerCut
        return machine.dispense(decision) if machine else COMPLETED

    def settle(self) -> None:
        """What the next start does until nothing is left over."""
        deadline = time.monotonic() + JOB_MAX_S
        while True:
            try:
                with self._open(Power(0), Faults()) as (device, machine):
                    device.reconcile(machine.settle if machine else left_over)
                    if not device.outbox.waiting():
                        return
            except TerminalError as error:
                self.cuts[type(error).__name__] += 1
                time.sleep(PAUSE_S)
            if time.monotonic() > deadline:
                raise TimeoutError("a terminal cannot settle what is left over")

    @contextmanager
    def _open(self, power: Power, faults: Faults) -> Iterator[tuple[Device, CashMachine | None]]:
        with ExitStack() as opened:
            line, outbox = replace(self.line), Outbox(self.home / "outbox.db")
            opened.callback(outbox.close)
            power.around(outbox, "put", "swap", "done")
            power.around(line, "exchange")
            device, machine = Device(Keystore(self.home), outbox, line), None
            if self.is_atm:
                dispenser = SimulatedDispenser(self.home / "dispenser.db", NOTES, faults)
                opened.callback(dispenser.close)
                journal = Journal(self.home / "journal")
                power.around(dispenser, "stack", "present", "recover")
                power.around(journal, "append")
                machine = CashMachine(dispenser, journal, unix_ms)
            yield device, machine

    def given(self) -> dict[AttemptId, int]:
        """What the dispenser's own memory says that people took, minor units by attempt."""
        unit = SimulatedDispenser(self.home / "dispenser.db", NOTES)
        names = [row[0] for row in unit._database.execute("SELECT name FROM unit")]
        found = {
            AttemptId.parse(name.split()[1]): total(unit._recall(name) or {})
            for name in names
            if name.startswith("taken ")
        }
        unit.close()
        return found
