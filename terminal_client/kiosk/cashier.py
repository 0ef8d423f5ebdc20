"""The cashier's side: amounts go in, outcomes come out. No picture and no claim is shown here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terminal_client.errors import StorageError, TerminalError
from terminal_client.kiosk.words import DOING
from terminal_client.payments import Payment, Way, Wish
from terminal_client.till import Busy, Till, TooLate
from texts import later
from wire.errors import WireError
from wire.money import Money

NEWEST = 8
ORDER_CHARS_MAX = 80


@dataclass
class Cashier:
    """``name`` is the payee's; ``currency`` that of the amounts."""

    till: Till
    name: str
    currency: str

    def begin(self, fields: dict[str, str]) -> str | None:
        """What is wrong with it, in words; None where the payment was begun."""
        try:
            wish = self._wish(fields)
        except (WireError, ValueError):
            return later("An amount reads 12.50, and is above zero.")
        try:
            self.till.begin(wish)
        except Busy:
            return later("Another payment is not over yet.")
        except StorageError:
            return later("The terminal's own storage cannot be used.")
        except TerminalError:
            return later("This payment cannot be taken here.")
        return None

    def _wish(self, fields: dict[str, str]) -> Wish:
        typed = fields.get("amount", "").strip().replace(",", ".")
        money = Money.parse(f"{typed} {self.currency}")
        number = f"K-{self.till.book.next_number():06}"
        order = fields.get("order", "").strip()[:ORDER_CHARS_MAX]
        if order and not order.isprintable():
            raise ValueError
        way = Way.CARD_PIN if fields.get("way") == Way.CARD_PIN else Way.FACE
        return Wish(payment=number, money=money, order=order or number, way=way)

    def cancel(self) -> None:
        """Gives the open payment up, where that is still possible."""
        for each in self.till.book.unfinished():
            try:
                self.till.cancel(each.payment)
            except TooLate:
                return

    def state(self) -> dict[str, Any]:
        newest = self.till.book.newest(NEWEST)
        current = newest[0] if newest else None
        return {
            "name": self.name,
            "current": current,
            "earlier": newest[1:],
            "doing": self._doing(current),
            "stuck": self.till.stuck,
        }

    def _doing(self, current: Payment | None) -> str | None:
        if current is None or current.is_final:
            return None
        return DOING.get(self.till.instruction, self.till.instruction)
