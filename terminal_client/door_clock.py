"""What time it is at a door that may not ask anybody.

Guarantees: the time is the service's, as it last said, and goes on by a clock that nobody sets; so
setting the machine's clock changes nothing while the process runs. Before the service was heard the
machine's clock counts, unless it is behind what the door has already seen (:attr:`turned_back`).

The caller must take the time down on disk now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TOLERANCE_MS = 120_000


def boot_ms() -> int:
    """Milliseconds since the machine started, those that it slept included."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


class DoorClock:
    """``seen_ms`` is the latest Unix time that the door took down before it started."""

    def __init__(
        self,
        seen_ms: int,
        *,
        unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        steady_ms: Callable[[], int] = boot_ms,
    ) -> None:
        self._unix_ms, self._steady_ms = unix_ms, steady_ms
        # One value, so that threads always see both together.
        self._base = unix_ms(), steady_ms()
        self.turned_back = self._base[0] < seen_ms - TOLERANCE_MS

    def __call__(self) -> int:
        unix_ms, steady_ms = self._base
        return unix_ms + self._steady_ms() - steady_ms

    @property
    def own_ms(self) -> int:
        """What the machine's clock says, which may be wrong."""
        return self._unix_ms()

    def hear(self, service_ms: int) -> None:
        """The service said what time it is, just now."""
        self._base = service_ms, self._steady_ms()
        self.turned_back = False
