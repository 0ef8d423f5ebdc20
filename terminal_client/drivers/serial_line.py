"""A serial port, raw, 8N1, for this process alone.

Guarantees: reading and writing never block and never raise; a port that went away reads as
empty.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import time
import tty
from contextlib import suppress

from terminal_client.drivers.settings import BAUDS
from terminal_client.errors import DriverError

SPEEDS = {baud: getattr(termios, f"B{baud}") for baud in BAUDS}


class SerialLine:
    """Has the shape of an ``osdp.Channel``. ``heard_ns``: when bytes came last (monotonic)."""

    id = 0
    heard_ns = 0

    def __init__(self, port: str, baud: int) -> None:
        """Raises :class:`DriverError`."""
        try:
            self._file = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise DriverError(f"{port}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tty.setraw(self._file)
            attributes = termios.tcgetattr(self._file)
            attributes[2] |= termios.CLOCAL | termios.CREAD
            attributes[4] = attributes[5] = SPEEDS[baud]
            termios.tcsetattr(self._file, termios.TCSANOW, attributes)
            termios.tcflush(self._file, termios.TCIOFLUSH)
        except BlockingIOError as error:
            os.close(self._file)
            raise DriverError(f"{port} is used by another process") from error
        except (OSError, termios.error) as error:
            os.close(self._file)
            raise DriverError(f"{port} is no serial port") from error

    def read(self, bytes_max: int) -> bytes:
        raw = b""
        with suppress(OSError):
            raw = os.read(self._file, bytes_max)
        if raw:
            self.heard_ns = time.monotonic_ns()
        return raw

    def write(self, raw: bytes) -> int:
        try:
            return os.write(self._file, raw)
        except OSError:
            return 0

    def flush(self) -> None:
        with suppress(OSError, termios.error):
            termios.tcflush(self._file, termios.TCIFLUSH)

    def wait(self, wait_ms: int) -> None:
        """Returns when something can be read, or the time is over."""
        with suppress(OSError, ValueError):
            select.select([self._file], [], [], wait_ms / 1000)

    def is_silent(self, for_ms: int) -> bool:
        return time.monotonic_ns() - self.heard_ns > for_ms * 1_000_000

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)
