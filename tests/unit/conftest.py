"""Unit tests touch no network: a socket that is opened fails the test.

Local ones are let through: the watch over another test's embedded PostgreSQL opens them.
"""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket


@pytest.fixture(autouse=True)
def _no_sockets() -> None:
    disable_socket(allow_unix_socket=True)
