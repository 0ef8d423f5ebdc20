"""The real kiosk process of each kind: it serves its page to who knows the path, and ends."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from countenance.stage import Stage
from terminal_client.config import FILE_NAME, Config, write_config
from terminal_client.device import Device
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.transport import HttpTransport
from wire.messages import TerminalKind

START_S, STOP_S = 90.0, 30.0
SETTINGS = """
[store]
till_port = {till}
[atm]
notes = {{"50 EUR" = 10}}
[kiosk]
name = "Corner Shop"
language = "es"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def register(stage: Stage, home: Path, kind: TerminalKind) -> None:
    operations = stage.house.operations
    merchant = operations.add_merchant("Shop", "EUR") if kind is TerminalKind.STORE else None
    door = operations.add_door("Front") if kind is TerminalKind.DOOR else None
    _, code = operations.add_terminal(kind, kind.name, merchant=merchant, door=door)
    with Device(Keystore(home), Outbox(home / "outbox.db"), HttpTransport(stage.url)) as device:
        device.register(code, kind)


@pytest.mark.parametrize("kind", list(TerminalKind))
def test_it_serves_its_page_and_ends_with_sigterm(
    stage: Stage, tmp_path: Path, kind: TerminalKind
) -> None:
    home, till = tmp_path / "home", free_port()
    register(stage, home, kind)
    write_config(home, Config(service=stage.url, camera="browser"))
    with (home / FILE_NAME).open("a") as file:
        file.write(SETTINGS.format(till=till))
    opener, log = home / "kiosk.html", home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "countenance.cli", "terminal", "kiosk",
             "--home", str(home), "--port", str(free_port())],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        while not opener.exists() or not opener.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert stat.S_IMODE(opener.stat().st_mode) == 0o600
        url = re.findall(r"url=(http://127\.0\.0\.1:\d+/s/[\w-]+/)", opener.read_text())[0]
        pool = urllib3.PoolManager(retries=False, timeout=10)
        page = pool.request("GET", url)
        assert page.status == 200
        assert b'lang="es"' in page.data
        assert b'data-camera="ws://127.0.0.1:' in page.data
        assert "ws://127.0.0.1:" in page.headers["Content-Security-Policy"]
        assert pool.request("GET", url[:-3] + "xx/").status == 404
        if kind is TerminalKind.STORE:
            answer = pool.request("GET", f"http://127.0.0.1:{till}/v1/payments")
            assert answer.status == 401
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)
    assert process.returncode == 0, log.read_text()
