"""The one place where the service reads the time."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]


def unix_ms() -> int:
    return time.time_ns() // 1_000_000
