"""Terminals at work while everything that they depend on is killed; and the proof afterwards.

    python -m tests.torture [--seed N]

Everything is a real process: PostgreSQL with fsync, the service, a worker, a broker where there is
one, and on request a bank's host and Stripe's stand-in. A seed gives the work of each terminal, the
order of the faults, and what befalls the n-th exchange; the moments are the machine's.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

from countenance.stage import Stage, set_stage, trial_policy
from service import policies
from service.clock import unix_ms
from service.errors import Unavailable
from service.ledger import store as ledger
from service.ledger.check import check
from terminal_client.device import Device
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, Outbox
from terminal_client.transport import HttpTransport, send
from tests.processes.till import CURRENCY, Mall
from tests.torture.cable import Cable, lay_cable
from tests.torture.parts import Part, PostgreSQL, Service, Worker, open_redis
from tests.torture.processors import Outside, open_outside
from tests.torture.terminals import Line, Unit, draw_jobs
from wire.ids import AttemptId, TransferId
from wire.messages import Level, PaymentContext, TerminalKind

STORES, MACHINES, CUSTOMERS, OUTSIDE = 6, 2, 12, 4
START_MINOR, POOR_MINOR = 10_000_000, 30_000
TOGETHER = 1 / 4
LATE_CASH = "cash was handed out, but its hold is not posted"
READY_MAX_S, COMMAND_MAX_S = 240.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``kills`` of each part; ``share`` of the exchanges that meet a fault; ``outside``: some
    customers' money is at a bank or at Stripe."""

    seed: int
    payments: int
    withdrawals: int
    kills: int
    share: float = 0.1
    hold_ttl_ms: int = 30_000
    storm_max_s: float = 1_200.0
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Strike:
    """On a part, once so many attempts were decided."""

    after: int
    part: str


