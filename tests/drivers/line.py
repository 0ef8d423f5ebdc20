"""A serial line that can be listened to, cut and written on: two pseudo-terminals, joined."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import threading
import time
import tty
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class TappedLine:
    """``to_reader`` and ``to_panel`` are what went over it; ``cut_after``: bytes to the reader
    after which the line is dead in both directions, until it is mended."""

    to_reader: bytearray = field(default_factory=bytearray)
    to_panel: bytearray = field(default_factory=bytearray)
    cut_after: int | None = None
    garbles: bool = False

    def __post_init__(self) -> None:
        self._panel, panel = os.openpty()
        self._reader, reader = os.openpty()
        for each in (self._panel, self._reader, panel, reader):
            tty.setraw(each)
        self.panel_port, self.reader_port = os.ttyname(panel), os.ttyname(reader)
        self._open = [panel, reader]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def inject(self, raw: bytes) -> None:
        """Writes to the reader, as somebody on the line would."""
        os.write(self._reader, raw)

    def drain(self) -> None:
        """Returns when the reader has taken what was written to it."""
        ends = time.monotonic() + 5
        while fcntl.ioctl(self._open[1], termios.FIONREAD, b"\0" * 4) != b"\0" * 4:
            assert time.monotonic() < ends
            time.sleep(0.01)

    def inject_to_panel(self, raw: bytes) -> None:
        os.write(self._panel, raw)

    def _carry(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._panel, self._reader], [], [], 0.05)
            for each in ready:
                with suppress(OSError):
                    raw = os.read(each, 4096)
                    self._pass(raw, from_panel=each == self._panel)

    def _pass(self, raw: bytes, *, from_panel: bool) -> None:
        if self.garbles:
            raw = bytes(byte ^ 0x5A for byte in raw)
        if self.cut_after is not None:
            if not from_panel:
                if self.cut_after <= 0:
                    return
            else:
                raw = raw[: max(self.cut_after, 0)]
                self.cut_after -= len(raw)
        (self.to_reader if from_panel else self.to_panel).extend(raw)
        os.write(self._reader if from_panel else self._panel, raw)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for each in (self._panel, self._reader, *self._open):
            os.close(each)
