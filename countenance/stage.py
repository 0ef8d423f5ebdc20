"""A service on this machine for demonstrations and tests: real processes, loopback only.

Guarantees: what was started is stopped when the block ends, by its own process id, within
bounded time; the environment is then as it was.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from countenance.house import House, open_house
from service import policies
from service.clock import unix_ms
from service.verification.policy import Policy, Tier, default_policy
from wire.messages import Level

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
CHALLENGES_PER_MINUTE = 1_000_000


@dataclass
class Stage:
    """A running service; tests kill its parts and start them again."""

    house: House
    port: int
    log: Path
    workers: int | None
    server: subprocess.Popen[bytes] = field(init=False)
    tasks: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_server(self) -> None:
        arguments = ["serve", "--port", str(self.port)]
        if self.workers is not None:
            arguments += ["--workers", str(self.workers)]
        self.server = self._spawn(*arguments)

    def start_worker(self, *options: str) -> None:
        self.tasks.append(self._spawn("worker", *options))

    def kill_server(self) -> None:
        """SIGKILL to all of the server's processes at once, as a power cut would."""
        _kill(self.server)

    def kill_workers(self) -> None:
        while self.tasks:
            _kill(self.tasks.pop())

    def kill_database(self) -> None:
        """SIGKILL to PostgreSQL's first process; the others then end by themselves."""
        pid_file = self.house.settings.home / "postgres" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)

    def _spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "countenance.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Raises :class:`RuntimeError` with where to look."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        with urllib3.PoolManager(retries=False, timeout=2.0) as pool:
            while time.monotonic() < deadline:
                if self.server.poll() is not None:
                    break
                try:
                    if pool.request("GET", f"{self.url}/readyz").status == 200:
                        return
                except urllib3.exceptions.HTTPError:
                    time.sleep(0.05)
        raise RuntimeError(f"the service did not start: see {self.log}")

    def stop(self) -> None:
        for process in (*self.tasks, self.server):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # The number of one that ended by itself may be another's by now.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def trial_policy(level: Level | None) -> Policy:
    """The default policy, for simulated customers and files, without limits on their money;
    ``level`` replaces every tier's.
    """
    standard = default_policy()
    return Policy(
        tiers={
            name: tuple(
                Tier(
                    fmr=tier.fmr,
                    level=level.name.lower() if level is not None else tier.level,
                    pin=tier.pin and level is not Level.NONE,
                    up_to_minor=tier.up_to_minor,
                )
                for tier in tiers
            )
            for name, tiers in standard.tiers.items()
        },
        limits={},
        without_face=standard.without_face,
        sources=("camera", "stream", "file", "simulated", "browser"),
    )


@contextmanager
def set_stage(
    home: Path,
    *,
    level: Level | None,
    worker: bool,
    workers: int | None = 1,
    before: Callable[[House], None] = lambda _house: None,
) -> Iterator[Stage]:
    """Starts database, service and worker in development mode under ``home``; ``before`` finds
    the database alone."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    port = _free_port()
    with _environment(home, port), open_house() as house:
        before(house)
        with house.database.transaction() as conn:
            policies.publish(conn, trial_policy(level), house.keys.signing, now_ms=unix_ms())
        stage = Stage(house, port, home / "demo.log", workers)
        stage.start_server()
        try:
            if worker:
                stage.start_worker()
            stage.wait_until_ready()
            yield stage
        finally:
            stage.stop()


@contextmanager
def _environment(home: Path, port: int) -> Iterator[None]:
    """The settings of the stage, which its processes inherit."""
    before = dict(os.environ)
    os.environ["COUNTENANCE_HOME"] = str(home)
    os.environ["COUNTENANCE_MODE"] = "development"
    os.environ["COUNTENANCE_CONSOLE_ORIGIN"] = f"http://localhost:{port}"
    os.environ["COUNTENANCE_CHALLENGES_PER_MINUTE"] = str(CHALLENGES_PER_MINUTE)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
