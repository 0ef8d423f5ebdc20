"""A relay behind HTTP that takes signed requests (RFC 9421, HMAC-SHA256), and signs its answers.

    PUT  {url}   {"open_ms": 5000}   releases the lock for so long; 0 locks it
    GET  {url}                       changes nothing
    answer       {"released": false, "contact": true, "exit": false, "tamper": false}

Both sides sign with one key of 32 bytes: the request its method, authority, path and body digest
(RFC 9530), a time and a nonce, which the relay takes once; the answer its status, its digest and
the same nonce, under another tag, so neither can be played back as the other. Over plain HTTP
others can read when a door is opened, and no more. docs/examples/relay.py is the relay's side.

Guarantees: nothing unsigned is believed; one request at a time, each bounded; a release that was
not answered is followed by a lock.

The caller must have put the key in (``countenance terminal door key set``), and poll.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import urllib3
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import HMAC_SHA256

from terminal_client.drivers.channel import (
    Answered,
    Fault,
    Input,
    LastSensed,
    Link,
    Release,
    Signal,
)
from terminal_client.drivers.settings import HttpConfig
from terminal_client.errors import DriverError, Unreachable, UsageError
from terminal_client.transport import trust

KEY_BYTES = 32
OK = 200
KEPT_AS = "relay"
REQUEST_TAG, ANSWER_TAG = "countenance-relay-request", "countenance-relay-answer"
REQUEST_COVERS = ("@method", "@authority", "@path")
ANSWER_COVERS = ("@status",)
LIVES = timedelta(seconds=10)
BODY_BYTES_MAX = 4096
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 1.0, 1.0
POLL_MS, POLL_AWAY_MS = 200, 2_000
INPUTS = {"contact": Input.CONTACT, "exit": Input.EXIT, "tamper": Input.TAMPER}


@dataclass(slots=True)
class Message:
    """A request, in the shape that http-message-signatures reads."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass(slots=True)
class AnswerMessage:
    """An answer, in that shape."""

    status_code: int
    headers: dict[str, str] = field(repr=False)
    url: str = field(default="", repr=False)


class Signatures:
    """Signs and verifies for either side; a nonce is the caller's to remember."""

    def __init__(self, key_id: str, raw: bytes) -> None:
        keys = MappingKeyResolver(public_keys={key_id: raw}, private_keys={key_id: raw})
        self._key_id = key_id
        self._signer = HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=keys)
        self._verifier = HTTPMessageVerifier(signature_algorithm=HMAC_SHA256, key_resolver=keys)

    def sign(self, message: Message | AnswerMessage, body: bytes, nonce: str) -> None:
        """Adds the headers."""
        answers = isinstance(message, AnswerMessage)
        self._signer.sign(
            message,
            key_id=self._key_id,
            created=datetime.now(UTC),
            nonce=nonce,
            tag=ANSWER_TAG if answers else REQUEST_TAG,
            covered_component_ids=ANSWER_COVERS if answers else REQUEST_COVERS,
            body=body,
        )

    def nonce(self, message: Message | AnswerMessage, body: bytes) -> str | None:
        """The nonce of a message that is signed as it must be, and fresh; else None."""
        answers = isinstance(message, AnswerMessage)
        covered = ANSWER_COVERS if answers else REQUEST_COVERS
        try:
            (found,) = self._verifier.verify(
                message,
                max_age=LIVES,
                expect_tag=ANSWER_TAG if answers else REQUEST_TAG,
                require_components=(*covered, "content-digest"),
                body=body,
            )
        except (HTTPMessageSignaturesException, ValueError):
            return None
        return found.nonce


class HttpRelay:
    open_ms_max = 60_000

    def __init__(
        self,
        config: HttpConfig,
        raw_key: bytes,
        *,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        """Raises :class:`DriverError`; a relay that is away now is waited for."""
        parts = urlsplit(config.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise DriverError("door.http.url is an http or https URL without a query")
        if len(raw_key) != KEY_BYTES:
            raise DriverError(f"the relay's key has {KEY_BYTES} bytes")
        try:
            context = trust(config.ca_file)
        except UsageError as error:
            raise DriverError(str(error)) from error
        self._config, self._now_ms = config, monotonic_ms
        self._signatures = Signatures(config.key_id, raw_key)
        self._pool = urllib3.PoolManager(num_pools=1, retries=False, ssl_context=context)
        self._signals: list[Signal] = []
        self._sensed = LastSensed()
        self._up = False
        self._next_poll_ms = 0

    @property
    def has_contact(self) -> bool:
        return self._config.contact

    def release(self, order: Release) -> None:
        taken = self._exchange("PUT", {"open_ms": order.open_ms})
        if taken is None:
            self._signals.append(Answered(Fault.NO_ANSWER))
        else:
            self._signals.append(Answered(None if taken.get("released") is True else Fault.REFUSED))

    def lock(self) -> None:
        self._exchange("PUT", {"open_ms": 0})

    def signals(self, wait_ms: int) -> list[Signal]:
        if not self._signals:
            if self._now_ms() >= self._next_poll_ms:
                self._exchange("GET", None)
            else:
                time.sleep(wait_ms / 1000)
        taken, self._signals = self._signals, []
        return taken

    def close(self) -> None:
        if self._up:
            self.lock()
        self._pool.clear()

    def _exchange(self, method: str, said: dict[str, int] | None) -> dict[str, Any] | None:
        body = b"" if said is None else json.dumps(said).encode()
        nonce = secrets.token_urlsafe(16)
        message = Message(method, self._config.url, {"Content-Type": "application/json"})
        self._signatures.sign(message, body, nonce)
        state: dict[str, Any] | None = None
        with suppress(Unreachable):
            state = self._understand(self._send(message, body), nonce)
        self._next_poll_ms = self._now_ms() + (POLL_AWAY_MS if state is None else POLL_MS)
        self._link(state is not None)
        for name, what in INPUTS.items():
            if state is not None and isinstance(state.get(name), bool):
                self._signals += self._sensed.change(what, state[name])
        return state

    def _send(self, message: Message, body: bytes) -> tuple[AnswerMessage, bytes]:
        try:
            answer = self._pool.request(
                message.method,
                message.url,
                body=body,
                headers=message.headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
                redirect=False,
                preload_content=False,
            )
            try:
                content = answer.read(BODY_BYTES_MAX)
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unreachable("the relay does not answer") from error
        return AnswerMessage(answer.status, dict(answer.headers)), content

    def _understand(self, answer: tuple[AnswerMessage, bytes], nonce: str) -> dict[str, Any]:
        message, body = answer
        signed = self._signatures.nonce(message, body) or ""
        if not secrets.compare_digest(signed, nonce) or message.status_code != OK:
            raise Unreachable("the answer is not the relay's")
        try:
            state = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreachable("the relay's answer is not understood") from error
        if not isinstance(state, dict):
            raise Unreachable("the relay's answer is not understood")
        return state

    def _link(self, up: bool) -> None:
        if up != self._up:
            self._up = up
            self._sensed.forget()
            self._signals.append(Link(up, None if up else Fault.NOT_CONNECTED))
