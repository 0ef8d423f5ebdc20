"""Processors to speak with: a host of ISO 8583 and localstripe, each a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from service.funding.iso8583.host import Host
from service.funding.iso8583.line import Address
from service.funding.stripe import Stripe
from tests.ceremony.conftest import house
from tests.postgres.conftest import database, server, template, url

__all__ = ["database", "house", "server", "template", "url"]

ROOT = Path(__file__).parents[2]
LOCALSTRIPE, GUNICORN = "localstripe==1.15.10", "gunicorn==23.0.0"
START_MAX_S = 60
KEY = "sk_test_12345"


@dataclass
class Bank:
    """The host's process, and its ways to be told what to do and asked what it knows."""

    process: subprocess.Popen[str]
    port: int
    hosts: list[Host] = field(default_factory=list)

    def behave(self, *behaviours: str) -> None:
        assert self._say(" ".join(behaviours)) == "ok"

    @property
    def books(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._say("dump"))
        return found

    def _say(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def host(self, *, answer_timeout_s: float = 0.5) -> Host:
        address = Address(host="127.0.0.1", port=self.port, tls=False)
        self.hosts.append(Host(address, acquirer="42", answer_timeout_s=answer_timeout_s))
        return self.hosts[-1]


@contextmanager
def open_bank(*behaviours: str) -> Iterator[Bank]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.funding.host", *behaviours],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        bank = Bank(process, int(process.stdout.readline()))
        yield bank
        for host in bank.hosts:
            host.close()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def bank() -> Iterator[Bank]:
    with open_bank() as opened:
        yield opened


def localstripe_command() -> list[str]:
    """An environment of its own, made once by uv: its licence keeps it out of this one."""
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    if not Path(uv).exists():
        pytest.skip("there is no uv to install localstripe with")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "countenance-tests" / f"{LOCALSTRIPE}+{GUNICORN}".replace("==", "-")
    program = folder / "bin" / "gunicorn"
    if not (folder / "ready").exists():
        steps = (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"),
             LOCALSTRIPE, GUNICORN],
        )  # fmt: skip
        for step in steps:
            if subprocess.run(step, check=False, timeout=300).returncode:
                pytest.skip("localstripe cannot be installed")
        (folder / "ready").touch()
    return [str(program)]


@dataclass
class LocalStripe:
    url: str

    def processor(self) -> Stripe:
        return Stripe(KEY, url=self.url)

    def ask(self, method: str, path: str, **fields: str) -> dict[str, Any]:
        """Stripe's side as its owner sees it."""
        headers = {"Authorization": f"Bearer {KEY}"}
        with urllib3.PoolManager() as pool:
            if fields:
                answer = pool.request_encode_body(
                    method, self.url + path, fields, headers, encode_multipart=False
                )
            else:
                answer = pool.request(method, self.url + path, headers=headers)
        found: dict[str, Any] = answer.json()
        assert answer.status < 300, found
        return found

    def card(self, number: str = "4242424242424242") -> str:
        """A payment method, as Stripe's own form would have made it."""
        fields = {"type": "card", "card[number]": number, "card[exp_month]": "12",
                  "card[exp_year]": "2034", "card[cvc]": "123"}  # fmt: skip
        return str(self.ask("POST", "/v1/payment_methods", **fields)["id"])

    def intents(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/payment_intents?limit=100")["data"]
        return found

    def refunds(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/refunds?limit=100")["data"]
        return found

    def forget(self) -> None:
        with urllib3.PoolManager() as pool:
            assert pool.request("DELETE", f"{self.url}/_config/data").status == 200


@contextmanager
def open_localstripe(folder: Path) -> Iterator[LocalStripe]:
    """gunicorn binds it to loopback: its own command listens everywhere, and knows no other way."""
    command = localstripe_command()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--bind", f"127.0.0.1:{port}", "--worker-class", "aiohttp.GunicornWebWorker",
                 "--log-level", "error", "localstripe.server:app"]  # fmt: skip
    process = subprocess.Popen([*command, *arguments], cwd=folder, start_new_session=True)
    try:
        deadline = time.monotonic() + START_MAX_S
        while True:
            assert process.poll() is None, "localstripe ended"
            assert time.monotonic() < deadline, "localstripe does not listen"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield LocalStripe(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def _localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStripe]:
    with open_localstripe(tmp_path_factory.mktemp("localstripe")) as opened:
        yield opened


@pytest.fixture
def localstripe(_localstripe: LocalStripe) -> LocalStripe:
    _localstripe.forget()
    return _localstripe
