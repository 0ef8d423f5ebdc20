from __future__ import annotations

import pytest

from tests.processes.conftest import home, stage

__all__ = ["home", "stage"]

ENTRIES = 45


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--entries", type=int, default=ENTRIES, help="Of all three doors together.")
