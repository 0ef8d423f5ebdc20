"""A funding source by the API and by command: what is entered shows nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from countenance.cli import main
from service.ledger import sources
from tests.api.client import Client, problem_of
from tests.ceremony.house import House, enrol
from wire.ids import AccountId

CARD = {"processor": "iso8583", "card_number": "4242 4242 4242 4242", "card_expiry": "12/34"}


def test_a_card_is_attached_sealed_and_detached(api: Client, house: House) -> None:
    account = enrol(house, 1)
    path = f"/accounts/{account}/funding-source"
    for _ in range(2):
        answer = api.send("PUT", path, json=CARD)
        assert answer.json == {"account": str(account), "processor": "iso8583"}
    with house.database.transaction() as conn:
        stored = sources.find_source(conn, account)
        acts = conn.execute("SELECT leaf FROM audit_entries").fetchall()
    assert stored is not None
    assert b"4242" not in stored.sealed
    assert not any(b"4242" in leaf for (leaf,) in acts)
    assert api.send("DELETE", path).status_code == 204
    assert problem_of(api.send("DELETE", path)) == "not_found"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"card_number": "4242 4242 4242 4241"}, "source_not_accepted"),
        ({"card_number": None}, "source_not_accepted"),
        ({"card_expiry": "00/34"}, "source_not_accepted"),
        ({"payment_method": "pm_1"}, "source_not_accepted"),
        ({"processor": "stripe"}, "source_not_accepted"),
        ({"processor": "bank"}, "invalid"),
        ({"pin": "1"}, "invalid"),
        (
            {"processor": "stripe", "payment_method": "pm_1", "card_number": None,
             "card_expiry": None},
            "processor_missing",
        ),
    ],
)  # fmt: skip
def test_what_is_not_a_source_is_refused_and_not_quoted(
    api: Client, house: House, change: dict[str, str | None], code: str
) -> None:
    answer = api.send("PUT", f"/accounts/{enrol(house, 1)}/funding-source", json=CARD | change)
    assert problem_of(answer) == code
    assert b"4242" not in answer.data


def test_who_is_unknown_or_erased_gets_none(api: Client, house: House) -> None:
    unknown = api.send("PUT", f"/accounts/{AccountId.new()}/funding-source", json=CARD)
    assert problem_of(unknown) == "not_found"
    account = enrol(house, 1)
    house.operations.erase_account(account)
    erased = api.send("PUT", f"/accounts/{account}/funding-source", json=CARD)
    assert problem_of(erased) == "account_erased"


def test_the_command_asks_for_a_card_unseen(
    house: House, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = str(enrol(house, 1))
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))
    attach = ["account", "attach-source", account]
    entered = "4242424242424242\n12/34\n"
    told = CliRunner().invoke(main, [*attach, "--card"], input=entered)
    assert told.exit_code == 1
    assert "processor_missing" in told.output
    assert "4242" not in told.output
    for wrong in ([], ["--card", "--stripe", "pm_1"]):
        assert CliRunner().invoke(main, [*attach, *wrong], input=entered).exit_code == 2
    wrong_card = CliRunner().invoke(main, [*attach, "--card"], input="4242\n12/34\n")
    assert wrong_card.exit_code == 2
    detach = CliRunner().invoke(main, ["account", "detach-source", account])
    assert detach.exit_code == 1
