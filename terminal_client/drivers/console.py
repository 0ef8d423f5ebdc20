"""A lock that only says what it does, with somebody who opens the door at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from terminal_client.drivers.channel import Answered, Input, Release, Sensed, Signal


class ConsoleChannel:
    has_contact, open_ms_max = True, 60_000

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waiting: list[Signal] = []

    def release(self, order: Release) -> None:
        self._say(f"strike released for {order.open_ms / 1000:.0f} s")
        contact = Sensed(Input.CONTACT, True), Sensed(Input.CONTACT, False)
        self._waiting = [Answered(), *contact]

    def lock(self) -> None:
        self._say("locked")

    def signals(self, wait_ms: int) -> list[Signal]:
        if not self._waiting:
            time.sleep(wait_ms / 1000)
        signals, self._waiting = self._waiting, []
        return signals

    def close(self) -> None:
        return
