"""The day before the demo, so that the console it opens on has something to tell.

Two people enrol, pay, draw cash and enter through 24 hours, mostly as they may, and sometimes with
the other one's card, with more than the wallet holds, or at night. Terminal and service are the
real ones, in this process, by a clock that is set; rendered pictures stand for the people, so that
day's policy asks for no liveness, as each of its attempts says.

The caller must publish today's policy afterwards, and start no service before.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from flask.testing import FlaskClient

from access.rules import Grant
from access.schedule import Schedule, find_time_zone
from countenance.house import House
from countenance.stage import CHALLENGES_PER_MINUTE, trial_policy
from face_engine.calibration import shipped
from face_engine.engine import Engine
from face_engine.types import Face, Pixels
from liveness.rig.presentation import live_customer
from service import policies
from service.app import create_app
from service.authorize import Authorizer
from service.clock import unix_ms
from service.desk import Limits
from service.operators.acts import Operations
from service.verification.policy import default_policy
from terminal_client.camera import Stills
from terminal_client.outbox import ATTEMPT
from terminal_client.terminal import Terminal
from terminal_client.transport import CONTENT_TYPE, Reply
from wire.codec import MAX_MESSAGE_BYTES
from wire.ids import AccountId, DoorId, MerchantId
from wire.messages import (
    Context,
    Direction,
    EnrolmentContext,
    EntryContext,
    Level,
    PaymentContext,
    TerminalKind,
    WithdrawalContext,
)
from wire.money import Money

CURRENCY = "EUR"
HOUR_MS = 3_600_000
# How many come in each hour of the clock: a shop's day, with its noon and its evening.
VISITS = (1, 0, 0, 0, 0, 1, 2, 5, 8, 7, 6, 8, 12, 10, 6, 5, 6, 9, 11, 8, 5, 3, 2, 1)
PAYMENTS, ENTRIES = 0.62, 0.90
STRANGER, SPENDTHRIFT = 0.06, 0.05
START_MONEY = Money(amount_minor=60_000, currency=CURRENCY)
SEED, LOOKS, LOOK_MS = 20, 8, 500
NAMES = {
    TerminalKind.STORE: "Bakery",
    TerminalKind.ATM: "Station",
    TerminalKind.DOOR: "Back door",
    TerminalKind.ENROLMENT: "Town hall",
}


@dataclass
class _Clock:
    now_ms: int

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class _InProcess:
    """The way to a service in this process; a person takes some seconds to be looked at."""

    client: FlaskClient
    clock: _Clock
    draws: random.Random

    def exchange(
        self,
        path: str,
        body: bytes,
        *,
        timeout_s: float,
        bytes_max: int = MAX_MESSAGE_BYTES,
    ) -> Reply:
        if path == ATTEMPT:
            self.clock.now_ms += self.draws.randrange(2_000, 9_000)
        answer = self.client.post(path, data=body, content_type=CONTENT_TYPE)
        return Reply(answer.status_code, answer.data)


@dataclass
class Yesterday:
    """``people`` are two portraits, each with its face."""

    house: House
    engine: Engine
    home: Path
    people: Sequence[tuple[Pixels, Face]]
    looks: Sequence[Sequence[Stills]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.looks = [
            [_picture(portrait, seed) for seed in range(LOOKS)] for portrait in self.people
        ]

    def pass_by(self, tell: Callable[[int, int], None] = lambda _done, _of: None) -> None:
        """Lets the day pass; ``tell`` hears how many of how many came."""
        draws, clock = random.Random(SEED), _Clock(unix_ms() - 25 * HOUR_MS)  # noqa: S311 (a demo)
        operations = Operations(self.house.database, self.house.keys, clock)
        policy, signing = trial_policy(Level.NONE), self.house.keys.signing
        with self.house.database.transaction() as conn:
            policies.publish(conn, policy, signing, now_ms=clock())
        limits = Limits(per_minute=CHALLENGES_PER_MINUTE, burst=CHALLENGES_PER_MINUTE)
        authorizer = Authorizer(
            self.house.database, self.house.keys, shipped(), clock, limits=limits
        )
        client = create_app(authorizer, self.house.database).test_client()
        way = _InProcess(client, clock, draws)
        merchant = operations.add_merchant(NAMES[TerminalKind.STORE], CURRENCY)
        door = operations.add_door(NAMES[TerminalKind.DOOR])
        with ExitStack() as open_terminals:
            terminals = {}
            for kind, name in NAMES.items():
                _, code = operations.add_terminal(
                    kind,
                    name,
                    merchant=merchant if kind is TerminalKind.STORE else None,
                    door=door if kind is TerminalKind.DOOR else None,
                )
                home = self.home / f"yesterday-{kind.name.lower()}"
                terminal = open_terminals.enter_context(Terminal.open(home, way, self.engine))
                terminal.unix_ms = clock
                terminal.register(code, kind)
                terminals[kind] = terminal
            self._enrol(terminals[TerminalKind.ENROLMENT], operations, door)
            whens = list(_visits(clock() + HOUR_MS, draws))
            for number, at_ms in enumerate(whens):
                clock.now_ms = max(at_ms, clock.now_ms)
                self._visit(terminals, merchant, door, draws, number)
                tell(number + 1, len(whens))

    def _enrol(self, station: Terminal, operations: Operations, door: DoorId) -> None:
        by_day = Grant(
            schedule=Schedule.parse("Mon-Sun 07:00-19:00"),
            time_zone=find_time_zone("UTC"),
            valid_from_ms=0,
            valid_until_ms=2**50,
        )
        for number, looks in enumerate(self.looks):
            account = AccountId.new()
            context = EnrolmentContext(
                account=account, consent_version=default_policy().consent_version
            )
            if not any(station.attempt(context, _claim(number), each).approved for each in looks):
                raise RuntimeError("nobody could be enrolled yesterday")
            operations.top_up(account, START_MONEY)
            operations.grant(account, door, by_day)

    def _visit(
        self,
        terminals: dict[TerminalKind, Terminal],
        merchant: MerchantId,
        door: DoorId,
        draws: random.Random,
        number: int,
    ) -> None:
        who, what = draws.randrange(2), draws.random()
        look = draws.choice(self.looks[1 - who if draws.random() < STRANGER else who])
        context: Context
        if what < PAYMENTS:
            amount = draws.randrange(180, 1_900)
            if draws.random() < SPENDTHRIFT:
                amount = 2 * START_MONEY.amount_minor
            kind = TerminalKind.STORE
            context = PaymentContext(
                amount_minor=amount, currency=CURRENCY, payee=merchant, order=f"B-{number:04}"
            )
        elif what < ENTRIES:
            kind = TerminalKind.DOOR
            context = EntryContext(door=door, direction=draws.choice(tuple(Direction)))
        else:
            kind = TerminalKind.ATM
            amount = draws.choice((2_000, 4_000))
            context = WithdrawalContext(amount_minor=amount, currency=CURRENCY)
        terminals[kind].attempt(context, _claim(who), look)


def _picture(portrait: tuple[Pixels, Face], seed: int) -> Stills:
    return Stills(live_customer(*portrait, seed=seed).frame(LOOK_MS).pixels)


def _claim(number: int) -> str:
    return f"card:yesterday-{number}"


def _visits(from_ms: int, draws: random.Random) -> Iterator[int]:
    """Unix times within 24 hours, in order."""
    first_hour = from_ms // HOUR_MS
    for hour in range(first_hour, first_hour + 24):
        begins = sorted(draws.randrange(HOUR_MS) for _ in range(VISITS[hour % 24]))
        yield from (hour * HOUR_MS + each for each in begins)
