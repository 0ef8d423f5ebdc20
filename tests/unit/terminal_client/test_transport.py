"""How long a terminal asks again: within one deadline, and never sooner than it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from terminal_client.errors import Unreachable
from terminal_client.transport import DEADLINE_S, TRIES_MAX, Reply, send


@dataclass
class Service:
    """It takes ``hangs_s`` for each exchange, or as long as it is given."""

    reply: Reply | None
    hangs_s: float = 0.0
    now_s: float = 100.0
    asked_at_s: list[float] = field(default_factory=list)

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        assert timeout_s > 0
        self.asked_at_s.append(self.now_s)
        self.now_s += min(self.hangs_s, timeout_s)
        if self.reply is None:
            raise Unreachable("lost")
        return self.reply

    def pause(self, seconds: float) -> None:
        self.now_s += seconds

    def send(self) -> float:
        """How long it took to give up."""
        began_s = self.now_s
        with pytest.raises(Unreachable):
            send(self, "/v1/attempts", b"", pause=self.pause, clock=lambda: self.now_s)
        return self.now_s - began_s


def test_a_service_that_hangs_is_reported_within_the_deadline() -> None:
    service = Service(None, hangs_s=10.0)
    assert service.send() <= DEADLINE_S + 1e-6
    assert len(service.asked_at_s) == 3


def test_tries_have_a_bound_too() -> None:
    service = Service(Reply(503, b""))
    assert service.send() < DEADLINE_S
    assert len(service.asked_at_s) == TRIES_MAX


def test_a_service_that_asks_to_be_left_alone_is() -> None:
    service = Service(Reply(429, b"", retry_after_s=4.0))
    service.send()
    gaps = [b - a for a, b in pairwise(service.asked_at_s)]
    assert len(gaps) == TRIES_MAX - 1
    assert all(gap >= 4.0 for gap in gaps)


def test_but_not_beyond_the_deadline() -> None:
    service = Service(Reply(503, b"", retry_after_s=3600.0))
    assert service.send() == 0
    assert len(service.asked_at_s) == 1
