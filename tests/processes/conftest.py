"""A service of real processes: ``mall`` runs on a stage of its own."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from countenance.stage import Stage, set_stage
from terminal_client.errors import Unreachable
from terminal_client.transport import HttpTransport, Reply
from wire.messages import Level


@dataclass
class Network:
    """What went over the network; None counts the requests that were cut off."""

    url: str
    sent: Counter[str] = field(default_factory=Counter)
    answers: Counter[int | None] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self) -> Line:
        """A connection of one terminal's own."""
        return Line(self, HttpTransport(self.url))

    def count(self, path: str) -> None:
        with self._lock:
            self.sent[path] += 1

    def note(self, status: int | None) -> None:
        with self._lock:
            self.answers[status] += 1


@dataclass
class Line:
    network: Network
    http: HttpTransport

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        self.network.count(path)
        try:
            reply = self.http.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        except Unreachable:
            self.network.note(None)
            raise
        self.network.note(reply.status)
        return reply


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home that an unprivileged user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="countenance-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stage(home: Path) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COUNTENANCE_DATABASE_URL", raising=False)
        patch.delenv("COUNTENANCE_BROKER_URL", raising=False)
        with set_stage(home, level=Level.NONE, worker=False) as running:
            yield running
