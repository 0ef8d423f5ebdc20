"""Serves a kiosk's pages, and tells a browser where they are without telling other users.

Guarantees: the paths are new at each start. They stand in a page in the terminal's home, which
nobody else may read: a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from terminal_client.errors import StorageError
from terminal_client.kiosk.web import Sides, create_kiosk_app
from terminal_client.loopback import HOST, LoopbackServer

THREADS = 16
OPENER = "kiosk.html"


class KioskServer:
    """A context; raises :class:`UsageError` for a port that is taken."""

    def __init__(self, sides: Sides, port: int) -> None:
        self._sides = sides
        self._server = LoopbackServer(create_kiosk_app(sides), port, threads=THREADS)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sides.streams.stop()
        self._server.stop()

    @property
    def url(self) -> str:
        return self._at(f"s/{self._sides.screen_path}")

    @property
    def cashier_url(self) -> str | None:
        return self._at(f"c/{self._sides.cashier_path}") if self._sides.cashier else None

    def is_own(self, origin: str) -> bool:
        """Whether a page of that origin is this kiosk's."""
        return origin == f"http://{HOST}:{self._server.port}"

    def _at(self, path: str) -> str:
        return f"http://{HOST}:{self._server.port}/{path}/"

    def write_opener(self, home: Path) -> Path:
        """A page that opens the screen, for ``chromium --kiosk``; raises :class:`StorageError`."""
        path = home / OPENER
        text = f'<!doctype html><meta http-equiv="refresh" content="0;url={self.url}">\n'
        try:
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return path
