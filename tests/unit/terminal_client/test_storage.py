"""Storage that is full or shared: refused before anything is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from terminal_client.errors import InUse, StorageError
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, CONFIRM, Outbox, Waiting
from wire.ids import AttemptId

FILL = """
import resource, sys
from pathlib import Path
from terminal_client.errors import StorageError
from terminal_client.keystore import Keystore
from terminal_client.outbox import ATTEMPT, Outbox, Waiting
from wire.ids import AttemptId

home = Path(sys.argv[1])
keystore, outbox = Keystore(home), Outbox(home / "outbox.db")
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
stored = 0
try:
    while stored < 100:
        outbox.put(Waiting(AttemptId.new(), ATTEMPT, bytes(5000)))
        stored += 1
except StorageError:
    pass
print(stored, len(outbox.waiting()))
outbox.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 40_000))
try:
    keystore.next_counter()
except StorageError:
    print("refused")
"""


def test_what_did_not_fit_was_not_stored_and_the_rest_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(home)], capture_output=True, text=True, check=True
    )
    (stored, waiting), refused = done.stdout.splitlines()[0].split(), done.stdout.splitlines()[1]
    assert 0 < int(stored) < 100
    assert (stored, refused) == (waiting, "refused")
    outbox = Outbox(home / "outbox.db")
    assert len(outbox.waiting()) == int(stored)
    outbox.close()
    assert Keystore(home).next_counter() == 1


def test_one_process_at_a_time_has_the_outbox(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    with pytest.raises(InUse, match="another process"):
        Outbox(tmp_path / "outbox.db")
    message = Waiting(AttemptId.new(), ATTEMPT, b"raw")
    first.put(message)
    follow = Waiting(message.attempt, CONFIRM, b"word")
    first.swap(message, follow)
    first.close()
    second = Outbox(tmp_path / "outbox.db")
    assert second.waiting() == [follow]
    second.close()


def test_a_message_is_put_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    message = Waiting(AttemptId.new(), ATTEMPT, b"raw")
    outbox.put(message)
    with pytest.raises(StorageError):
        outbox.put(message)
    assert outbox.waiting() == [message]
    outbox.close()


def test_a_counter_never_goes_back(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "home")
    assert [keystore.next_counter() for _ in range(3)] == [1, 2, 3]
    assert Keystore(tmp_path / "home").next_counter() == 4
