from __future__ import annotations

import subprocess
import sys

import pytest

SERVICE = ("flask", "psycopg", "celery", "sqlalchemy", "service")
DOORS = ("osdp_sys", "paho", "gpiozero", "http_message_signatures")
DEVICE = ("cv2", "onnxruntime", "insightface", "urllib3", "terminal_client")
RUN = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from countenance.cli import main
main({arguments!r})
"""


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        *((["terminal", name, "--help"], SERVICE) for name in ("register", "pay", "reconcile")),
        *(
            (["terminal", name, "--help"], DEVICE)
            for name in ("add", "list", "revoke", "accept-camera")
        ),
        (["terminal", "door", "run", "--help"], SERVICE + DOORS),
        (["terminal", "--help"], SERVICE + DEVICE),
    ],
)
def test_each_side_runs_without_the_others_packages(
    arguments: list[str], missing: tuple[str, ...]
) -> None:
    code = RUN.format(missing=missing, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_a_missing_package_is_named_with_its_extra() -> None:
    code = RUN.format(missing=["psycopg"], arguments=["terminal", "list"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "pip install 'countenance[service]'" in done.stderr
