"""Charts as numbers for SVG, drawn by the templates: they need no script, and print.

A chart answers one question; the figures it shows stand in a table beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import segno
from markupsafe import Markup

from service.operators.overview import Span

HEIGHT = 120.0
WIDTH = 24.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour: ``x`` from the left, heights from the ground, in the chart's own units."""

    span: Span
    x: float
    approved: float
    denied: float


def hours(spans: Sequence[Span]) -> list[Bar]:
    most = max((span.approved + span.denied for span in spans), default=0) or 1
    return [
        Bar(span, index * WIDTH, span.approved / most * HEIGHT, span.denied / most * HEIGHT)
        for index, span in enumerate(spans)
    ]


def qr(text: str) -> Markup:
    """A QR code as an SVG element, with its quiet zone, as large as its place."""
    drawn = segno.make(text, error="m").svg_inline(
        border=4, dark="black", light="white", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 (made of numbers by segno)
