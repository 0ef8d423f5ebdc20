"""Whether the service answers: asked again and again where it did not, so that the screen says so
for as long as it is true, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Self

from terminal_client.errors import NotTheService, Unreachable
from terminal_client.transport import CHALLENGE, Transport

AGAIN_S, TIMEOUT_S, STOP_S = 2.0, 3.0, 10.0
SERVER_ERRORS = 500


class Line:
    """``lost``: the last that is known."""

    def __init__(self, transport: Transport) -> None:
        self.lost = False
        self._transport = transport
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True, name="line")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """What is done here shows whether it is lost."""
        try:
            yield
        except (Unreachable, NotTheService):
            self.lost = True
            raise

    def _run(self) -> None:
        while not self._stop.wait(AGAIN_S):
            if self.lost and self._answers():
                self.lost = False

    def _answers(self) -> bool:
        """An empty request is refused, but answered."""
        try:
            reply = self._transport.exchange(CHALLENGE, b"", timeout_s=TIMEOUT_S)
        except Unreachable:
            return False
        return reply.status < SERVER_ERRORS
