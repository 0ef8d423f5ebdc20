"""A cash machine whose power fails at every step: the money ends where the notes are.

The device's own journal, outbox and dispenser against a real service; a power cut is an
exception that nothing catches, after which everything is opened anew from the disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from service.ledger import store as ledger
from service.ledger.check import check
from terminal_client.atm import CashMachine, choose_notes, nearest, withdrawal
from terminal_client.atm_report import report_of
from terminal_client.ceremony import Ceremony
from terminal_client.device import Device
from terminal_client.drivers.simulated_dispenser import Faults, SimulatedDispenser
from terminal_client.errors import DispenserError, Unreachable, UsageError
from terminal_client.exchange import FAILED, Word
from terminal_client.journal import Event, Journal, total, verify_journal
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.transport import Reply, send
from tests.ceremony.devices import (
    InProcess,
    Power,
    PowerCut,
    made_up_ceremony,
    publish_easy,
    register_device,
)
from tests.ceremony.house import House, enrol
from wire.ids import AccountId
from wire.messages import Completion, Decision, Outcome, TerminalKind
from wire.money import Money

NOTES = {5000: 10, 2000: 10}
MONEY = Money(amount_minor=14_000, currency="EUR")  # 2 x 50, 2 x 20
START_MINOR = 1_000_000


@dataclass
class Lobby:
    """The house, a customer with money, and the machine's home."""

    house: House
    account: AccountId
    home: Path

    @contextmanager
    def machine(self, faults: Faults, power: Power) -> Iterator[tuple[Device, CashMachine]]:
        """Everything as it is on the disk."""
        device = Device(
            Keystore(self.home), Outbox(self.home / "outbox.db"), InProcess(self.house),
            unix_ms=self.house.clock, monotonic_ms=lambda: 0,
        )  # fmt: skip
        dispenser = SimulatedDispenser(self.home / "dispenser.db", NOTES, faults)
        journal = Journal(self.home / "journal")
        power.around(dispenser, "stack", "present", "recover")
        power.around(journal, "append")
        power.around(device.outbox, "put", "swap", "done")
        power.around(device.transport, "exchange")
        try:
            yield device, CashMachine(dispenser, journal, self.house.clock)
        finally:
            device.outbox.close()
            dispenser.close()

    def withdraw(self, faults: Faults, power: Power) -> None:
        with self.machine(faults, power) as (device, machine):
            context = withdrawal(device.identity, MONEY, machine.dispenser.at_hand())
            device.carry_out(self.ceremony(device, context), machine.dispense)

    def ceremony(self, device: Device, context: Any) -> Ceremony:
        return made_up_ceremony(device, context, 1)

    def booked(self) -> list[tuple[str, int]]:
        """State and posted amount of the withdrawals."""
        with self.house.database.transaction() as conn:
            return conn.execute(
                """SELECT state, CASE WHEN state = 'posted'
                THEN coalesce(posted_minor, amount_minor) ELSE 0 END FROM transfers
                WHERE kind = 'withdrawal' ORDER BY created_at_ms, transfer_id"""
            ).fetchall()

    def given_minor(self) -> int:
        """What the unit's own memory says that people took."""
        unit = SimulatedDispenser(self.home / "dispenser.db", NOTES)
        rows = unit._database.execute("SELECT name FROM unit").fetchall()
        taken = [unit._recall(name) or {} for (name,) in rows if name.startswith("taken")]
        unit.close()
        return sum(map(total, taken))


@pytest.fixture
def lobby(house: House, tmp_path: Path) -> Lobby:
    publish_easy(house)
    account = enrol(house, 1)
    money = Money(amount_minor=START_MINOR, currency="EUR")
    assert house.operations.top_up(account, money) is None
    home = tmp_path / "atm"
    register_device(house, home, TerminalKind.ATM)
    return Lobby(house, account, home)


FAULTS = {
    "nothing": (Faults(), 14_000),
    "a jam after 3 notes": (Faults(jams_after=3), 12_000),
    "a jam at once": (Faults(jams_after=0), 0),
    "nobody takes the notes": (Faults(taken=0), 0),
    "one note is taken": (Faults(taken=1), 5_000),
}


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_the_power_does_what_is_posted_is_what_was_handed_out(
    lobby: Lobby, name: str
) -> None:
    faults, expected_minor = FAULTS[name]
    cuts = 0
    for fails_at in itertools.count(1):
        before = lobby.given_minor()
        power = Power(fails_at)
        with suppress(PowerCut):
            lobby.withdraw(faults, power)
        with lobby.machine(faults, Power(0)) as (device, machine):
            device.reconcile(machine.settle)
            assert device.outbox.waiting() == []
        booked = lobby.booked()
        assert all(state in ("posted", "voided") for state, _ in booked)
        assert sum(minor for _, minor in booked) == lobby.given_minor()
        assert lobby.given_minor() - before in (0, expected_minor)
        if power.steps < fails_at:
            assert lobby.given_minor() - before == expected_minor
            break
        cuts += 1
        with lobby.machine(faults, Power(0)) as (_, machine):
            machine.load(NOTES)
    assert cuts >= 16
    with lobby.house.database.transaction() as conn:
        assert check(conn) == ()
        wallet = ledger.wallet_of(conn, lobby.account)
    assert wallet.balance_minor == wallet.available_minor == START_MINOR - lobby.given_minor()
    lines = [
        (f"{path.name}:{number}", entry)
        for path, entries in verify_journal(Journal(lobby.home / "journal").files)
        for number, entry in enumerate(entries, 2)
    ]
    report = report_of(lines)
    assert report.findings == []
    assert report.given_minor == lobby.given_minor()


