"""The service, put together from its settings, under granian.

Guarantee: nothing is served before the policy in force was checked: against the calibrations,
and in production against trials' shortcuts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server

from face_engine.calibration import shipped
from service import policies
from service.clock import unix_ms
from service.db import Database
from service.keys import KeyRing
from service.settings import Settings

BACKLOG = 512
BACKPRESSURE = 64
KILL_TIMEOUT_S = 10


def open_keys(settings: Settings) -> KeyRing:
    return KeyRing.open(settings.home / "keys", log_name=settings.log_name)


def check_policy(database: Database, keys: KeyRing, *, production: bool) -> None:
    """Raises :class:`Misconfigured` for a policy in force that must not be run."""
    with database.transaction() as conn:
        _, policy = policies.latest(conn, keys.signing, now_ms=unix_ms())
    policy.check_rates(shipped().values())
    if production:
        policy.check_for_production()


@contextmanager
def metrics_folder(home: Path) -> Iterator[Path]:
    """Where the workers of this run sum their metrics; it ends with the run.

    What killed runs left is removed at the next start: a run holds a lock on its folder, and the
    system gives that up when its last process is gone.
    """
    parent = home / "metrics"
    parent.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as run:
        with _locked(parent):
            for left in parent.iterdir():
                with suppress(BlockingIOError), _locked(left, fcntl.LOCK_NB):
                    shutil.rmtree(left)
            folder = Path(mkdtemp(dir=parent))
            run.enter_context(_locked(folder))
        run.callback(shutil.rmtree, folder)
        yield folder


@contextmanager
def _locked(folder: Path, flags: int = 0) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)


def serve(home: Path, *, host: str, port: int, workers: int, threads: int) -> None:
    """Serves until it is told to stop; failed workers are started anew."""
    with metrics_folder(home) as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        Server(
            "service.wsgi:wsgi",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=threads,
            backlog=BACKLOG,
            backpressure=max(BACKPRESSURE, threads),
            factory=True,
            websockets=False,
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            workers_kill_timeout=KILL_TIMEOUT_S,
        ).serve()
