"""The short form of ``make torture``, and what it stands on."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from terminal_client.errors import Unreachable
from terminal_client.transport import HttpTransport
from tests.torture.run import MACHINES, Plan, draw_strikes, set_scene

PARTS = ["postgresql", "service", "worker", "broker"]
ANSWER = b"HTTP/1.1 200 OK\r\nserver: x\r\ncontent-length: 5\r\ndate: now\r\n\r\nhello"


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="countenance-torture-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_killed_and_cut_off_everywhere_nothing_is_lost_and_nothing_done_twice(home: Path) -> None:
    plan = Plan(seed=7, payments=120, withdrawals=30, kills=1)
    with set_scene(home, plan) as scene:
        outcome = scene.run()
    assert outcome.findings == []
    assert outcome.attempts == 150
    assert set(outcome.strikes.values()) == {1}
    assert set(outcome.strikes) <= set(PARTS)
    assert outcome.terminals["power cut"] > 5
    assert outcome.network.total() - outcome.network["none"] > 20
    assert outcome.withdrawals["expired"] == MACHINES, "each lost its disk once"


def test_a_seed_gives_the_same_strikes_in_the_same_order() -> None:
    plans = [Plan(seed=seed, payments=2000, withdrawals=300, kills=10) for seed in (1, 1, 2)]
    first, again, other = (draw_strikes(plan, PARTS) for plan in plans)
    assert first == again != other
    assert sorted({strike.part for strike in first}) == sorted(PARTS)
    assert len(first) == 40
    assert any(a.after == b.after for a, b in pairwise(first))


def test_an_answer_that_is_cut_off_anywhere_is_none() -> None:
    def serve(server: socket.socket) -> None:
        for length in range(len(ANSWER) + 1):
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(ANSWER[:length])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, args=(server,))
        thread.start()
        line = HttpTransport(f"http://127.0.0.1:{server.getsockname()[1]}")
        for _ in ANSWER:
            with pytest.raises(Unreachable):
                line.exchange("/v1/attempts", b"evidence", timeout_s=5)
        assert line.exchange("/v1/attempts", b"evidence", timeout_s=5).body == b"hello"
        thread.join()
