"""The signed HTTP relay against the reference relay of docs/examples."""

from __future__ import annotations

import importlib.util
import json
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from terminal_client.drivers import http_relay
from terminal_client.drivers.channel import (
    Answered,
    Fault,
    Input,
    Link,
    Release,
    Sensed,
    Signal,
)
from terminal_client.drivers.http_relay import AnswerMessage, HttpRelay, Message, Signatures
from terminal_client.drivers.settings import HttpConfig
from terminal_client.errors import DriverError

EXAMPLE = Path(__file__).parents[2] / "docs/examples/relay.py"
KEY = secrets.token_bytes(32)


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("relay_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Box:
    """The reference relay, its door, and all that it was sent."""

    relay: Any
    port: int
    is_open: threading.Event
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/front"

    def sends(self, method: str, headers: dict[str, str], body: bytes, path: str = "/front") -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path, body, headers)
        status = connection.getresponse().status
        connection.close()
        return status


@pytest.fixture
def box() -> Iterator[Box]:
    module, is_open = example(), threading.Event()
    relay = module.Relay(is_open.is_set)
    server = module.serve(relay, KEY, "door", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Box(relay, server.server_port, is_open)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ours(box: Box) -> Iterator[HttpRelay]:
    driver = HttpRelay(HttpConfig(url=box.url, contact=True), KEY)
    yield driver
    driver.close()


def heard(driver: HttpRelay, wanted: Signal) -> list[Signal]:
    got: list[Signal] = []
    for _ in range(200):
        got += driver.signals(10)
        if wanted in got:
            return got
    raise AssertionError(f"never heard {wanted}")


def signed(body: bytes, url: str, nonce: str = "n", key: bytes = KEY) -> dict[str, str]:
    message = Message("PUT", url, {})
    Signatures("door", key).sign(message, body, nonce)
    return message.headers


def test_a_release_is_taken_and_the_door_is_seen(box: Box, ours: HttpRelay) -> None:
    got = heard(ours, Link(True))
    assert Sensed(Input.CONTACT, False) in got
    ours.release(Release(open_ms=5_000))
    assert ours.signals(0) == [Answered()]
    assert box.relay.released
    box.is_open.set()
    heard(ours, Sensed(Input.CONTACT, True))
    ours.lock()
    assert not box.relay.released


def test_a_request_is_taken_once(box: Box) -> None:
    body = b'{"open_ms": 1000}'
    headers = signed(body, box.url)
    assert [box.sends("PUT", headers, body) for _ in range(2)] == [200, 401]


@pytest.mark.parametrize("what", ["body", "path", "method", "key", "tag", "stripped", "digest"])
def test_what_was_changed_on_the_way_opens_nothing(box: Box, what: str) -> None:
    body = b'{"open_ms": 0}'
    headers = signed(body, box.url, key=bytes(32) if what == "key" else KEY)
    sent, path, method = body, "/front", "PUT"
    if what == "body":
        sent = b'{"open_ms": 9}'
    elif what == "path":
        path = "/back"
    elif what == "method":
        method = "GET"
    elif what == "tag":
        answer = AnswerMessage(200, {})
        Signatures("door", KEY).sign(answer, body, "n")
        headers = answer.headers
    elif what == "stripped":
        headers = {}
    elif what == "digest":
        del headers["Content-Digest"]
    assert box.sends(method, headers, sent, path) == 401
    assert not box.relay.released


def test_an_old_request_opens_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    class LongAgo(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(datetime.now(UTC).timestamp() - 60, UTC)

    body = b'{"open_ms": 1000}'
    monkeypatch.setattr(http_relay, "datetime", LongAgo)
    headers = signed(body, box.url)
    monkeypatch.undo()
    assert box.sends("PUT", headers, body) == 401


@pytest.mark.parametrize("open_ms", ["-1", "60001", "true", '"5"', "1.5", "null"])
def test_a_signed_request_that_asks_for_nonsense(box: Box, open_ms: str) -> None:
    body = f'{{"open_ms": {open_ms}}}'.encode()
    assert box.sends("PUT", signed(body, box.url), body) == 400
    assert not box.relay.released


def test_a_relay_with_another_key_is_not_believed(box: Box) -> None:
    driver = HttpRelay(HttpConfig(url=box.url), bytes(31) + b"x")
    driver.release(Release(open_ms=1_000))
    assert driver.signals(0) == [Answered(Fault.NO_ANSWER)]
    assert not box.relay.released
    driver.close()


def test_an_answer_that_is_played_back_is_not_believed(ours: HttpRelay) -> None:
    answer = AnswerMessage(200, {})
    body = json.dumps({"released": True}).encode()
    Signatures("door", KEY).sign(answer, body, "an older nonce")
    ours._send = lambda *_: (answer, body)  # type: ignore[method-assign]
    ours.release(Release(open_ms=1_000))
    assert ours.signals(0) == [Answered(Fault.NO_ANSWER)]


def test_a_relay_that_went_away_is_no_link() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    driver = HttpRelay(HttpConfig(url=f"http://127.0.0.1:{port}"), KEY)
    driver.release(Release(open_ms=1_000))
    assert driver.signals(0) == [Answered(Fault.NO_ANSWER)]
    driver.close()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "relay", "http://relay/?a=1"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(DriverError):
        HttpRelay(HttpConfig(url=url), KEY)
