"""A payment that answers a merchant's intent: taken before money moves, paid once it has.

The caller must call :func:`pay_intent` in the transaction of the approval, under the lock of
:func:`take_intent`.
"""

from __future__ import annotations

from psycopg import Connection

from service.db import Row
from service.events import announce
from service.payments import store as payments
from service.payments.rules import Intent
from service.terminals.store import Terminal
from service.webhooks.outbox import EventKind
from wire.denial import Denial
from wire.ids import AttemptId
from wire.messages import Context, PaymentContext


def take_intent(
    conn: Connection[Row], context: PaymentContext, terminal: Terminal, *, now_ms: int
) -> Intent | Denial | None:
    """The intent, locked, if it can be taken there now; None for a payment that has none."""
    if context.intent is None:
        return None
    return payments.take(conn, context, _place(terminal), now_ms=now_ms)


def refuse_intent(
    conn: Connection[Row], context: Context, terminal: Terminal, *, now_ms: int
) -> Denial | None:
    """Why it cannot be taken there now; locks nothing."""
    if not isinstance(context, PaymentContext) or context.intent is None:
        return None
    found = payments.look(conn, context, _place(terminal), now_ms=now_ms)
    return found if isinstance(found, Denial) else None


def _place(terminal: Terminal) -> payments.Place:
    return payments.Place(terminal=terminal.terminal, site=terminal.site)


def pay_intent(conn: Connection[Row], intent: Intent, attempt: AttemptId, *, now_ms: int) -> None:
    """Notes who paid it, and has the merchant told."""
    payments.mark_paid(conn, intent.intent, attempt, now_ms=now_ms)
    kind = EventKind.CAPTURED if intent.hold_ms is None else EventKind.AUTHORIZED
    announce(conn, intent.intent, kind, now_ms=now_ms)
