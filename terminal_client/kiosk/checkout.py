"""A store's kiosk: what the person sees of a payment, and what the cashier does.

Guarantees: those of :mod:`terminal_client.till`; the person sees amount and payee before anything
is asked of them, and may leave or take the way without a face until the evidence is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from terminal_client.errors import TerminalError
from terminal_client.exchange import Ended
from terminal_client.kiosk.failing import ended, show_failure
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.screen import Left, Screen, View
from terminal_client.kiosk.visit import Attempt, Look, Visit
from terminal_client.kiosk.words import Subject, reason
from terminal_client.payments import PaymentBook, State, Way, Wish
from terminal_client.terminal import Terminal
from terminal_client.till import Cancelled, Hooks, Till
from texts import later
from wire.messages import PaymentContext


@dataclass
class Checkout:
    """``name`` is the payee's, as people know it."""

    name: str
    terminal: Terminal
    feed: Feed
    book: PaymentBook
    line: Line
    screen: Screen = field(init=False)
    till: Till = field(init=False)

    def __post_init__(self) -> None:
        self.till = Till(self.terminal, self.book, self.take)
        self.screen = Screen(self._idle)

    def _idle(self) -> View:
        if self.line.lost or self.till.stuck:
            return View(name="offline", values={"name": self.name})
        return View(name="attract", values={"name": self.name, "kind": "store"})

    def take(self, context: PaymentContext, wish: Wish, hooks: Hooks) -> Ended:
        """Carries out one payment for the till, which is told what the person is asked."""
        subject = Subject(self.name, context.amount_minor, context.currency, context.order)
        ways = Attempt(
            terminal=self.terminal,
            feed=self.feed,
            context=context,
            act=hooks.act,
            attempt=hooks.attempt,
            on_send=hooks.on_send,
        )
        visit = Visit(screen=self.screen, feed=self.feed, subject=subject)
        self.screen.watch = lambda: hooks.show(self.screen.asked)
        try:
            with self.line.noting():
                done = self._verify(visit, wish, ways)
        except (Left, Cancelled):
            self.screen.rest()
            raise Cancelled from None
        except TerminalError as error:
            sent = bool(self.terminal.outbox.waiting())
            outcome = partial(self._outcome, wish.payment, subject)
            show_failure(self.screen, subject, error, sent=sent, outcome=outcome)
            raise
        finally:
            self.screen.watch = lambda: None
        visit.result(done, done=later("Paid"))
        return done

    def _outcome(self, payment: str, subject: Subject) -> View | None:
        found = self.book.find(payment)
        if found is None or not found.is_final:
            return None
        if found.state is State.APPROVED:
            return ended(subject, good=True, title=later("Paid"))
        return ended(subject, good=False, title=later("Not approved"), why=reason(found.reason))

    def _verify(self, visit: Visit, wish: Wish, ways: Attempt) -> Ended:
        look = Look.NO_FACE if wish.way is Way.CARD_PIN else visit.choose()
        claim = wish.claim or visit.claim(face=look is not Look.NO_FACE)
        return visit.verify(look, claim, ways)
