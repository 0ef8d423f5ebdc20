"""A withdrawal at the machine: which notes, in which order of steps, and what to confirm.

Guarantees: the journal is on disk before and after the notes move, so an attempt hands out at
most once, whatever happens to the power; what is confirmed is what left the machine: all of it,
the part that did, or nothing. An amount that the notes cannot make is refused before the face is
asked for.

Where the unit itself cannot say what left it, nothing is confirmed as handed out, the journal
names the attempt as suspect, and a person counts (docs/terminals.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd

from terminal_client.drivers.dispenser import Dispenser, Handed, Notes
from terminal_client.errors import DispenserError, StorageError, UsageError
from terminal_client.exchange import FAILED, Word
from terminal_client.journal import Entry, Event, Journal, total
from terminal_client.keystore import Identity
from wire.messages import Completion, Decision, TerminalKind, WithdrawalContext
from wire.money import AMOUNT_MINOR_MAX, Money

NOTES_MAX = 40
STEPS_MAX = 64


@dataclass(frozen=True, slots=True)
class CashMachine:
    """``unix_ms`` is the wall clock, for the journal alone."""

    dispenser: Dispenser
    journal: Journal
    unix_ms: Callable[[], int]

    def load(self, notes: Notes) -> None:
        """The cassettes were filled, and hold ``notes`` now."""
        self.dispenser.load(notes)
        self._note(Event.LOADED, notes)

    def dispense(self, decision: Decision) -> Word:
        """Hands out the approved amount, once; returns what to confirm."""
        money = _approved(decision)
        if self.journal.of(decision.attempt):
            return self.settle(decision)
        chosen = choose_notes(money.amount_minor, self.dispenser.at_hand())
        if chosen is None:
            return FAILED
        try:
            self._note(Event.ORDERED, chosen, decision=decision)
        except StorageError:
            return FAILED
        try:
            stacked = self.dispenser.stack(decision.attempt, chosen)
            self._note(Event.STACKED, stacked, decision=decision)
            handed = self.dispenser.present(decision.attempt)
        except DispenserError:
            return self.settle(decision)
        return self._hand(decision, handed)

    def settle(self, decision: Decision) -> Word:
        """What a dispense that was cut off came to; what lies in the shutter is taken back."""
        money, entries = _approved(decision), self.journal.of(decision.attempt)
        if not entries:
            return FAILED
        for entry in entries:
            if entry.event is Event.HANDED:
                return _word(entry, money)
            if entry.event is Event.SUSPECT:
                return FAILED
        try:
            handed = self.dispenser.recover(decision.attempt)
        except DispenserError:
            self._note(Event.SUSPECT, {}, decision=decision)
            return FAILED
        return self._hand(decision, handed)

    def _hand(self, decision: Decision, handed: Handed) -> Word:
        entry = self._note(Event.HANDED, handed.taken, handed.retracted, decision=decision)
        return _word(entry, _approved(decision))

    def _note(
        self, event: Event, notes: Notes, retracted: Notes | None = None, *,
        decision: Decision | None = None,
    ) -> Entry:  # fmt: skip
        money = _approved(decision) if decision else None
        entry = Entry(
            event=event,
            at_ms=self.unix_ms(),
            at_hand=self.dispenser.at_hand(),
            notes=notes,
            retracted=retracted or {},
            attempt=decision.attempt if decision else None,
            amount_minor=money.amount_minor if money else 0,
            currency=money.currency if money else "",
        )
        self.journal.append(entry)
        return entry


def _approved(decision: Decision) -> Money:
    if not decision.approved or not isinstance(decision.context, WithdrawalContext):
        raise RuntimeError("only an approved withdrawal is dispensed")
    return decision.context.money


def _word(entry: Entry, money: Money) -> Word:
    given_minor = total(entry.notes)
    if given_minor == 0:
        return FAILED
    return Word(Completion.COMPLETED, given_minor if given_minor < money.amount_minor else None)


def withdrawal(identity: Identity, money: Money, notes: Notes) -> WithdrawalContext:
    """``notes`` are those at hand; raises :class:`UsageError` for what they cannot make."""
    identity.require(TerminalKind.ATM)
    if choose_notes(money.amount_minor, notes) is None:
        near = [
            str(Money(amount_minor=amount, currency=money.currency))
            for amount in nearest(money.amount_minor, notes)
        ]
        hint = f"; possible: {' or '.join(near)}" if near else ""
        raise UsageError(f"the notes in the cassette cannot make {money}{hint}")
    return WithdrawalContext(amount_minor=money.amount_minor, currency=money.currency)


def choose_notes(amount_minor: int, notes: Notes) -> dict[int, int] | None:
    """The fewest notes that make the amount exactly; None where no ``NOTES_MAX`` notes do."""
    reached: dict[int, dict[int, int]] = {0: {}}
    for value, number in notes.items():
        for amount, chosen in list(reached.items()):
            room = NOTES_MAX - sum(chosen.values())
            for count in range(1, min(number, room, (amount_minor - amount) // value) + 1):
                candidate = {**chosen, value: count}
                rival = reached.get(amount + count * value)
                if rival is None or sum(candidate.values()) < sum(rival.values()):
                    reached[amount + count * value] = candidate
    return reached.get(amount_minor)


def nearest(amount_minor: int, notes: Mapping[int, int]) -> list[int]:
    """The next lower and the next higher amount that the notes make, within ``STEPS_MAX`` steps."""
    step = gcd(*(value for value, number in notes.items() if number))
    if not step:
        return []
    below = range((amount_minor - 1) // step * step, 0, -step)[:STEPS_MAX]
    above = range(amount_minor // step * step + step, AMOUNT_MINOR_MAX, step)[:STEPS_MAX]
    found = (
        next((amount for amount in amounts if choose_notes(amount, notes)), None)
        for amounts in (below, above)
    )
    return [amount for amount in found if amount is not None]
