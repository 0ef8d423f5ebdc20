"""A kiosk where people begin by themselves: a cash machine, a door, an enrolment station.

Guarantees: what a visit left open is settled before the next begins, and the screen says so for
as long as the service does not answer. What goes wrong with one person does not end the kiosk;
storage that fails does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from terminal_client.device import Actuator, Device, left_over
from terminal_client.errors import StorageError, TerminalError
from terminal_client.kiosk.failing import show_failure
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.screen import Fields, Left, Screen, View
from terminal_client.kiosk.words import Subject

MEET_S, AGAIN_S = 2.0, 2.0

Serve = Callable[[Fields], None]


@dataclass(kw_only=True)
class Host:
    """``idle`` is shown while nobody is here; ``settle`` is the device's own journal's word."""

    device: Device
    line: Line
    subject: Subject
    idle: View
    settle: Actuator = left_over
    needs_line: bool = True
    screen: Screen = field(init=False)
    _stuck: bool = False
    _stopped: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.screen = Screen(self._idle)

    def _idle(self) -> View:
        if self._stuck or (self.needs_line and self.line.lost):
            return View(name="offline", values={"name": self.subject.payee})
        return self.idle

    def stop(self) -> None:
        """Ends :meth:`run` after the visit that it is at."""
        self._stopped.set()

    def run(self, serve: Serve) -> None:
        while not self._stopped.is_set():
            if not self._settled():
                self._stopped.wait(AGAIN_S)
                continue
            begun = self.screen.meet(wait_s=MEET_S)
            if begun is not None and self.screen.is_idle_as(self.idle):
                self._host(serve, begun)

    def _settled(self) -> bool:
        if not self.device.outbox.waiting():
            self._stuck = False
            return True
        try:
            with self.line.noting():
                self.device.reconcile(self.settle)
        except StorageError:
            raise
        except TerminalError:
            self._stuck = True
            return False
        self._stuck = False
        return True

    def _host(self, serve: Serve, begun: Fields) -> None:
        try:
            with self.line.noting():
                serve(begun)
        except Left:
            self.screen.rest()
        except TerminalError as error:
            sent = bool(self.device.outbox.waiting())
            show_failure(self.screen, self.subject, error, sent=sent)
            if isinstance(error, StorageError):
                raise
