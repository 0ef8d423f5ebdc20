"""What a person is told where there is no decision, and what became of their money.

Guarantees: it is never said that nothing was charged where that is not known.
"""

from __future__ import annotations

from collections.abc import Callable

from terminal_client.errors import CameraError, Rejected, TerminalError
from terminal_client.kiosk.screen import Screen, View
from terminal_client.kiosk.visit import RESULT_S
from terminal_client.kiosk.words import Subject, reason
from texts import later

UNDECIDED_S = 45.0


Outcome = Callable[[], View | None]
"""What became of it, once that is known."""


def show_failure(
    screen: Screen,
    subject: Subject,
    error: TerminalError,
    *,
    sent: bool,
    outcome: Outcome = lambda: None,
) -> None:
    """``sent``: whether the evidence may have reached the service."""
    if sent:
        values: dict[str, object] = {"subject": subject}
        screen.show(View(name="undecided", values=values, lasts_s=UNDECIDED_S, becomes=outcome))
    else:
        screen.show(ended(subject, good=False, title=later("Nothing was done"), why=_why(error)))


def ended(subject: Subject, *, good: bool, title: str, why: str | None = None) -> View:
    """A result without a receipt."""
    values = {"subject": subject, "good": good, "title": title, "why": why, "receipt": None}
    return View(name="result", values=values, lasts_s=RESULT_S)


def _why(error: TerminalError) -> str:
    if isinstance(error, Rejected):
        return reason(error.reason)
    if isinstance(error, CameraError):
        return later("The camera does not answer.")
    return later("There is no connection to the service.")
