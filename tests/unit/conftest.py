"""Unit tests touch no network: a socket that is opened fails the test.

But for sockets of this machine's own files: other tests' PostgreSQL is watched from a thread.
"""

from __future__ import annotations

import pytest
from pytest_socket import disable_socket


@pytest.fixture(autouse=True)
def _no_sockets() -> None:
    disable_socket(allow_unix_socket=True)