def test_a_second_cut_while_the_first_is_settled(lobby: Lobby) -> None:
    for first, second in itertools.product((8, 10, 12), range(1, 10)):
        with suppress(PowerCut):
            lobby.withdraw(Faults(), Power(first))
        with suppress(PowerCut), lobby.machine(Faults(), Power(second)) as (device, machine):
            device.reconcile(machine.settle)
        with lobby.machine(Faults(), Power(0)) as (device, machine):
            device.reconcile(machine.settle)
            machine.load(NOTES)
        assert sum(minor for _, minor in lobby.booked()) == lobby.given_minor()


def test_a_unit_that_forgot_is_not_believed_and_somebody_counts(lobby: Lobby) -> None:
    with suppress(PowerCut):
        lobby.withdraw(Faults(), Power(11))
    with lobby.machine(Faults(forgets=True), Power(0)) as (device, machine):
        device.reconcile(machine.settle)
        events = [each.event for each in read(lobby)]
        assert events[-1] is Event.SUSPECT
    assert lobby.booked() == [("voided", 0)]


def read(lobby: Lobby) -> list[Any]:
    files = Journal(lobby.home / "journal").files
    return [entry for _, entries in verify_journal(files) for entry in entries]


def test_a_jam_that_the_unit_cannot_explain_is_settled_at_once(lobby: Lobby) -> None:
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        unit = machine.dispenser

        def broken(*_: object) -> None:
            raise DispenserError("stuck")

        unit.present = broken  # type: ignore[method-assign]
        context = withdrawal(device.identity, MONEY, unit.at_hand())
        ended = device.carry_out(lobby.ceremony(device, context), machine.dispense)
        assert ended.approved
    assert lobby.booked() == [("voided", 0)]
    assert [each.event for each in read(lobby)] == [Event.ORDERED, Event.STACKED, Event.HANDED]


def test_the_same_decision_hands_out_once(lobby: Lobby) -> None:
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        context = withdrawal(device.identity, MONEY, machine.dispenser.at_hand())
        decisions: list[Decision] = []
        words: list[Word] = []

        def act(decision: Decision) -> Word:
            decisions.append(decision)
            words.extend(machine.dispense(decision) for _ in range(3))
            return words[0]

        device.carry_out(lobby.ceremony(device, context), act)
        assert words == [Word(Completion.COMPLETED)] * 3
        assert machine.dispenser.at_hand() == {5000: 8, 2000: 8}
        denied = replace(decisions[0], outcome=Outcome.DENIED, reason="not_verified")
        with pytest.raises(RuntimeError):
            machine.dispense(denied)


def test_without_the_confirmations_answer_it_is_sent_again_and_the_part_is_posted(
    lobby: Lobby,
) -> None:
    with lobby.machine(Faults(taken=1), Power(0)) as (device, machine):
        context = withdrawal(device.identity, MONEY, machine.dispenser.at_hand())
        ceremony = lobby.ceremony(device, context)
        through = device.transport.exchange

        def lossy(path: str, body: bytes, **bounds: Any) -> Reply:
            reply = through(path, body, **bounds)
            if path == "/v1/confirmations":
                raise Unreachable("lost")
            return reply

        device.transport.exchange = lossy  # type: ignore[method-assign]
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(send.__kwdefaults__, "tries", 1)
            device.carry_out(ceremony, machine.dispense)
        assert len(device.outbox.waiting()) == 1
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        device.reconcile(machine.settle)
    assert lobby.booked() == [("posted", 5_000)]


def test_an_amount_of_something_else_is_found_and_harms_nothing(lobby: Lobby) -> None:
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        context = withdrawal(device.identity, MONEY, machine.dispenser.at_hand())
        too_much = Word(Completion.COMPLETED, 14_001)
        device.carry_out(lobby.ceremony(device, context), lambda _: too_much)
        assert device.outbox.waiting() == []
    assert lobby.booked() == [("pending", 0)]
    with lobby.house.database.transaction() as conn:
        assert [each.what for each in check(conn)] == [
            "cash was handed out, but its hold is not posted"
        ]


def test_what_cannot_be_paid_is_refused_before_the_face_with_what_can(lobby: Lobby) -> None:
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        money = Money(amount_minor=3_000, currency="EUR")
        with pytest.raises(UsageError, match=r"possible: 20\.00 EUR or 40\.00 EUR"):
            withdrawal(device.identity, money, machine.dispenser.at_hand())


def test_a_machine_without_notes_proposes_nothing() -> None:
    assert nearest(5_000, {5000: 0}) == []
    assert nearest(5_000, {}) == []
    assert choose_notes(5_000, {5000: 0}) is None


def test_failed_is_what_an_empty_machine_says(lobby: Lobby) -> None:
    with lobby.machine(Faults(), Power(0)) as (device, machine):
        context = withdrawal(device.identity, MONEY, NOTES)
        machine.load({})
        words = []
        device.carry_out(
            lobby.ceremony(device, context), lambda d: words.append(machine.dispense(d)) or FAILED
        )
        assert words == [FAILED]
    assert lobby.booked() == [("voided", 0)]
