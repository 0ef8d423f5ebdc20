"""Takes down what a door does, beside the thread that serves its driver.

Guarantees: events are taken down in the order and with the time in which they happened; the
driver's thread waits for no disk, unless ``EVENTS_MAX`` events wait already. What was given before
the block ends is on disk when it ended.

The caller must use it as a context around the door's keeper, and look at
:attr:`DoorReport.failure`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from terminal_client.door import DoorEvent, Happened
from terminal_client.standalone import Standalone
from wire.ids import AttemptId
from wire.messages import DoorEventKind

EVENTS_MAX = 256
STOP_S = 10.0
_KINDS = {
    Happened.CONFIRMED: DoorEventKind.OPENED,
    Happened.NOT_OPENED: DoorEventKind.NOT_OPENED,
    Happened.REFUSED: DoorEventKind.NOT_OPENED,
    Happened.EXIT_REQUESTED: DoorEventKind.REQUEST_TO_EXIT,
    Happened.OPENED: DoorEventKind.OPENED,
    Happened.CLOSED: DoorEventKind.CLOSED,
    Happened.HELD: DoorEventKind.HELD_OPEN,
    Happened.FORCED: DoorEventKind.FORCED,
    Happened.FOUND_OPEN: DoorEventKind.FORCED,
    Happened.TAMPERED: DoorEventKind.TAMPER,
    Happened.TAMPER_ENDED: DoorEventKind.TAMPER_OVER,
}


@dataclass(frozen=True, slots=True)
class _Noted:
    kind: DoorEventKind
    at_ms: int
    attempt: AttemptId | None
    offline: bool


class DoorReport:
    """``linked``: whether the lock's side answers, before it said so; ``has_contact`` is the
    channel's, once there is one; ``on_noted`` is called after each record."""

    def __init__(
        self,
        standalone: Standalone,
        *,
        linked: bool,
        is_offline: Callable[[], bool],
        on_noted: Callable[[], None],
    ) -> None:
        self._door, self._is_offline, self._on_noted = standalone, is_offline, on_noted
        self._events: queue.Queue[_Noted | None] = queue.Queue(maxsize=EVENTS_MAX)
        self._thread = threading.Thread(target=self._run, name="door-report", daemon=True)
        self.linked, self.has_contact = linked, True
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        self._thread.join(STOP_S)

    def take(self, event: DoorEvent) -> None:
        """For the keeper's ``on_event``."""
        if event.happened in (Happened.LINK_LOST, Happened.LINK_RESTORED):
            self.linked = event.happened is Happened.LINK_RESTORED
        kind = _KINDS.get(event.happened)
        if event.happened is Happened.ACCEPTED and not self.has_contact:
            kind = DoorEventKind.OPENED
        if kind is not None and self.failure is None:
            noted = _Noted(kind, self._door.clock(), event.attempt, self._is_offline())
            self._events.put(noted)

    def _run(self) -> None:
        while (noted := self._events.get()) is not None:
            if self.failure is not None:
                continue
            try:
                self._door.happened(
                    noted.kind, at_ms=noted.at_ms, offline=noted.offline, attempt=noted.attempt
                )
            except Exception as error:
                self.failure = error
            else:
                self._on_noted()
