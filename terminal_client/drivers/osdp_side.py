"""What our two sides of an OSDP line share: the secure channel comes up, and is kept up.

Guarantees: challenges are random (:mod:`osdp_random`); only the line's own key makes a channel,
and a key that is being rotated is tried beside it, so a cut in the middle of a rotation heals by
itself; a lost channel is sought again within ``RESTART_MAX_MS`` by whoever has to seek it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

import osdp_sys

from terminal_client.drivers import osdp_random
from terminal_client.drivers.channel import SIGNALS_MAX, Answered, Fault, Link, Signal
from terminal_client.drivers.osdp_keys import LineKeys
from terminal_client.drivers.serial_line import SerialLine
from terminal_client.drivers.settings import OsdpConfig

REFRESH_MS = 10
RESTART_MS, RESTART_MAX_MS = 2_000, 30_000
OK = 0


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class OsdpSide(ABC):
    def __init__(
        self, config: OsdpConfig, keys: LineKeys, monotonic_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        """Raises :class:`DriverError`."""
        osdp_random.prepare(osdp_sys.__file__)
        osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
        self._config, self._keys, self._now_ms = config, keys, monotonic_ms
        self._candidates = self._in_order(keys.candidates)
        self._line = SerialLine(config.port, config.baud)
        self._signals: deque[Signal] = deque(maxlen=SIGNALS_MAX)
        self._answer_by_ms: int | None = None
        self._up = False
        self._restart_ms = RESTART_MS
        self._restart()

    @abstractmethod
    def _make(self, flags: int) -> Any:
        """A side of libosdp's, with :attr:`_key`, on :attr:`_line`."""

    @abstractmethod
    def _is_up(self) -> bool:
        """Whether there is a secure channel of our key."""

    @abstractmethod
    def _in_order(self, keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The line's keys, the likeliest first."""

    @abstractmethod
    def _was_tried(self) -> bool:
        """Whether a channel was sought with this key, so that another may have its turn."""

    @abstractmethod
    def _changed(self) -> None:
        """The channel came up, or was lost."""

    @abstractmethod
    def _serve(self, now_ms: int) -> None:
        """While the channel is up."""

    def signals(self, wait_ms: int) -> list[Signal]:
        ends_ms = self._now_ms() + wait_ms
        while True:
            self._refresh()
            left_ms = ends_ms - self._now_ms()
            if self._signals or left_ms <= 0:
                taken = list(self._signals)
                self._signals.clear()
                return taken
            self._line.wait(min(left_ms, REFRESH_MS))

    def _refresh(self) -> None:
        osdp_random.refill()
        self._side.refresh()
        now_ms, up = self._now_ms(), self._is_up()
        if up != self._up:
            self._change(up, now_ms)
        if up:
            self._serve(now_ms)
        elif now_ms - self._begun_ms >= self._restart_ms and self._was_tried():
            self._restart_ms = min(self._restart_ms * 2, RESTART_MAX_MS)
            self._restart()

    def _change(self, up: bool, now_ms: int, fault: Fault = Fault.NOT_CONNECTED) -> None:
        self._up, self._begun_ms, self._restart_ms = up, now_ms, RESTART_MS
        if up:
            self._keys.proved(self._key)
            self._signals.append(Link(True))
        else:
            self._answer(fault)
            self._signals.append(Link(False, fault))
        self._candidates = self._in_order(self._keys.candidates)
        self._changed()

    def _restart(self) -> None:
        """Begins anew, with the next key: libosdp itself would wait for five minutes."""
        self._key, *others = self._candidates
        self._candidates = (*others, self._key)
        osdp_random.refill()
        self._side = self._make(osdp_sys.FLAG_ENFORCE_SECURE)
        self._begun_ms = self._now_ms()

    def _answer(self, fault: Fault | None) -> None:
        if self._answer_by_ms is not None:
            self._answer_by_ms = None
            self._signals.append(Answered(fault))
