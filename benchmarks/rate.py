"""How much is done in a second, and how long each piece takes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any, Self

import numpy as np

WAIT_MAX_S = 120


@dataclass(frozen=True, slots=True)
class Rate:
    """``latencies_ms`` of all that was done in ``seconds``."""

    latencies_ms: list[float]
    seconds: float

    @classmethod
    def of(cls, times: Sequence[Sequence[float]]) -> Self:
        """From several workers: when each began, and when each piece of its work was done, in s."""
        seconds = max(each[-1] for each in times) - min(each[0] for each in times)
        return cls([float(took) * 1000 for each in times for took in np.diff(each)], seconds)

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def quantile_ms(self, part: float) -> float:
        return float(np.quantile(self.latencies_ms, part))

    def summary(self) -> dict[str, float]:
        return {
            "per_second": round(self.per_second, 1),
            "ms_p50": round(self.quantile_ms(0.5), 2),
            "ms_p99": round(self.quantile_ms(0.99), 2),
        }


def run(work: Callable[..., Iterator[None]], shares: list[tuple[Any, ...]]) -> Rate:
    """Every share in a process of its own, all at once."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(shares))
    with ProcessPoolExecutor(len(shares), context, _take, (start,)) as processes:
        done = [processes.submit(timed, work, share) for share in shares]
        return Rate.of([future.result(WAIT_MAX_S) for future in done])


def _take(start: Barrier) -> None:
    global _start  # noqa: PLW0603 (a barrier reaches a process only when it is made)
    _start = start


def timed(work: Callable[..., Iterator[None]], share: tuple[Any, ...]) -> list[float]:
    """When it began, and when each piece of work was done."""
    _start.wait(WAIT_MAX_S)
    return [time.perf_counter(), *(time.perf_counter() for _ in work(*share))]
