"""A till's payments at this terminal: one at a time, and each with a final answer.

    till = Till(device, book, take)
    till.begin(wish)  till.cancel(id)  till.wait(id)     from any thread
    till.run()                                           in the thread that opened the device

Guarantees: the till gets a final answer for each payment that it began: approved, refused, or not
charged. What a lost answer, a lost network or a power cut left open is settled from the outbox
before anything else is begun: by the same bytes, so it is charged once or not at all. Cancelling
works until the evidence is stored; from then on only the service says what became of it.

The caller must bring ``take``, which carries out one attempt: it calls ``show`` before it waits
for anything, and gives ``on_send`` and ``act`` to :meth:`~terminal_client.device.Device.carry_out`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition
from typing import Protocol

from terminal_client.checkout import payment as payment_context
from terminal_client.device import Actuator, Device, left_over
from terminal_client.errors import Rejected, TerminalError, UsageError
from terminal_client.exchange import COMPLETED, Ended, Ending, Word
from terminal_client.payments import Payment, PaymentBook, State, Wish
from wire.ids import AttemptId, TransferId
from wire.messages import Decision, PaymentContext

INTERRUPTED, CANCELLED, UNREACHABLE, INTERNAL = (
    "interrupted",
    "cancelled",
    "unreachable",
    "internal",
)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class Cancelled(Exception):
    """Somebody at the till gave up before the evidence was stored."""


class Busy(UsageError):
    """One payment at a time."""


class TooLate(UsageError):
    """The evidence is on its way: only the service says what becomes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """``show`` tells the till what the person is asked to do; it and ``on_send`` raise
    :class:`Cancelled`."""

    attempt: AttemptId
    show: Callable[[str], None]
    on_send: Callable[[], None]
    act: Actuator


class Take(Protocol):
    def __call__(self, context: PaymentContext, wish: Wish, hooks: Hooks) -> Ended: ...


