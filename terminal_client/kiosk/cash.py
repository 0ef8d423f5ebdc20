"""A cash machine's kiosk: card, amount, face or PIN, notes, receipt.

Guarantees: those of :mod:`terminal_client.atm`; the person is told what left the machine, which
may be less than was approved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from terminal_client.atm import CashMachine, choose_notes, withdrawal
from terminal_client.errors import UsageError
from terminal_client.exchange import COMPLETED, FAILED, Ended, Word
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.host import Host
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.screen import Fields, View, Wrong
from terminal_client.kiosk.visit import CARD, Attempt, Visit
from terminal_client.kiosk.words import Subject
from terminal_client.terminal import Terminal
from texts import later
from wire.errors import WireError
from wire.messages import Completion, Decision, WithdrawalContext
from wire.money import MINOR_DIGITS, Money

USUAL = (20, 50, 80, 100, 150, 200)


@dataclass
class CashPoint:
    """``name`` is the machine's, as people know it."""

    name: str
    terminal: Terminal
    feed: Feed
    machine: CashMachine
    currency: str
    line: Line
    host: Host = field(init=False)

    def __post_init__(self) -> None:
        self.host = Host(
            device=self.terminal,
            line=self.line,
            subject=Subject(self.name),
            idle=View(name="attract", values={"name": self.name, "kind": "atm"}),
            settle=self.machine.settle,
        )

    def run(self) -> None:
        self.host.run(self._serve)

    def _serve(self, _begun: Fields) -> None:
        visit = Visit(
            screen=self.host.screen, feed=self.feed, subject=Subject(self.name), kinds=(CARD,)
        )
        claim = visit.claim(face=False)
        at_hand = self.machine.dispenser.at_hand()
        usual = [amount * 10 ** MINOR_DIGITS[self.currency] for amount in USUAL]
        possible = [amount for amount in usual if choose_notes(amount, at_hand)]
        asked = visit.view("amount", possible=possible, currency=self.currency)
        context = self.host.screen.ask(asked, self._read_amount)
        notes = choose_notes(context.amount_minor, at_hand) or {}
        visit.subject = Subject(self.name, context.amount_minor, context.currency)
        words: list[Word] = []

        def hand_out(decision: Decision) -> Word:
            self.host.screen.show(visit.view("notes", notes=notes))
            words.append(self.machine.dispense(decision))
            return words[-1]

        ways = Attempt(terminal=self.terminal, feed=self.feed, context=context, act=hand_out)
        ended = visit.verify(visit.choose(), claim, ways)
        if not ended.approved or words[:1] == [COMPLETED]:
            visit.result(ended, done=later("Paid out"), notes=notes if ended.approved else None)
        else:
            self._tell_less(visit, ended, words[0] if words else FAILED)

    def _tell_less(self, visit: Visit, ended: Ended, word: Word) -> None:
        """Not all of what was approved left the machine."""
        if word.completion is Completion.COMPLETED:
            visit.subject = replace(visit.subject, amount_minor=word.amount_minor)
            why = later("Only a part could be paid out, and only that is booked. Ask the staff.")
            visit.result(ended, done=later("Partly paid out"), why=why)
        else:
            why = later("No notes came out, and nothing is booked. Ask the staff.")
            visit.result(ended, done=later("Not paid out"), why=why, good=False, receipt=None)

    def _read_amount(self, fields: Fields) -> WithdrawalContext:
        try:
            typed = fields.get("amount", "").strip().replace(",", ".")
            money = Money.parse(f"{typed} {self.currency}")
            at_hand = self.machine.dispenser.at_hand()
            return withdrawal(self.terminal.identity, money, at_hand)
        except (WireError, ValueError, UsageError):
            raise Wrong(later("The notes here cannot make this amount.")) from None
