"""``countenance account link`` as somebody at the counter uses it, and the demo's own link."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from countenance.cli import main
from countenance.demo import Shop
from countenance.house import open_house
from service.db import Database
from tests.ceremony.house import House, enrol
from tests.me.customer import Customer
from wire.ids import AccountId


@pytest.fixture(autouse=True)
def _settings(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))
    monkeypatch.setenv("COUNTENANCE_CONSOLE_ORIGIN", "https://pay.example")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*arguments])
    return result.exit_code, result.output


def test_the_link_opens_the_page_of_that_account(database: Database) -> None:
    with open_house() as opened:
        house = House(database, keys=opened.keys)
    account = enrol(house, 1)
    code, printed = run("account", "link", str(account), "--json")
    assert code == 0
    link = json.loads(printed.splitlines()[-1])["link"]
    address, _, secret = link.partition("#")
    assert address == "https://pay.example/me/enter"
    with database.transaction() as conn:
        (expires_at_ms,) = conn.execute("SELECT expires_at_ms FROM customer_links").fetchall()[0]
    house.clock.now_ms = expires_at_ms - 60_000
    customer = Customer.stranger(house)
    assert customer.use(secret).headers["Location"] == "/me"
    assert str(account) in customer.get("/me").text
    assert address in run("account", "link", str(account))[1]


def test_there_is_no_link_to_nobody() -> None:
    code, printed = run("account", "link", str(AccountId.new()))
    assert code == 1
    assert "#" not in printed


def test_the_demo_prints_a_way_to_a_customers_page(house: House, tmp_path: Path) -> None:
    stage = SimpleNamespace(house=house, port=8000, url="http://localhost:8000")
    shop = Shop(stage, None, tmp_path)  # type: ignore[arg-type]
    shop.customers.append(enrol(house, 1))
    links = dict(shop.pages())
    address, _, secret = links["my face"].partition("#")
    assert address == "http://localhost:8000/me/enter"
    customer = Customer.stranger(house)
    assert customer.use(secret).headers["Location"] == "/me"
    assert str(shop.customers[0]) in customer.get("/me").text
    assert links["console"].startswith("http://localhost:8000/console/join/")
