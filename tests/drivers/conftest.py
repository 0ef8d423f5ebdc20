from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from terminal_client.drivers.osdp_keys import LineKeys, new_key
from terminal_client.keystore import Keystore
from tests.drivers.line import TappedLine


@pytest.fixture
def line() -> Iterator[TappedLine]:
    joined = TappedLine()
    yield joined
    joined.close()


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "home")


@pytest.fixture
def keys(keystore: Keystore) -> LineKeys:
    installed = LineKeys(keystore)
    installed.proved(new_key())
    return installed