@dataclass
class Till:
    """``stuck``: whether the last settling left something open."""

    device: Device
    book: PaymentBook
    take: Take
    instruction: str = ""
    stuck: bool = False
    _wish: Wish | None = field(default=None, repr=False)
    _cancelled: bool = False
    _settled: bool = False
    _stopped: bool = False
    _changed: Condition = field(default_factory=Condition)

    def begin(self, wish: Wish) -> tuple[Payment, bool]:
        """The payment, and whether it is new.

        Raises :class:`IdReused`, :class:`Busy`, :class:`UsageError` or :class:`StorageError`.
        """
        with self._changed:
            earlier = self.book.earlier(wish)
            if earlier is not None:
                return earlier, False
            payment_context(self.device.identity, wish.money, wish.order)
            if not self._settled or self._wish is not None or self.book.unfinished():
                raise Busy("another payment is not over yet")
            begun = self.book.add(wish, now_ms=self.device.unix_ms())
            self._wish, self._cancelled, self.instruction = wish, False, ""
            self._changed.notify_all()
            return begun, True

    def cancel(self, payment: str) -> Payment | None:
        """Asks for the end of a payment; None for one that is not known.

        It is over when its state is: the person at the camera is interrupted at the next frame.
        Raises :class:`TooLate`.
        """
        with self._changed:
            found = self.book.find(payment)
            if found is None or found.is_final:
                return found
            if found.state is State.DECIDING:
                raise TooLate("the service is deciding: follow the payment")
            self._cancelled = True
            self._changed.notify_all()
            return found

    def wait(self, payment: str, *, timeout_s: float) -> Payment | None:
        """The payment as it is, when it is final or the time is over; None: not known."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over(payment), timeout_s)
            return self.book.find(payment)

    def _is_over(self, payment: str) -> bool:
        found = self.book.find(payment)
        return found is None or found.is_final

    def stop(self) -> None:
        """Ends :meth:`run` after the payment that it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        """Settles what was left, then takes payments until :meth:`stop`."""
        pause_s = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._wish is not None, pause_s)
                if self._stopped:
                    return
            if self._wish is not None:
                self.take_one()
            settled = self.settle()
            pause_s = (
                LONGEST_PAUSE_S
                if settled
                else min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            )

    def take_one(self) -> None:
        """Carries out the payment that was begun."""
        wish = self._wish
        if wish is None:
            raise RuntimeError("no payment was begun")
        begun = self.book.find(wish.payment)
        if begun is None:
            raise RuntimeError("a payment that is not in the book")
        try:
            self._carry_out(wish, begun)
        finally:
            with self._changed:
                self._wish, self.instruction = None, ""
                self._changed.notify_all()

    def _carry_out(self, wish: Wish, begun: Payment) -> None:
        hooks = Hooks(
            attempt=begun.attempt,
            show=lambda text: self._show(begun, text),
            on_send=lambda: self._commit(begun),
            act=self._approve,
        )
        try:
            context = payment_context(self.device.identity, wish.money, wish.order)
            ended = self.take(context, wish, hooks)
        except Cancelled:
            self._finish(begun, State.NOT_CHARGED, CANCELLED)
        except Rejected as error:
            self._unless_sent(begun, State.REFUSED, error.reason)
        except TerminalError as error:
            self._unless_sent(begun, State.NOT_CHARGED, _name(error))
        except Exception:
            self._unless_sent(begun, State.NOT_CHARGED, INTERNAL)
            raise
        else:
            self._end(begun, ended)

    def _end(self, begun: Payment, ended: Ended) -> None:
        if ended.ending is Ending.DENIED:
            self._finish(begun, State.REFUSED, ended.reason)
        elif not ended.approved:
            self._finish(begun, State.NOT_CHARGED, ended.reason or ended.ending.value)

    def _unless_sent(self, begun: Payment, state: State, reason: str) -> None:
        """What waits in the outbox may have been decided: :meth:`settle` learns how."""
        if begun.attempt in {each.attempt for each in self.device.outbox.waiting()}:
            self._set(begun, State.DECIDING, UNREACHABLE)
        else:
            self._finish(begun, state, reason)

    def settle(self) -> bool:
        """Learns what became of payments that were left open; False where some still are.

        Asks again for what the outbox holds; what it does not hold was never sent, or denied.
        """
        self._settled = False
        sent = {each.attempt for each in self.device.outbox.waiting()}
        for each in self.book.unfinished():
            if each.attempt not in sent:
                self._finish(each, State.NOT_CHARGED, INTERRUPTED)
        try:
            learned = self.device.reconcile(self._settle_one)
        except TerminalError as error:
            for each in self.book.unfinished():
                self._set(each, State.DECIDING, _name(error))
            self.stuck = True
            return False
        for decision in learned:
            found = self.book.find_attempt(decision.attempt)
            if found is not None and not decision.approved:
                self._finish(found, State.REFUSED, decision.reason)
        self._settled, self.stuck = True, False
        return True

    def _settle_one(self, decision: Decision) -> Word:
        """Before the outbox forgets the approval, the book knows it."""
        self._approve(decision)
        return left_over(decision)

    def _approve(self, decision: Decision) -> Word:
        found = self.book.find_attempt(decision.attempt)
        if found is not None and decision.approved:
            transfer = TransferId(decision.result) if decision.result else None
            self._finish(found, State.APPROVED, None, transfer=str(transfer) if transfer else None)
        return COMPLETED

    def _show(self, begun: Payment, text: str) -> None:
        with self._changed:
            if self._cancelled:
                raise Cancelled
            if not self.instruction:
                self._set(begun, State.CAPTURING)
            self.instruction = text

    def _commit(self, begun: Payment) -> None:
        with self._changed:
            if self._cancelled:
                raise Cancelled
            self._set(begun, State.DECIDING)

    def _set(self, begun: Payment, state: State, reason: str | None = None) -> None:
        with self._changed:
            self.book.set_state(begun.payment, state, now_ms=self.device.unix_ms(), reason=reason)
            self._changed.notify_all()

    def _finish(
        self, begun: Payment, state: State, reason: str | None, *, transfer: str | None = None
    ) -> None:
        with self._changed:
            self.book.set_state(
                begun.payment,
                state,
                now_ms=self.device.unix_ms(),
                reason=reason,
                transfer=transfer,
            )
            self._changed.notify_all()


def _name(error: TerminalError) -> str:
    """``NotTheService`` to ``not_the_service``."""
    if isinstance(error, Rejected):
        return error.reason
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).strip("_")
