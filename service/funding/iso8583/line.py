"""A TCP line to a host: frames of two bytes' length, big-endian, then the message.

Guarantees: every wait has an end; a frame is bounded before it is read; what does not answer the
request that was sent (a late answer to another, the same answer twice) is passed over, a bounded
number of times. A line on which anything went wrong is never used again.

The caller must bring the line to a host that it trusts: ``tls`` checks the certificate against
the system's authorities, and without it only a tunnel's end on this machine will do.
"""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from service.funding.iso8583.message import MESSAGE_BYTES_MAX, Message, MessageError
from service.funding.processor import NoAnswer

PASSED_OVER_MAX = 16
IDLE_LINES_MAX = 4
ECHO_AFTER_S = 30.0
_LENGTH = struct.Struct(">H")


class NotSent(Exception):
    """The host cannot have heard it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    host: str
    port: int
    tls: bool


class Line:
    """One connection; not to be shared between threads."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        """Raises :class:`NotSent`."""
        try:
            plain = socket.create_connection((address.host, address.port), timeout_s)
            plain.settimeout(timeout_s)
            if address.tls:
                context = ssl.create_default_context()
                plain = context.wrap_socket(plain, server_hostname=address.host)
        except OSError as error:
            raise NotSent(type(error).__name__) from None
        self._socket = plain
        self.used_at_s = time.monotonic()

    def exchange(self, request: Message, *, timeout_s: float) -> Message:
        """The answer to this request; raises :class:`NoAnswer`."""
        deadline_s = time.monotonic() + timeout_s
        body = request.encode()
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
            for _ in range(PASSED_OVER_MAX):
                answer = Message.decode(self._receive(deadline_s))
                if request.is_answered_by(answer):
                    self.used_at_s = time.monotonic()
                    return answer
        except (OSError, MessageError) as error:
            raise NoAnswer(f"host: {type(error).__name__}") from None
        raise NoAnswer("host: answers to other requests")

    def _receive(self, deadline_s: float) -> bytes:
        (length,) = _LENGTH.unpack(self._receive_exactly(_LENGTH.size, deadline_s))
        if not 0 < length <= MESSAGE_BYTES_MAX:
            raise MessageError("a frame outside its bounds")
        return self._receive_exactly(length, deadline_s)

    def _receive_exactly(self, number: int, deadline_s: float) -> bytes:
        parts = bytearray()
        while len(parts) < number:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._socket.settimeout(left_s)
            part = self._socket.recv(number - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return bytes(parts)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()


class Lines:
    """The lines of one process: each used by one request at a time, signed on, and kept."""

    def __init__(self, address: Address, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[Line] = queue.LifoQueue(IDLE_LINES_MAX)

    @contextmanager
    def take(self, sign_on: Message, echo: Message) -> Iterator[Line]:
        """A line on which the host answers; raises :class:`NotSent` where there is none."""
        line = self._wake(echo) or self._open(sign_on)
        try:
            yield line
        except BaseException:
            line.close()
            raise
        try:
            self._idle.put_nowait(line)
        except queue.Full:
            line.close()

    def _wake(self, echo: Message) -> Line | None:
        while True:
            try:
                line = self._idle.get_nowait()
            except queue.Empty:
                return None
            if time.monotonic() - line.used_at_s < ECHO_AFTER_S or self._greet(line, echo):
                return line

    def _open(self, sign_on: Message) -> Line:
        line = Line(self._address, timeout_s=self._timeout_s)
        if not self._greet(line, sign_on):
            raise NotSent("the host does not sign us on")
        return line

    def _greet(self, line: Line, greeting: Message) -> bool:
        """Whether the host answers a sign-on or an echo with 00; the line is closed if not."""
        with suppress(NoAnswer):
            answer = line.exchange(greeting, timeout_s=self._timeout_s)
            if answer.fields["39"] == "00":
                return True
        line.close()
        return False

    def close(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
