"""The way to the service: one call, and one kind of failure.

Guarantees: whatever goes wrong on the network comes out as :class:`Unreachable`; every wait and
every answer has a bound; redirects are not followed; plain HTTP goes to this machine only.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

import urllib3

from terminal_client.errors import Rejected, Unreachable, UsageError
from wire.codec import MAX_MESSAGE_BYTES
from wire.errors import WireError
from wire.messages import Problem

CONTENT_TYPE = 'application/cose; cose-type="cose-sign1"'
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 3.0, 10.0
CHALLENGE = "/v1/challenges"
TRIES_MAX = 6
DEADLINE_S = 25.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0
AGAIN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Reply:
    """``retry_after_s``: how long the service asks to be left alone."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


class Transport(Protocol):
    def exchange(
        self, path: str, body: bytes, *, timeout_s: float, bytes_max: int = MAX_MESSAGE_BYTES
    ) -> Reply:
        """Raises :class:`Unreachable`, after no more than about ``timeout_s``, and for an answer
        of more than ``bytes_max``."""


class HttpTransport:
    def __init__(self, url: str, *, ca_file: str | None = None) -> None:
        """Raises :class:`UsageError` for a URL or CA file that must not be used."""
        try:
            parts = urlsplit(url)
            port_given = parts.port != 0
        except ValueError as error:
            raise UsageError("the service's address is an https URL") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_given:
            raise UsageError("the service's address is an https URL")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise UsageError("plain http is for this machine only: use https")
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=2,
            retries=False,
            ssl_context=trust(ca_file),
        )

    def exchange(
        self, path: str, body: bytes, *, timeout_s: float, bytes_max: int = MAX_MESSAGE_BYTES
    ) -> Reply:
        # A long answer may take as long as its caller has, to be made as well as to come.
        is_long = bytes_max > MAX_MESSAGE_BYTES
        read_s = timeout_s if is_long else min(READ_TIMEOUT_S, timeout_s)
        deadline = time.monotonic() + timeout_s
        try:
            answer = self._pool.request(
                "POST",
                self._url + path,
                body=body,
                headers={"Content-Type": CONTENT_TYPE},
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=read_s),
                redirect=False,
                preload_content=False,
            )
            try:
                content = _read(answer, min(deadline, time.monotonic() + read_s), bytes_max)
            finally:
                # An answer read to its end has given its connection back before.
                answer.close()
        except urllib3.exceptions.SSLError as error:
            raise Unreachable("the service's certificate is not one to trust") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unreachable(f"the service does not answer ({type(error).__name__})") from error
        return Reply(answer.status, content, _seconds(answer.headers.get("Retry-After", "")))


def _read(answer: urllib3.BaseHTTPResponse, deadline: float, bytes_max: int) -> bytes:
    """At most ``bytes_max``, and no part after the deadline.

    A head that was cut off looks like one of an answer without a length, so that is none.
    """
    if not any(answer.headers.get(name) for name in ("content-length", "transfer-encoding")):
        raise Unreachable("the answer was cut off")
    content = bytearray()
    while len(content) <= bytes_max:
        part = answer.read1(MAX_MESSAGE_BYTES + 1)
        if not part:
            return bytes(content)
        if time.monotonic() > deadline:
            raise Unreachable("the answer comes too slowly")
        content += part
    raise Unreachable("the answer is too long")


def _seconds(retry_after: str) -> float:
    """Its date form (RFC 9110, 10.2.3) is not of this service, and counts as none."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0


def trust(ca_file: str | None) -> ssl.SSLContext:
    """The machine's authorities, or those of the file; raises :class:`UsageError`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"{ca_file} holds no certificates to trust") from error


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def send(
    transport: Transport,
    path: str,
    body: bytes,
    *,
    tries: int = TRIES_MAX,
    deadline_s: float = DEADLINE_S,
    bytes_max: int = MAX_MESSAGE_BYTES,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """Sends the same bytes until there is an answer; returns its body.

    Raises :class:`Unreachable` after ``tries``, or when the next one would come after
    ``deadline_s``; and :class:`Rejected` where the service says that asking again does not help.
    """
    ends, reason, wait_s = clock() + deadline_s, "the service does not answer", 0.0
    for attempt in range(tries):
        if wait_s:
            pause(wait_s)
        left_s = ends - clock()
        longest = min(FIRST_PAUSE_S * 2 ** (attempt + 1), LONGEST_PAUSE_S)
        wait_s = random.uniform(FIRST_PAUSE_S / 2, longest)  # noqa: S311 (jitter)
        try:
            reply = transport.exchange(path, body, timeout_s=left_s, bytes_max=bytes_max)
        except Unreachable as error:
            reason = str(error)
        else:
            if reply.status in (200, 201):
                return reply.body
            if reply.status not in AGAIN and reply.status < 500:
                raise _rejected(reply)
            reason = f"the service is busy ({reply.status})"
            wait_s = max(wait_s, reply.retry_after_s)
        if clock() + wait_s >= ends:
            break
    raise Unreachable(reason)


def _rejected(reply: Reply) -> Rejected:
    try:
        problem = Problem.decode(reply.body)
    except WireError:
        return Rejected(reply.status, "unknown", f"the service answered {reply.status}")
    return Rejected(reply.status, problem.reason, problem.detail, now_ms=problem.now_ms)
