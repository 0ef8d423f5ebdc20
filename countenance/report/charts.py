"""Charts as SVG text, coloured by the classes of ``base.html.j2``.

Guarantee: nothing but numbers and the callers' own labels, which are escaped, reaches the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 16, 60
BINS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From ``low`` to ``high``, by the logarithm where ``log``; ``bare``: without numbers."""

    low: float
    high: float
    log: bool = False
    bare: bool = False

    def place(self, value: float) -> float:
        """0 to 1; values outside lie on the edge."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            return float(np.log(inside / self.low) / np.log(self.high / self.low))
        return (inside - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        if self.bare:
            return []
        if self.log:
            first, last = np.log10(self.low), np.log10(self.high)
            decades = range(int(np.ceil(first - 1e-9)), int(np.floor(last + 1e-9)) + 1)
            return [(10.0**n, share(10.0**n)) for n in decades]
        step = 10 ** np.floor(np.log10((self.high - self.low) / 2))
        step *= 1 if (self.high - self.low) / step <= 8 else 2
        first = np.ceil(self.low / step - 1e-9) * step
        return [
            (float(value), f"{value:.2f}".rstrip("0").rstrip("."))
            for value in np.arange(first, self.high + step / 1e3, step) + 0.0
        ]


@dataclass(slots=True)
class Chart:
    """A frame with two axes; things are drawn in the order in which they are added."""

    x: Axis
    y: Axis
    title: str
    x_label: str
    y_label: str
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM),
        )

    def path(self, x: Floats, y: Floats) -> str:
        return " ".join(f"{px:.1f},{py:.1f}" for px, py in map(self.at, x, y))

    def line(self, x: Floats, y: Floats, style: str) -> None:
        self.parts.append(f'<polyline class="{style}" points="{self.path(x, y)}"/>')

    def band(self, x: Floats, low: Floats, high: Floats, style: str) -> None:
        edge = f"{self.path(x, high)} {self.path(x[::-1], low[::-1])}"
        self.parts.append(f'<polygon class="{style}" points="{edge}"/>')

    def area(self, left: float, right: float, label: str, style: str) -> None:
        """A part of the x axis, from bottom to top."""
        (x0, y0), (x1, y1) = self.at(left, self.y.low), self.at(right, self.y.high)
        if x1 - x0 < 1:
            return
        self.parts.append(
            f'<rect class="{style}" x="{x0:.1f}" y="{y1:.1f}" '
            f'width="{x1 - x0:.1f}" height="{y0 - y1:.1f}"/>'
        )
        if x1 - x0 > 7 * len(label):
            self.text((x0 + x1) / 2, y1 + 16, label, "note", "middle")

    def upright(self, x: float, label: str, style: str) -> None:
        """A line from bottom to top, with its label on the side that has room."""
        (px, low), (_, high) = self.at(x, self.y.low), self.at(x, self.y.high)
        self.parts.append(
            f'<line class="{style}" x1="{px:.1f}" y1="{low:.1f}" x2="{px:.1f}" y2="{high:.1f}"/>'
        )
        fits = px < WIDTH * 0.6
        self.text(px + (6 if fits else -6), high + 12, label, "label", "start" if fits else "end")

    def dot(self, x: float, y: float, label: str, style: str) -> None:
        px, py = self.at(x, y)
        self.parts.append(f'<circle class="{style}" cx="{px:.1f}" cy="{py:.1f}" r="4.5"/>')
        self.text(px + 9, py - 8, label, "label", "start")

    def bars(self, edges: Floats, heights: Floats, style: str) -> None:
        outline_x = np.repeat(edges, 2)
        outline_y = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
        self.parts.append(f'<polygon class="{style}" points="{self.path(outline_x, outline_y)}"/>')

    def text(self, x: float, y: float, text: str, style: str, anchor: str) -> None:
        self.parts.append(
            f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def render(self) -> Markup:
        return Markup(  # noqa: S704
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">'
            f"{''.join([*self._grid(), *self.parts, *self._labels()])}</svg>"
        )

    def _grid(self) -> list[str]:
        lines = []
        for value, label in self.x.ticks():
            (px, low), (_, high) = self.at(value, self.y.low), self.at(value, self.y.high)
            lines.append(f'<line class="grid" x1="{px}" y1="{low}" x2="{px}" y2="{high}"/>')
            lines.append(
                f'<text class="tick" x="{px:.1f}" y="{low + 20:.1f}" '
                f'text-anchor="middle">{label}</text>'
            )
        for value, label in self.y.ticks():
            (left, py), (right, _) = self.at(self.x.low, value), self.at(self.x.high, value)
            lines.append(f'<line class="grid" x1="{left}" y1="{py}" x2="{right}" y2="{py}"/>')
            lines.append(
                f'<text class="tick" x="{left - 8:.1f}" y="{py + 4:.1f}" '
                f'text-anchor="end">{label}</text>'
            )
        return lines

    def _labels(self) -> list[str]:
        middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        return [
            f'<text class="axis" x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">'
            f"{escape(self.x_label)}</text>",
            f'<text class="axis" transform="translate(16 {middle_y}) rotate(-90)" '
            f'text-anchor="middle">{escape(self.y_label)}</text>',
        ]


def share(value: float) -> str:
    """A power of ten as people read it: 10 %, 1 %, 0.1 %, then 1e-4."""
    if value >= 5e-4:
        return f"{100 * value:.4g} %"
    return f"1e-{round(-np.log10(value))}"


def histogram(samples: Sequence[tuple[Floats, str]], *, title: str, x_label: str) -> Chart:
    """Distributions, (scores, style), over one another, each drawn to its own height."""
    every = np.concatenate([scores for scores, _ in samples])
    edges = np.linspace(float(every.min()), float(every.max()) + 1e-9, BINS + 1)
    chart = Chart(
        x=Axis(low=float(edges[0]), high=float(edges[-1])),
        y=Axis(low=0, high=1.12, bare=True),
        title=title,
        x_label=x_label,
        y_label="part of the comparisons",
    )
    for scores, style in samples:
        heights = np.histogram(scores, edges)[0].astype(np.float64)
        chart.bars(edges, heights / max(heights.max(), 1), style)
    return chart
