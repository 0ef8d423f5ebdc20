"""The real till process, killed (SIGKILL) at each exchange with the service: one final answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import cv2
import pytest
import skimage.data
import urllib3
from flask import Flask, Response, request
from werkzeug.serving import make_server

from countenance.stage import Stage
from face_engine.engine import Engine
from service.ledger.check import check
from terminal_client.camera import Stills
from terminal_client.config import Config, write_config
from terminal_client.device import Device
from terminal_client.enrolment import CONSENT_VERSION, enrolment
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox
from terminal_client.terminal import Terminal
from terminal_client.transport import CHALLENGE, HttpTransport
from wire.ids import AccountId, TransferId
from wire.messages import TerminalKind
from wire.money import Money

START_S, WAIT_S = 90.0, 90.0
CLAIM = "card:till"


@dataclass
class Line:
    """The way to the service; calls ``cut`` before or after an exchange of ``path``."""

    url: str
    here: str = ""
    path: str = ""
    after: bool = False
    cut: Callable[[], None] = lambda: None
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def app(self) -> Flask:
        app = Flask("line")

        @app.post("/v1/<name>")
        def forward(name: str) -> Response:
            hit = request.path == self.path
            if hit:
                self.path = ""
            if hit and not self.after:
                self.cut()
            answer = self._pool.request(
                "POST", self.url + request.path, body=request.get_data(),
                headers={"Content-Type": str(request.content_type)},
            )  # fmt: skip
            if hit and self.after:
                self.cut()
            return Response(answer.data, answer.status, content_type="application/cose")

        return app


@dataclass
class Process:
    """``countenance terminal till`` of one home."""

    home: Path
    token: str
    port: int
    running: subprocess.Popen[bytes] | None = None
    _pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "countenance.cli", "terminal", "till",
                 "--home", str(self.home), "--port", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            with suppress(urllib3.exceptions.HTTPError):
                if self.ask("GET", "/v1/payments")[0] == 200:
                    return
            assert self.running.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill(self) -> None:
        if self.running is not None and self.running.poll() is None:
            os.kill(self.running.pid, signal.SIGKILL)
            self.running.wait()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        answer = self._pool.request(
            method, f"http://127.0.0.1:{self.port}{path}", json=body, timeout=40,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        return answer.status, answer.json()

    def begin(self, payment: str) -> None:
        """The till asks until it is told that the payment was begun, or nobody is there any more
        to tell it."""
        wish = {"id": payment, "amount_minor": 500, "currency": "EUR", "claim": CLAIM}
        deadline = time.monotonic() + WAIT_S
        with suppress(urllib3.exceptions.HTTPError):
            while self.ask("POST", "/v1/payments", wish)[0] == 409:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def final(self, payment: str) -> dict[str, object]:
        deadline = time.monotonic() + WAIT_S
        while True:
            status, found = self.ask("GET", f"/v1/payments/{payment}?wait_s=10")
            if status == 404 or found.get("final"):
                return found
            assert time.monotonic() < deadline


@pytest.fixture
def line(stage: Stage) -> Iterator[Line]:
    line = Line(stage.url)
    server = make_server("127.0.0.1", 0, line.app(), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    line.here = f"http://127.0.0.1:{server.server_port}"
    yield line
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def process(stage: Stage, line: Line, tmp_path: Path) -> Iterator[Process]:
    """A customer with money, and a store's terminal that looks at the customer's picture."""
    pixels = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    picture = tmp_path / "customer.png"
    cv2.imwrite(str(picture), pixels)
    operations, engine, account = stage.house.operations, Engine.open("pip"), AccountId.new()
    _, code = operations.add_terminal(TerminalKind.ENROLMENT, "Desk")
    with Terminal.open(tmp_path / "desk", HttpTransport(stage.url), engine) as desk:
        context = enrolment(desk.register(code, TerminalKind.ENROLMENT), account, CONSENT_VERSION)
        assert desk.attempt(context, CLAIM, Stills(pixels), pin="2468").approved
    money = Money(amount_minor=10_000, currency="EUR")
    assert operations.top_up(account, money) is None
    merchant = operations.add_merchant("Shop", "EUR")
    _, code = operations.add_terminal(TerminalKind.STORE, "Till", merchant=merchant)
    home = tmp_path / "store"
    with Device(Keystore(home), Outbox(home / "outbox.db"), HttpTransport(stage.url)) as device:
        device.register(code, TerminalKind.STORE)
    write_config(home, Config(service=line.here, camera=str(picture)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = Process(home, Keystore(home).till_token(), port)
    yield process
    process.kill()


def test_killed_at_an_exchange_it_still_gives_one_final_answer(
    stage: Stage, line: Line, process: Process
) -> None:
    process.start()
    line.cut = process.kill
    points = [(ATTEMPT, False, "approved"), (ATTEMPT, True, "approved"),
              (CONFIRM, False, "approved"), (CHALLENGE, True, "not_charged")]  # fmt: skip
    paid = set()
    for number, (path, after, expected) in enumerate(points):
        line.path, line.after = path, after
        process.begin(f"p-{number}")
        assert process.running is not None
        process.running.wait(WAIT_S)
        assert process.running.returncode == -signal.SIGKILL
        process.start()
        found = process.final(f"p-{number}")
        assert found["state"] == expected, found
        process.begin(f"p-{number}")
        assert process.final(f"p-{number}") == found
        if expected == "approved":
            paid.add(TransferId.parse(str(found["transfer"])).raw)
    with stage.house.database.transaction() as conn:
        rows = conn.execute("SELECT transfer_id FROM transfers WHERE kind = 'payment'").fetchall()
        assert {row[0] for row in rows} == paid
        assert len(paid) == 3
        assert check(conn) == ()
    assert CLAIM not in (process.home / "log").read_text()
