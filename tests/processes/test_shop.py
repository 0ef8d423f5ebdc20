"""The sample shop and its client against a real service and worker, as a merchant runs them."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from flask import Flask
from werkzeug.serving import make_server

from countenance.stage import Stage
from service.operators.tokens import MERCHANT_SCOPES
from terminal_client.transport import HttpTransport
from tests.processes.till import Mall, Till
from wire.messages import TerminalKind

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WAIT_MAX_S = 60


@contextmanager
def listening(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Browser:
    """Follows the shop's pages."""

    def __init__(self, shop: str) -> None:
        self.shop = shop
        self.pool = urllib3.PoolManager(retries=urllib3.Retry(redirect=3), timeout=20.0)

    def open(self, path: str) -> str:
        answer = self.pool.request("GET", self.shop + path)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def buy(self, item: str) -> str:
        """The order's path."""
        answer = self.pool.request(
            "POST", f"{self.shop}/orders", fields={"item": item}, redirect=False
        )
        assert answer.status == 303
        return answer.headers["Location"]

    def state(self, path: str) -> str:
        found = re.search('<strong id="state">([a-z]+)<', self.open(path))
        assert found is not None
        return found[1]

    def wait_for(self, path: str, state: str) -> None:
        deadline = time.monotonic() + WAIT_MAX_S
        while self.state(path) != state:
            assert time.monotonic() < deadline, f"{path} is not {state} within {WAIT_MAX_S} s"
            time.sleep(0.1)


def test_a_customer_buys_pays_with_the_face_and_gets_the_money_back(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from countenance_client import Client, ProblemError  # noqa: PLC0415
    from shop.app import create_app  # noqa: PLC0415

    mall, transport = Mall(stage.house), HttpTransport(stage.url)
    mall.enrol(mall.add_till(TerminalKind.ENROLMENT, transport), 10_000)
    (seed,) = mall.accounts
    till: Till = mall.add_till(TerminalKind.STORE, transport)
    _, token = stage.house.operations.add_token(
        "shop", set(MERCHANT_SCOPES), merchant=mall.merchant, days=1
    )
    client = Client(stage.url, token, str(mall.merchant))
    secrets: list[str] = []
    app = create_app(
        client,
        terminal=str(till.identity.terminal),
        secrets=secrets,
        database=tmp_path / "shop.db",
    )
    stage.start_worker()
    with listening(app) as address:
        browser = Browser(address)
        secrets.append(client.add_webhook(f"{address}/hook")["secret"])
        path = browser.buy("cake")
        assert browser.state(path) == "open"
        context = till.waiting()
        assert context is not None
        assert (str(context.money), context.order) == ("12.50 EUR", "S-1")
        payment = till.prepare(context, seed)
        assert payment.decide().approved
        payment.confirm()
        browser.wait_for(path, "captured")
        browser.pool.request("POST", address + path + "/refund")
        assert "given back" in browser.open(path)
        (found,) = client.payments(state="captured")
        assert (found["order"], found["refunded_minor"]) == ("S-1", 1250)
        forged = browser.pool.request("POST", f"{address}/hook", body=b"{}")
        assert forged.status == 400
        with pytest.raises(ProblemError) as refused:
            client.capture(found["payment_intent"])
        assert refused.value.code == "payment_captured"
        held = client.create_payment("3.00", "EUR", order="B", capture="manual")
        assert client.void(held["payment_intent"])["state"] == "voided"
    for amount, currency in (("5.5", "JPY"), ("0.0005", "KWD"), ("0", "EUR"), ("-1", "EUR")):
        with pytest.raises(ValueError, match="decimals"):
            client.create_payment(amount, currency, order="B")
    assert "shop.app" in sys.modules
