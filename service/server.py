"""The service, put together from its settings, under granian.

Guarantee: nothing is served before the policy in force was checked: against the calibrations,
and in production against trials' shortcuts.
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

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


def serve(*, host: str, port: int, workers: int, threads: int) -> None:
    """Serves until it is told to stop; failed workers are started anew.

    The metrics of all workers are summed in a folder of this run, which ends with it.
    """
    with TemporaryDirectory(prefix="countenance-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
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