def draw_strikes(plan: Plan, parts: Sequence[str]) -> list[Strike]:
    """In order; some come together with the one before."""
    drawn = random.Random(f"{plan.seed}/strikes")
    attempts = plan.payments + plan.withdrawals
    order = [part for part in parts for _ in range(plan.kills)]
    drawn.shuffle(order)
    moments = sorted(drawn.randrange(attempts // 20, attempts * 19 // 20) for _ in order)
    for n in range(1, len(moments)):
        if drawn.random() < TOGETHER:
            moments[n] = moments[n - 1]
    return [Strike(after, part) for after, part in zip(sorted(moments), order, strict=True)]


@dataclass
class Outcome:
    """``findings`` is empty where nothing was lost, doubled or left over."""

    seconds: float = 0.0
    attempts: int = 0
    strikes: Counter[str] = field(default_factory=Counter)
    revived: Counter[str] = field(default_factory=Counter)
    network: Counter[str] = field(default_factory=Counter)
    terminals: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)
    withdrawals: Counter[str] = field(default_factory=Counter)
    late_cash: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """Everything at work; ``on_done`` is called after each attempt and each strike."""

    plan: Plan
    stage: Stage
    mall: Mall
    cable: Cable
    parts: list[Part]
    units: list[Unit]
    outside: Outside | None
    outcome: Outcome = field(default_factory=Outcome)
    on_done: Callable[[str], None] = lambda _what: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> Outcome:
        began = time.monotonic()
        with ThreadPoolExecutor(len(self.units)) as threads:
            work = [threads.submit(unit.work, self._count) for unit in self.units]
            self._storm(work)
            for each in work:
                each.result()
        self._calm_down()
        self._prove()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _count(self) -> None:
        with self._lock:
            self.outcome.attempts += 1
        self.on_done("attempts")

    def _storm(self, work: list[Future[None]]) -> None:
        """Strikes in their order, and starts again what ended by itself, until all is done."""
        parts = {part.name: part for part in self.parts}
        strikes = draw_strikes(self.plan, list(parts))
        drawn = random.Random(f"{self.plan.seed}/storm")
        deadline = time.monotonic() + self.plan.storm_max_s
        while not all(each.done() for each in work):
            if time.monotonic() > deadline:
                raise TimeoutError("the terminals do not get done")
            while strikes and self.outcome.attempts >= strikes[0].after:
                strike = strikes.pop(0)
                parts[strike.part].strike(drawn)
                self.outcome.strikes[strike.part] += 1
                self.on_done(strike.part)
            self._revive()
            time.sleep(0.05)
        if strikes and not any(each.exception() for each in work):
            self.outcome.findings.append(f"{len(strikes)} strikes had no moment")

    def _revive(self) -> None:
        for part in self.parts:
            if isinstance(part, Service | Worker) and part.revive():
                self.outcome.revived[part.name] += 1

    def _calm_down(self) -> None:
        """Everything runs; what was left pending ends in its time."""
        self.stage.wait_until_ready()
        deadline = time.monotonic() + self.plan.hold_ttl_ms / 1000 + READY_MAX_S
        while self._waiting():
            self._revive()
            if time.monotonic() > deadline:
                self.outcome.findings.append("something stays pending")
                return
            time.sleep(0.5)

    def _waiting(self) -> int:
        try:
            with self.stage.house.database.transaction() as conn:
                row = conn.execute(
                    """SELECT (SELECT count(*) FROM transfers WHERE state = 'pending')
                    + (SELECT count(*) FROM audit_entries WHERE position IS NULL)
                    + (SELECT count(*) FROM processor_entries WHERE due_at_ms IS NOT NULL)"""
                ).fetchone()
        except Unavailable:
            return 1
        return int(row[0]) if row else 1

    def _prove(self) -> None:
        """From outside: what terminals were told, what machines handed out, the commands."""
        outcome, found = self.outcome, self.outcome.findings
        outcome.network = self.cable.faults
        late = self._book_late_cash()
        outcome.late_cash = len(late)
        if broken := {status for status in self.cable.statuses if status >= 500 and status != 503}:
            found.append(f"the service answered {sorted(broken)}")
        spent, earned_minor = Counter[int](), 0
        told: set[bytes] = set()
        for unit in self.units:
            outcome.terminals.update(unit.cuts)
            found += _repeat(unit, self.stage.url)
            decisions, given = unit.decisions, unit.given() if unit.is_atm else {}
            told |= {attempt.raw for attempt in decisions}
            for attempt, decision in decisions.items():
                outcome.decided[decision.reason or "approved"] += 1
                customer = unit.customers[attempt]
                if not decision.approved:
                    if given.get(attempt):
                        found.append(f"{attempt}: cash without an approval")
                elif isinstance(decision.context, PaymentContext):
                    spent[customer] += decision.context.amount_minor
                    earned_minor += decision.context.amount_minor
                elif attempt not in late:
                    spent[customer] += given.get(attempt, 0)
            if unit.is_atm:
                self._prove_machine(unit, sum(given.values()))
        self._prove_rows(told, spent, earned_minor)
        for arguments in (["ledger", "check"], ["audit", "verify"]):
            done = subprocess.run(
                [sys.executable, "-m", "countenance.cli", *arguments, "--json"],
                check=False, capture_output=True, text=True, timeout=COMMAND_MAX_S,
            )  # fmt: skip
            if done.returncode:
                found.append(f"countenance {' '.join(arguments)}: {done.stdout}{done.stderr}")

    def _book_late_cash(self) -> set[AttemptId]:
        """What an operator does about cash that was handed out in an outage longer than a hold."""
        with self.stage.house.database.transaction() as conn:
            late = [each.row for each in check(conn) if each.what == LATE_CASH]
        for row in late:
            of = TransferId(AttemptId.parse(row.replace("tra_", "att_")).raw)
            refusal = self.stage.house.operations.book_late_cash(of, transfer=TransferId.new())
            if refusal is not None:
                self.outcome.findings.append(f"{row}: late cash is refused: {refusal}")
        return {AttemptId(TransferId.parse(row).raw) for row in late}

    def _prove_machine(self, unit: Unit, given_minor: int) -> None:
        with self.stage.house.database.transaction() as conn:
            booked_minor = ledger.earned_minor(conn, unit.terminal)
            states = conn.execute(
                """SELECT state, count(*) FROM transfers JOIN attempts ON attempt_id = transfer_id
                WHERE terminal_id = %s GROUP BY state""",
                (unit.terminal.raw,),
            ).fetchall()
        self.outcome.withdrawals.update(dict(states))
        if booked_minor != given_minor:
            self.outcome.findings.append(
                f"{unit.terminal}: {given_minor} left the machine, {booked_minor} are booked"
            )

    def _prove_rows(self, told: set[bytes], spent: Counter[int], earned_minor: int) -> None:
        found, mall = self.outcome.findings, self.mall
        terminals = [unit.terminal.raw for unit in self.units]
        with self.stage.house.database.transaction() as conn:
            rows = conn.execute(
                "SELECT attempt_id FROM attempts WHERE terminal_id = ANY(%s)", (terminals,)
            ).fetchall()
            decided = [row[0] for row in rows]
            if sorted(decided) != sorted(told):
                found.append(f"{len(decided)} decisions, of which terminals know {len(told)}")
            booked_minor = ledger.earned_minor(conn, mall.merchant)
            if booked_minor != earned_minor:
                found.append(f"the merchant has {booked_minor}, and was promised {earned_minor}")
            starts = starts_of(self.plan)
            for (seed, account), start_minor in zip(mall.accounts.items(), starts, strict=True):
                wallet = ledger.wallet_of(conn, account)
                left_minor = start_minor - spent[seed] if start_minor > 1 else start_minor
                if wallet is None or (wallet.balance_minor, wallet.held_minor) != (left_minor, 0):
                    found.append(f"{account} should have {left_minor}: {wallet}")
            found += [f"{each.what}: {each.row}" for each in check(conn)]
            found += self.outside.prove(conn) if self.outside else []


def starts_of(plan: Plan) -> list[int]:
    """What each customer's wallet begins with; one in six runs out of it, and those whose money is
    outside come last and have one cent, which stays."""
    wallets = [POOR_MINOR if n % 6 == 5 else START_MINOR for n in range(CUSTOMERS)]
    return wallets + [1] * (OUTSIDE if plan.outside else 0)


def _repeat(unit: Unit, url: str) -> list[str]:
    """The same evidence again gets the same bytes."""
    line, found = HttpTransport(url), []
    for digest, evidence in unit.line.sent.items():
        answers = unit.line.answers.get(digest, set())
        if answers | {send(line, ATTEMPT, evidence)} != answers or len(answers) != 1:
            found.append(f"{unit.terminal}: {len(answers)} different decisions on one attempt")
    return found


@contextmanager
def set_scene(home: Path, plan: Plan) -> Iterator[Scene]:
    with ExitStack() as stack:
        home.mkdir(mode=0o711, exist_ok=True)
        redis = stack.enter_context(open_redis(home / "redis"))
        settings = {"COUNTENANCE_BROKER_URL": redis.url if redis else ""}
        stack.enter_context(mock.patch.dict(os.environ, settings))
        outside = stack.enter_context(open_outside(home)) if plan.outside else None
        os.environ.pop("COUNTENANCE_DATABASE_URL", None)
        stage = stack.enter_context(set_stage(home, level=Level.NONE, worker=True, workers=2))
        with stage.house.database.transaction() as conn:
            policy = replace(trial_policy(Level.NONE), hold_ttl_ms=plan.hold_ttl_ms)
            policies.publish(conn, policy, stage.house.keys.signing, now_ms=unix_ms())
        mall = Mall(stage.house)
        station = mall.add_till(TerminalKind.ENROLMENT, HttpTransport(stage.url))
        for start_minor in starts_of(plan):
            mall.enrol(station, start_minor)
        for number, account in enumerate(list(mall.accounts.values())[CUSTOMERS:]):
            if outside is not None:
                outside.attach(stage.house, account, to_bank=number < OUTSIDE // 2)
        cable = stack.enter_context(lay_cable(stage.port, seed=plan.seed, share=plan.share))
        parts: list[Part] = [PostgreSQL(home), Service(stage), Worker(stage)]
        parts += [redis] if redis else []
        parts += outside.parts() if outside else []
        units = [_add_unit(plan, mall, stage, cable, home, n) for n in range(STORES + MACHINES)]
        yield Scene(plan, stage, mall, cable, parts, units, outside)


def _add_unit(plan: Plan, mall: Mall, stage: Stage, cable: Cable, homes: Path, number: int) -> Unit:
    is_atm = number >= STORES
    kind = TerminalKind.ATM if is_atm else TerminalKind.STORE
    merchant = None if is_atm else mall.merchant
    home = homes / f"terminal-{number}"
    _, code = stage.house.operations.add_terminal(
        kind, f"{kind.name} {number}", merchant=merchant, currency=CURRENCY
    )
    with Device(Keystore(home), Outbox(home / "outbox.db"), HttpTransport(stage.url)) as device:
        identity = device.register(code, kind)
    all_jobs, of, first = (
        (plan.withdrawals, MACHINES, STORES) if is_atm else (plan.payments, STORES, 0)
    )
    share = len(range(number - first, all_jobs, of))
    # Cash comes from wallets and from the bank.
    customers = list(mall.accounts)[: CUSTOMERS + OUTSIDE // 2 if is_atm else None]
    jobs = draw_jobs(random.Random(f"{plan.seed}/{number}"), share, customers, merchant)
    return Unit(home, identity.terminal, is_atm, Line(HttpTransport(cable.url)), jobs)
