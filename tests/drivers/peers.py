"""libosdp's own peers, in a thread: a reader with a relay, and somebody's panel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import osdp_sys

from terminal_client.drivers import osdp_random
from terminal_client.drivers.serial_line import SerialLine

INPUTS = 2


class Peer:
    """Calls of libosdp come from its own thread only: ``later`` is run there."""

    def __init__(self, port: str, make: Callable[[SerialLine], Any], baud: int = 9600) -> None:
        osdp_sys.set_loglevel(osdp_sys.LOG_EMERG)
        # Before a second thread draws numbers: the proof compares what is drawn one after another.
        osdp_random.prepare(osdp_sys.__file__)
        self._line = SerialLine(port, baud)
        self.side = make(self._line)
        self._later: list[Callable[[], object]] = []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def later(self, what: Callable[[], object]) -> None:
        with self._lock:
            self._later.append(what)

    def _run(self) -> None:
        while not self._stop.is_set():
            osdp_random.refill()
            self.side.refresh()
            with self._lock:
                due, self._later = self._later, []
            for each in due:
                each()
            self._line.wait(5)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._line.close()


class ReaderPeer(Peer):
    """``commands`` holds what it was told, ``relay`` whether the output is on."""

    def __init__(
        self,
        port: str,
        key: bytes | None,
        *,
        flags: int = osdp_sys.FLAG_ENFORCE_SECURE,
        **more: Any,
    ) -> None:
        self.commands: list[dict[str, Any]] = []
        self.refuses = False
        capabilities = [
            {"function_code": code, "compliance_level": 1, "num_items": number}
            for code, number in (
                (osdp_sys.CAP_CONTACT_STATUS_MONITORING, INPUTS),
                (osdp_sys.CAP_OUTPUT_CONTROL, 1),
                (osdp_sys.CAP_CARD_DATA_FORMAT, 1),
                (osdp_sys.CAP_COMMUNICATION_SECURITY, 1),
                (osdp_sys.CAP_CHECK_CHARACTER_SUPPORT, 1),
            )
        ]

        def make(line: SerialLine) -> Any:
            side = osdp_sys.PeripheralDevice(
                {
                    "name": "peer", "address": 0, "flags": flags, "channel": line, "version": 1,
                    "model": 1, "vendor_code": 7, "serial_number": 7, "firmware_version": 1,
                    **({"scbk": key} if key is not None else {}),
                },
                capabilities=capabilities,
            )  # fmt: skip
            side.set_command_callback(self._commanded)
            return side

        super().__init__(port, make, **more)

    def _commanded(self, command: dict[str, Any]) -> tuple[int, None]:
        self.commands.append(dict(command))
        inputs = command.get("type") == osdp_sys.STATUS_REPORT_INPUT and "data" not in command
        return (-1 if inputs or (self.refuses and "control_code" in command) else 0, None)

    @property
    def outputs(self) -> list[tuple[int, int]]:
        kind = osdp_sys.CMD_OUTPUT
        found = [each for each in self.commands if each["command"] == kind]
        return [(each["control_code"], each["timer_count"]) for each in found]

    def shows(self, bits: int, raw: bytes) -> None:
        event = {
            "event": osdp_sys.EVENT_CARDREAD, "reader_no": 0, "direction": 0, "length": bits,
            "format": osdp_sys.CARD_FMT_RAW_WIEGAND, "data": raw,
        }  # fmt: skip
        self.later(lambda: self.side.submit_event(event))

    def types(self, keys: bytes) -> None:
        event = {"event": osdp_sys.EVENT_KEYPRESS, "reader_no": 0, "data": keys}
        self.later(lambda: self.side.submit_event(event))

    def senses(self, *inputs: int) -> None:
        self._status(osdp_sys.STATUS_REPORT_INPUT, bytes(inputs))

    def is_opened(self, tamper: bool) -> None:
        self._status(osdp_sys.STATUS_REPORT_LOCAL, bytes([tamper, 0]))

    def _status(self, kind: int, report: bytes) -> None:
        event = {"event": osdp_sys.EVENT_STATUS, "type": kind, "report": report}
        self.later(lambda: self.side.submit_event(event))


class PanelPeer(Peer):
    def __init__(
        self, port: str, key: bytes, *, flags: int = osdp_sys.FLAG_ENFORCE_SECURE, **more: Any
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.answers: list[int] = []

        def make(line: SerialLine) -> Any:
            info = {"name": "x", "address": 0, "flags": flags, "scbk": key, "channel": line}
            side = osdp_sys.ControlPanel([info])
            side.set_event_callback(lambda _, event: self.events.append(dict(event)) or 0)
            side.set_command_completion_callback(lambda *said: self.answers.append(said[-1]))
            return side

        super().__init__(port, make, **more)

    def rotates_to(self, key: bytes) -> None:
        """``answers`` has what the reader said of it. A reader is up a moment before its panel
        knows, which takes no command until then."""
        command = {"command": osdp_sys.CMD_KEYSET, "type": 1, "data": key}

        def submit() -> None:
            if not self.side.submit_command(0, command):
                self.later(submit)

        self.later(submit)

    @property
    def badges(self) -> list[tuple[int, bytes]]:
        kind = osdp_sys.EVENT_CARDREAD
        return [(each["length"], each["data"]) for each in self.events if each["event"] == kind]


@contextmanager
def running(peer: Any) -> Iterator[Any]:
    peer.start()
    try:
        yield peer
    finally:
        peer.close()


def until(found: Callable[[], Any], turn: Callable[[], object], *, within_s: float = 10.0) -> Any:
    """Turns until it is found; the bound is for a test that would never end."""
    ends = time.monotonic() + within_s
    while not (value := found()):
        turn()
        assert time.monotonic() < ends, "it did not happen"
    return value
