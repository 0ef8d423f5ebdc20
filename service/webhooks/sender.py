"""One request to a stranger's server, from inside our network.

Guarantees: only https, and in development http to this machine; the name is looked up once,
every address that it has must be public, and the connection goes to the very address that was
checked, so that an answer of DNS cannot change in between; the certificate is checked against
the name. A redirect is never followed, nothing of the answer is read but its head, and all of
it ends within ``DEADLINE_S``, however slowly the other side speaks. No proxy, no cookies.

The caller must still send the same again where nobody answered.
"""

from __future__ import annotations

import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

DEADLINE_S = 8.0
URL_CHARS_MAX = 1000
NAT64 = IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]{1,1000}", re.ASCII)
Address = IPv4Address | IPv6Address


class Outcome(StrEnum):
    """What became of a try; only ``delivered`` ends the delivery."""

    DELIVERED = "delivered"
    URL_NOT_ALLOWED = "url_not_allowed"
    NAME_NOT_RESOLVED = "name_not_resolved"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NOT_CONNECTED = "not_connected"
    CERTIFICATE_NOT_ACCEPTED = "certificate_not_accepted"
    TIMED_OUT = "timed_out"
    ANSWER_NOT_HTTP = "answer_not_http"
    REDIRECTED = "redirected"
    STATUS_NOT_2XX = "status_not_2xx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    outcome: Outcome
    status: int | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that may be sent to, as far as one sees without looking its name up."""

    secure: bool
    host: str = field(repr=False)
    port: int
    path: str = field(repr=False)

    @classmethod
    def parse(cls, text: str, *, development: bool) -> Target | Outcome:
        """``url_not_allowed`` or ``address_not_allowed`` where it may not."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return Outcome.URL_NOT_ALLOWED
        if not _VISIBLE.fullmatch(text) or "@" in parts.netloc or "#" in text or "\\" in text:
            return Outcome.URL_NOT_ALLOWED
        if parts.scheme not in (("https", "http") if development else ("https",)) or port == 0:
            return Outcome.URL_NOT_ALLOWED
        literal = _address(host)
        if literal is None and not _HOST.fullmatch(host):
            return Outcome.URL_NOT_ALLOWED
        secure = parts.scheme == "https"
        if literal and not is_allowed(literal, secure=secure, development=development):
            return Outcome.ADDRESS_NOT_ALLOWED
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(secure=secure, host=host, port=port or (443 if secure else 80), path=path)


def is_allowed(address: Address, *, secure: bool, development: bool) -> bool:
    """Whether one may connect to it: public, or, in development, this machine."""
    inner = _inner(address)
    if inner.is_loopback:
        return development
    return secure and all(each.is_global and not each.is_multicast for each in (address, inner))


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, by any of the ways there are."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (address,) * 2)[1]


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(each[4][0]) for each in found]


@dataclass(frozen=True, slots=True)
class Sender:
    """``resolve`` and ``tls`` are the system's, unless a test gives its own."""

    development: bool
    resolve: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    deadline_s: float = DEADLINE_S

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Try:
        """Sends ``body`` once; whatever happens is told, nothing is raised."""
        began = time.monotonic()
        target = Target.parse(url, development=self.development)
        if isinstance(target, Outcome):
            return Try(outcome=target)
        address = self._look_up(target)
        outcome, status = (
            (address, None)
            if isinstance(address, Outcome)
            else self._send(target, address, body, headers, began)
        )
        return Try(
            outcome=outcome,
            status=status,
            duration_ms=round((time.monotonic() - began) * 1000),
        )

    def _look_up(self, target: Target) -> str | Outcome:
        """The address to connect to; one that is not allowed spoils all."""
        answer: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self.resolve(target.host, target.port))
            except (OSError, UnicodeError):
                answer.put([])

        threading.Thread(target=ask, daemon=True).start()
        try:
            found = answer.get(timeout=self.deadline_s / 2)
        except queue.Empty:
            found = []
        if not found:
            return Outcome.NAME_NOT_RESOLVED
        for text in found:
            address = _address(text)
            if address is None or not is_allowed(
                address, secure=target.secure, development=self.development
            ):
                return Outcome.ADDRESS_NOT_ALLOWED
        return found[0]

    def _send(
        self,
        target: Target,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        began: float,
    ) -> tuple[Outcome, int | None]:
        left_s = max(0.1, self.deadline_s - (time.monotonic() - began))
        connection = self._connection(target, address, left_s)
        over = threading.Event()

        def end() -> None:
            over.set()
            if connection.sock is not None:
                _cut(connection.sock)

        watch = threading.Timer(left_s, end)
        watch.daemon = True
        watch.start()
        try:
            named = {**headers, "Host": _host(target)}
            connection.request("POST", target.path, body, headers=named)
            status = connection.getresponse().status
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            return (Outcome.TIMED_OUT if over.is_set() else _outcome(error)), None
        finally:
            watch.cancel()
            connection.close()
        if 300 <= status < 400:
            return Outcome.REDIRECTED, status
        return (Outcome.DELIVERED if 200 <= status < 300 else Outcome.STATUS_NOT_2XX), status

    def _connection(self, target: Target, address: str, left_s: float) -> HTTPConnection:
        if not target.secure:
            return HTTPConnection(address, target.port, timeout=left_s)
        return HTTPSConnection(
            address,
            target.port,
            timeout=left_s,
            ssl_context=self.tls,
            server_hostname=target.host,
        )


def _host(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port in (80, 443) else f"{host}:{target.port}"


def _cut(sock: socket.socket) -> None:
    """Ends a connection that another thread waits on; of TLS too, without its goodbye."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, ssl.SSLError):
        return Outcome.CERTIFICATE_NOT_ACCEPTED
    if isinstance(error, TimeoutError) or type(error).__name__.endswith("TimeoutError"):
        return Outcome.TIMED_OUT
    if isinstance(error, HTTPException):
        return Outcome.ANSWER_NOT_HTTP
    return Outcome.NOT_CONNECTED
