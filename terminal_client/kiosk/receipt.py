"""What the customer takes along: the decision's own words, as text and as a QR code of it.

Guarantees: no name, card or face is in it. The leaf's hash finds the decision in the service's
log, whose proof of it verifies offline (``countenance audit receipt``).
"""

from __future__ import annotations

from datetime import UTC, datetime

import segno
from markupsafe import Markup

from terminal_client.kiosk.words import Subject
from wire.messages import Decision
from wire.money import Money

BORDER = 3


def receipt_of(decision: Decision, subject: Subject) -> str:
    """Lines of English and ids, which do not change with the reader's language."""
    at = datetime.fromtimestamp(decision.decided_at_ms / 1000, UTC)
    lines = ["Countenance", subject.payee]
    if subject.amount_minor is not None:
        lines.append(str(Money(amount_minor=subject.amount_minor, currency=subject.currency)))
    if subject.order:
        lines.append(subject.order)
    lines += [
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        str(decision.attempt),
        f"leaf {decision.leaf_hash.hex()}",
    ]
    return "\n".join(lines)


def square(text: str) -> Markup:
    """A QR code as SVG."""
    drawn = segno.make(text, error="m", boost_error=False, micro=False).svg_inline(
        border=BORDER, dark="#000000", light="#ffffff", omitsize=True
    )
    return Markup(drawn)  # noqa: S704 (made of numbers by segno)
