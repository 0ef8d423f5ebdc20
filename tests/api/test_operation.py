"""Metrics and logs: what they say, and what they never say."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
from base64 import b32encode, b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from service.db import Database
from service.keys import KeyRing
from service.operators.acts import Operations
from service.operators.tokens import Scope
from tests.api.client import Client, problem_of
from tests.ceremony.house import House, enrol, face, payment, probe, withdrawal
from wire.ids import AccountId
from wire.messages import TerminalKind

STORE, ATM = TerminalKind.STORE, TerminalKind.ATM
READY_TIMEOUT_S = 60.0


def metrics(house: House) -> str:
    return house.client().get("/metrics").text


def test_decisions_are_counted_by_names_that_are_few(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 500)
    for number in range(3):
        store.attempt(payment(house, 100 + number), probe(1 + number % 2, claim="card:1"))
    text = metrics(house)
    for line in (
        'countenance_decisions_total{outcome="approved",purpose="payment",reason=""} 2.0',
        'countenance_decisions_total{outcome="denied",purpose="payment",reason="not_verified"} 1.0',
        'countenance_decisions_total{outcome="approved",purpose="enrolment",reason=""} 1.0',
        "countenance_authorize_seconds_count 4.0",
        "countenance_challenges_total 4.0",
        "countenance_population_exceeded 0.0",
    ):
        assert line in text.splitlines()
    assert str(account) not in text
    assert str(store.terminal) not in text


def test_without_a_database_everything_is_refused_and_counted(house: House, api: Client) -> None:
    house.database.close()
    answer = api.get("/accounts")
    assert (answer.status_code, problem_of(answer)) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    text = metrics(house)
    assert "countenance_unavailable_total 1.0" in text
    assert "countenance_population_exceeded" not in text


def test_an_unforeseen_error_is_told_and_logged_by_type_only(
    house: House, api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise KeyError("card:4711")

    monkeypatch.setattr("service.operators.door_records.list_doors", explode)
    answer = api.get("/doors")
    assert (answer.status_code, problem_of(answer)) == (500, "internal")
    assert "4711" not in answer.text + caplog.text
    said = [json.loads(record.getMessage()) for record in caplog.records]
    (found,) = [line for line in said if line["event"] == "unforeseen"]
    assert (found["error"], found["request_id"]) == ("KeyError", answer.json["request_id"])


def test_each_request_is_one_line(
    house: House, api: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "countenance.http")
    account = AccountId.new()
    api.get(f"/accounts/{account}?x=1")
    house.client().open("/nothing-of-ours", method="CUSTOM")
    first, second = (json.loads(record.getMessage()) for record in caplog.records)
    assert set(first) == {"at", "event", "level", "method", "ms", "request_id", "route", "status"}
    assert (first["method"], first["status"]) == ("GET", 400)
    assert first["route"] == "/api/v1/accounts/<account>"
    assert (second["method"], second["route"], second["status"]) == ("other", "none", 404)


def test_no_secret_is_ever_logged(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client.of(house, *Scope)
    account, atm = enrol(house, 31337, pin="86420"), house.add_terminal(ATM)
    house.top_up(account, 5000)
    for pin, like in (("86420", 0.9), ("97531", 0.9), ("86420", 0.1)):
        atm.attempt(withdrawal(), probe(31337, like=like, pin=pin))
    atm.send("/v1/attempts", b"card:31337")
    body = {"name": client.secret, client.secret: "86420"}
    client.post(f"/doors?{client.secret}=card:31337", json=body)
    client.post("/doors", data=client.secret, content_type="application/json")
    client.get(f"/accounts/{client.secret}", headers={"X-Note": "card:31337"})
    house.client().get("/v1/card:31337", headers={"Authorization": f"Bearer {client.secret}x"})
    house.client().open("/", method=client.secret)
    out, err = capfd.readouterr()
    said = caplog.text + out + err
    assert said.count('"event": "request"') >= 15
    secrets = [client.secret.encode(), b"31337", b"86420", b"97531", face(31337, like=0.9)[:24]]
    for secret in secrets:
        for form in (
            secret.decode("latin-1"),
            secret.hex(),
            b64encode(secret).decode().rstrip("="),
            urlsafe_b64encode(secret).decode().rstrip("="),
            b32encode(secret).decode().rstrip("="),
            repr(secret)[2:-1],
        ):
            assert form not in said


@pytest.fixture
def served(url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """``countenance serve`` with two workers: its address, and the file of what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    printed, scratch = tmp_path / "printed", tmp_path / "scratch"
    scratch.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "COUNTENANCE_HOME": str(tmp_path / "home"),
        "COUNTENANCE_DATABASE_URL": url,
        "COUNTENANCE_MODE": "development",
        "TMPDIR": str(scratch),
    }
    command = [sys.executable, "-m", "countenance.cli", "serve", "--workers", "2"]
    with printed.open("wb") as file:
        server = subprocess.Popen(
            [*command, "--port", str(port)], stdout=file, stderr=file, env=environment
        )
    try:
        yield f"http://127.0.0.1:{port}", printed
    finally:
        server.terminate()
        assert server.wait(30) == 0
    assert list(scratch.iterdir()) == []


def test_two_workers_answer_with_the_same_metrics(
    served: tuple[str, Path], database: Database, tmp_path: Path
) -> None:
    address, printed = served

    def ask(path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager(retries=False, timeout=10.0) as pool:
            return pool.request("GET", address + path, headers=headers)

    wait_until_ready(lambda: ask("/readyz").status == 200)
    keys = KeyRing.open(tmp_path / "home" / "keys", log_name="localhost/countenance")
    _, secret = Operations(database, keys).add_token(
        "tests", {Scope.DOORS_READ}, merchant=None, days=1
    )
    statuses = [ask("/api/v1/doors", Authorization=f"Bearer {secret}").status for _ in range(200)]
    refused = statuses.count(429)
    assert set(statuses) == {200, 429}
    line = f'countenance_rate_limited_total{{sender="token"}} {float(refused)}'
    for _ in range(12):
        assert line in ask("/metrics").data.decode().splitlines()
    folders = list((tmp_path / "home" / "metrics").iterdir())
    counters = [found.name for folder in folders for found in folder.glob("counter_*.db")]
    assert len(counters) == 2
    said = printed.read_text()
    assert secret not in said
    lines = [json.loads(each) for each in said.splitlines() if each.startswith("{")]
    assert sum(each["route"] == "/api/v1/doors" for each in lines) == 200


def wait_until_ready(ready: object) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail("the service was not ready in time")
