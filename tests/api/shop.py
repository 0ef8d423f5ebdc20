"""A merchant with one till, and a customer who stands there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.ledger.check import check
from service.operators.tokens import MERCHANT_SCOPES, Scope
from tests.api.client import Client
from tests.ceremony.house import CURRENCY, Device, House, enrol, probe
from wire.ids import AccountId, PaymentIntentId
from wire.messages import Decision, TerminalKind
from wire.money import Money

PRICE = 5000
WALLET = 20_000


@dataclass
class Shop:
    """A merchant with one till, and a customer who stands there."""

    house: House
    api: Client
    account: AccountId
    till: Device
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = f"/merchants/{self.house.merchant}/payment-intents"

    def create(self, **wanted: Any) -> dict[str, Any]:
        answer = self.ask(**wanted)
        assert answer.status_code == 201, answer.data
        return dict(answer.json)

    def ask(self, **wanted: Any) -> Any:
        body = {"amount_minor": PRICE, "currency": CURRENCY, "order": "A-1",
                "terminal": str(self.till.terminal), **wanted}  # fmt: skip
        return self.api.post(self.path, json=body)

    def pay(self, intent: dict[str, Any], seed: int = 1) -> Decision:
        context = self.till.waiting(PaymentIntentId.parse(intent["payment_intent"]))
        assert context is not None
        return self.till.attempt(context, probe(seed))

    def authorized(self, **wanted: Any) -> dict[str, Any]:
        intent = self.create(capture="manual", **wanted)
        assert self.pay(intent).approved
        return intent

    def captured(self) -> dict[str, Any]:
        intent = self.create()
        assert self.pay(intent).approved
        return intent

    def voided(self) -> dict[str, Any]:
        intent = self.create()
        assert self.act(intent, "void").status_code == 200
        return intent

    def act(self, intent: dict[str, Any], what: str, body: Any = None, **headers: str) -> Any:
        if what != "void":
            body = body or {}
        path = f"{self.path}/{intent['payment_intent']}/{what}"
        return self.api.post(path, json=body, headers=headers)

    def show(self, intent: dict[str, Any]) -> dict[str, Any]:
        answer = self.api.get(f"{self.path}/{intent['payment_intent']}")
        assert answer.status_code == 200, answer.data
        return dict(answer.json)

    def money(self) -> tuple[int, int, int]:
        """What the customer has, what is held of it, and what the merchant earned."""
        account = Client.of(self.house, Scope.ACCOUNTS_READ).get(f"/accounts/{self.account}").json
        earned = self.api.get(f"/merchants/{self.house.merchant}/earnings").json["earned_minor"]
        return account["available_minor"], account["held_minor"], earned

    def kinds(self) -> list[str]:
        with self.house.database.transaction() as conn:
            rows = conn.execute("SELECT kind FROM events ORDER BY created_at_ms").fetchall()
        return [kind.removeprefix("payment.") for (kind,) in rows]


@pytest.fixture
def shop(house: House) -> Iterator[Shop]:
    account, till = enrol(house, 1), house.add_terminal(TerminalKind.STORE)
    house.operations.top_up(account, Money(amount_minor=WALLET, currency=CURRENCY))
    yield Shop(house, Client.of(house, *MERCHANT_SCOPES, merchant=house.merchant), account, till)
    with house.database.transaction() as conn:
        assert check(conn) == ()
