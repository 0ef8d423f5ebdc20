"""A relay that only says what it does: for demonstrations."""

from __future__ import annotations

from collections.abc import Callable


class ConsoleRelay:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._open = False

    def command(self, *, open_ms: int) -> None:
        self._open = True
        self._say(f"strike released for {open_ms / 1000:.0f} s")

    def confirmed(self) -> bool:
        opened, self._open = self._open, False
        return opened
