"""Fetches one weights file: resumed where it broke off, bounded, checked before it is used.

Guarantees: the target appears only whole and with the SHA-256 that was asked for; a transfer
that breaks off is resumed, at most ``TRIES`` times, and only from the same version of the file
(RFC 9110, sections 13.1.5 and 14: ``If-Range`` with a strong entity tag); no more than
``FILE_BYTES_MAX`` bytes are kept, whatever the server says or sends; only https is spoken, and
plain http with this machine itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import urllib3
from urllib3.util import parse_url

from face_engine.catalogue import FILE_BYTES_MAX

TRIES = 5
REDIRECTS_MAX = 5
CHUNK_BYTES = 1 << 16
TIMEOUT = urllib3.Timeout(connect=10, read=30)
UNREACHABLE = (
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.SSLError,
)
LOOPBACK = frozenset({"127.0.0.1", "[::1]", "localhost"})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

OnProgress = Callable[[int, int | None], None]


class DownloadError(Exception):
    """What was wrong with the server, the connection, the disk or what arrived."""


class _BrokenOffError(Exception):
    """Why it did not work this time; it may work the next time."""


@dataclass(slots=True)
class Download:
    """``on_progress`` is called with the bytes that are here and the bytes in all, if known;
    between tries it waits ``pause_s``, then twice that, and so on."""

    url: str
    target: Path
    digest: str
    on_progress: OnProgress = lambda _here, _all: None
    pause_s: float = 0.5
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(timeout=TIMEOUT, retries=False)
    )

    @property
    def part(self) -> Path:
        """What has arrived so far; beside it, in ``.tag``, of which version it is."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def _tag(self) -> Path:
        return self.part.with_suffix(".tag")

    def run(self) -> None:
        """Raises :class:`DownloadError`."""
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch()
            self._finish()
        except OSError as error:
            raise DownloadError(f"{self.target} cannot be written: {error.strerror}") from error
        finally:
            self._pool.clear()

    def _fetch(self) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                self._transfer()
            except UNREACHABLE as error:
                raise DownloadError(f"{self._host} cannot be reached") from error
            except (_BrokenOffError, urllib3.exceptions.HTTPError) as error:
                if attempt == TRIES:
                    why = str(error) if isinstance(error, _BrokenOffError) else "broke off"
                    raise DownloadError(f"{self._host} {why}, {TRIES} times") from error
                time.sleep(self.pause_s * attempt)
            else:
                return

    @property
    def _host(self) -> str:
        return parse_url(self.url).host or "the server"

    def _transfer(self) -> None:
        start = self._resume_at()
        response = self._ask(start)
        try:
            start, size = self._agree(response, start)
            with self.part.open("r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
                for chunk in response.stream(CHUNK_BYTES):
                    if file.tell() + len(chunk) > min(FILE_BYTES_MAX, size or FILE_BYTES_MAX):
                        self._forget()
                        raise DownloadError("the server sends more than it said, or too much")
                    file.write(chunk)
                    self.on_progress(file.tell(), size)
                here = file.tell()
        finally:
            response.close()
        if size is not None and here < size:
            raise _BrokenOffError("broke off")

    def _resume_at(self) -> int:
        if self._tag.is_file() and self.part.is_file():
            return min(self.part.stat().st_size, FILE_BYTES_MAX)
        return 0

    def _ask(self, start: int) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self._tag.read_text()}
        url = self.url
        for _ in range(REDIRECTS_MAX):
            _require_safe(url)
            response = self._pool.request(
                "GET", url, headers=headers, preload_content=False, redirect=False
            )
            location = response.get_redirect_location()
            if not location:
                return response
            response.close()
            url = urljoin(url, location)
        raise DownloadError(f"{self._host} redirects in circles")

    def _agree(self, response: urllib3.BaseHTTPResponse, start: int) -> tuple[int, int | None]:
        """(where to go on, the size of the whole file if the server says one)."""
        if response.status == 206 and start:
            said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if said is None or int(said[1]) != start:
                self._forget()
                raise _BrokenOffError("sent another part than asked for")
            size: int | None = int(said[2])
        elif response.status == 200:
            start, size = 0, _length(response)
            self._forget()
            tag = response.headers.get("ETag", "")
            if tag.startswith('"') and tag.isascii() and tag.isprintable():
                self._tag.write_text(tag)
        elif response.status == 416:
            self._forget()
            raise _BrokenOffError("answered 416")
        elif response.status >= 500:
            raise _BrokenOffError(f"answered {response.status}")
        else:
            raise DownloadError(f"{self._host} answered {response.status}")
        if size is not None and size > FILE_BYTES_MAX:
            self._forget()
            raise DownloadError(f"the file is larger than {FILE_BYTES_MAX >> 20} MiB")
        return start, size

    def _finish(self) -> None:
        digest = sha256()
        with self.part.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            os.fsync(file.fileno())
        if digest.hexdigest() != self.digest:
            self._forget()
            raise DownloadError("what arrived is not the file that the pack names (SHA-256)")
        self.part.replace(self.target)
        self._forget()

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)


def _length(response: urllib3.BaseHTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _require_safe(url: str) -> None:
    try:
        parsed = parse_url(url)
    except urllib3.exceptions.LocationParseError as error:
        raise DownloadError("not a URL") from error
    if parsed.scheme != "https" and not (parsed.scheme == "http" and parsed.host in LOOPBACK):
        raise DownloadError(f"{parsed.host} is not asked over https")
