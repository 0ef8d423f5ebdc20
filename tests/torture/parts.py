"""What is killed (SIGKILL) or misbehaves: each a part with a name and a strike.

Another part is another class with these two; :mod:`tests.torture.run` takes any of them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from countenance.stage import Stage
from tests.funding.conftest import Bank
from tests.funding.proxy import Proxy

ALIVE_MAX_S = 60.0
T = TypeVar("T")


class Part(Protocol):
    name: str

    def strike(self, drawn: random.Random) -> None:
        """Does the harm; what is killed is started again, as a supervisor would."""


@dataclass
class Service:
    stage: Stage
    name: str = "service"

    def strike(self, drawn: random.Random) -> None:
        self.stage.kill_server()
        self.stage.start_server()

    def revive(self) -> bool:
        """Whether it had ended by itself, and was started again."""
        if self.stage.server.poll() is None:
            return False
        self.stage.start_server()
        return True


@dataclass
class Worker:
    stage: Stage
    name: str = "worker"

    def strike(self, drawn: random.Random) -> None:
        self.stage.kill_workers()
        self.stage.start_worker()

    def revive(self) -> bool:
        """Whether it had ended by itself, and was started again."""
        if all(process.poll() is None for process in self.stage.tasks):
            return False
        self.strike(random.Random())
        return True


@dataclass
class PostgreSQL:
    """Those that use it start it again."""

    home: Path
    name: str = "postgresql"

    def strike(self, drawn: random.Random) -> None:
        os.kill(wait_for("PostgreSQL", self._pid), signal.SIGKILL)

    def _pid(self) -> int | None:
        """Of the server that runs; the file of one that was killed names nobody, or another."""
        with suppress(OSError, ValueError):
            pid = int((self.home / "postgres" / "postmaster.pid").read_text().split()[0])
            if str(self.home / "postgres").encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None


@dataclass
class Redis:
    """A broker that writes down what it was given."""

    folder: Path
    port: int
    name: str = "broker"
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
             "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for("Redis", lambda: self._listens() or None)

    def strike(self, drawn: random.Random) -> None:
        self.process.kill()
        self.process.wait()
        self.start()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def open_redis(folder: Path) -> Iterator[Redis | None]:
    """None where Debian's server is missing: the queue is then in PostgreSQL, and dies with it."""
    if shutil.which("redis-server") is None:
        yield None
        return
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        redis = Redis(folder, probe.getsockname()[1])
    redis.start()
    try:
        yield redis
    finally:
        redis.process.kill()
        redis.process.wait()


@dataclass
class BankHost:
    """The next answers are late, wrong, never there, or there twice; then it is well again."""

    bank: Bank
    name: str = "bank"

    def strike(self, drawn: random.Random) -> None:
        # It declines nothing: one that declines to take what it holds is a person's to settle, and
        # a discrepancy until then.
        kinds = ("twice", "late:2", "never", "drop", "wrong:11=000000", "garbage", "other")
        self.bank.behave(*drawn.choices(kinds, k=drawn.randint(1, 3)), "ok")


@dataclass
class Stripe:
    proxy: Proxy
    name: str = "stripe"

    def strike(self, drawn: random.Random) -> None:
        kinds = ("lost", "unheard", "503", "500", "409", "429", "garbage", "twice")
        self.proxy.behave(*drawn.choices(kinds, k=drawn.randint(1, 3)), "ok")


def wait_for(what: str, ask: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + ALIVE_MAX_S
    while (found := ask()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} does not come back")
        time.sleep(0.02)
    return found
