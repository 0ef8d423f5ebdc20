"""``countenance token`` as an operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from countenance.cli import main
from wire.ids import MerchantId


@pytest.fixture(autouse=True)
def _home(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*arguments])
    return result.exit_code, result.output


def test_a_token_is_shown_once_listed_and_revoked() -> None:
    code, printed = run("token", "add", "till", "--scope", "doors:read", "--json")
    assert code == 0
    made = json.loads(printed.splitlines()[-1])
    assert made["secret"].startswith("cnt_")
    _, listed = run("token", "list", "--json")
    assert made["secret"] not in listed
    (found,) = json.loads(listed)
    assert (found["token"], found["name"], found["state"]) == (made["token"], "till", "valid")
    assert found["scopes"] == ["doors:read"]
    assert run("token", "revoke", made["token"])[0] == 0
    code, printed = run("token", "revoke", made["token"])
    assert code == 1
    assert json.loads(run("token", "list", "--json")[1])[0]["state"] == "revoked"
    assert "revoked" in run("token", "list")[1]


def test_wrong_wishes_are_refused() -> None:
    foreign = str(MerchantId.new())
    for code, arguments in (
        (2, ("till",)),
        (2, ("till", "--scope", "everything")),
        (2, ("till", "--scope", "doors:read", "--days", "0")),
        (2, ("", "--scope", "doors:read")),
        (2, ("till", "--scope", "audit:read", "--merchant", foreign)),
        (1, ("till", "--scope", "payments:read", "--merchant", foreign)),
    ):
        assert run("token", "add", *arguments)[0] == code
    assert json.loads(run("token", "list", "--json")[1]) == []
