"""A part of the authorization log on paper: what each entry says, and its leaf hash.

Guarantees: at most ``ENTRIES_MAX`` entries, so that it is made in seconds; every character of an
entry is in it, one that the two fonts lack as its escape (``\\u0645``). The fonts are those that
readers of PDF bring along: nothing is embedded, and nothing is fetched.

It is no proof: the page and the paper say how to get one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO

from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

ENTRIES_MAX = 1_000
WIDTH, HEIGHT = A4
EDGE = 48
LATIN, CHINESE = "Helvetica", "STSong-Light"
CODE, SIZE, LEADING = "Courier", 8.5, 11.5
HEAD, BIG, GAP = "Helvetica-Bold", 15, 6

pdfmetrics.registerFont(UnicodeCIDFont(CHINESE))


def render(
    title: str,
    facts: Sequence[tuple[str, str]],
    note: str,
    entries: Iterable[tuple[int, str, str]],
    *,
    page: str,
) -> bytes:
    """``note`` is the signed checkpoint, verbatim; entries are (position, leaf hash, text);
    ``page`` is the word before a page's number."""
    paper = _Paper(title, page)
    paper.write(title, HEAD, BIG)
    for name, value in facts:
        paper.write(f"{name}: {value}", LATIN)
    paper.skip()
    for line in note.splitlines():
        paper.write(line, CODE)
    for position, leaf_hash, text in entries:
        paper.skip()
        paper.write(f"{position} {leaf_hash}", CODE)
        paper.write(text, LATIN)
    return paper.end()


class _Paper:
    def __init__(self, title: str, page: str) -> None:
        self._file = BytesIO()
        self._canvas = Canvas(self._file, pagesize=A4, pageCompression=1)
        self._canvas.setTitle(title)
        self._word = page
        self._y = HEIGHT - EDGE

    def write(self, text: str, font: str, size: float = SIZE) -> None:
        font, shown = _readable(text, font)
        for line in simpleSplit(shown, font, size, WIDTH - 2 * EDGE):
            if self._y < EDGE + LEADING:
                self._turn()
            self._canvas.setFont(font, size)
            self._canvas.drawString(EDGE, self._y, line)
            self._y -= size * LEADING / SIZE

    def skip(self) -> None:
        self._y -= GAP

    def _turn(self) -> None:
        self._number()
        self._canvas.showPage()
        self._y = HEIGHT - EDGE

    def _number(self) -> None:
        text = f"{self._word} {self._canvas.getPageNumber()}"
        font, shown = _readable(text, LATIN)
        self._canvas.setFont(font, SIZE)
        self._canvas.drawRightString(WIDTH - EDGE, EDGE / 2, shown)

    def end(self) -> bytes:
        self._number()
        self._canvas.save()
        return self._file.getvalue()


def _readable(text: str, font: str) -> tuple[str, str]:
    """The text as one of the fonts can show it."""
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return CHINESE, text.encode("gbk", "backslashreplace").decode("gbk")
    return font, text
