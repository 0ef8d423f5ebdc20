"""The OpenAPI document is true: each operation's example runs on a real database."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from access.rules import ZoneRules
from service import checkout
from service.access.places import Failure
from service.alarms import Alarm, AlarmKind, raise_alarm
from service.app import create_app
from service.audit import log
from service.authorize import Authorizer
from service.http.models import example_id
from service.http.problems import STATUS
from service.keys import KeyRing
from service.operators import webhook_acts
from service.operators.acts import Operations
from service.operators.pages import FIRST, page
from service.operators.tokens import Scope
from service.payments import settlement
from service.payments.rules import Intent, NewIntent
from service.webhooks import store as hooks
from service.webhooks.outbox import EventKind
from service.webhooks.store import DeliveryId, Webhook, WebhookId
from tests.api.client import Client
from tests.ceremony.house import CALIBRATIONS, CURRENCY, Device, House, entry, payment, probe
from tests.ceremony.house import enrol as enrol_any
from wire import envelope
from wire.ids import AccountId, AlarmId, GroupId, PaymentIntentId, SiteId, TerminalId, ZoneId
from wire.messages import (
    CHAIN_START,
    DoorEventKind,
    DoorEvents,
    DoorRecord,
    TerminalKind,
    chain_head,
)
from wire.money import Money


def document() -> dict[str, Any]:
    keys, clock = KeyRing.ephemeral(), int
    authorizer = Authorizer(None, keys, CALIBRATIONS, clock)
    app = create_app(authorizer, None, Operations(None, keys, clock))
    answer = app.test_client().get("/api/openapi.json")
    assert answer.content_type == "application/json"
    return answer.json


DOCUMENT = document()
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


@pytest.fixture
def lived_in(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The rows that the examples name; returns what an operation's path has instead of them."""
    for kind in (AccountId, TerminalId):
        monkeypatch.setattr(kind, "new", classmethod(example_id))
    store = house.add_terminal(TerminalKind.STORE)
    monkeypatch.undo()
    monkeypatch.setattr(AccountId, "new", classmethod(example_id))
    account = enrol_any(house, 1)
    monkeypatch.undo()
    for kind in (SiteId, ZoneId, GroupId, AlarmId):
        monkeypatch.setattr(kind, "new", classmethod(example_id))
    site = house.operations.add_site("Works", "Europe/Berlin")
    zone = house.operations.add_zone("Hall", site, ZoneRules())
    group = house.operations.add_group("Staff")
    house.operations.join_group(group, account)
    house.operations.change_door(house.door, zone, Failure.SECURE)
    house.grant(account)
    door = house.add_terminal(TerminalKind.DOOR)
    assert door.attempt(entry(house), probe(1)).approved
    event = DoorRecord(sequence=1, at_ms=1, offline=True, event=DoorEventKind.OPENED)
    report = DoorEvents(
        terminal=door.terminal,
        previous=CHAIN_START,
        records=(event,),
        head=chain_head(CHAIN_START, event),
    )
    assert door.send("/v1/door-events", envelope.sign(report, door.key).raw).status_code == 200
    house.grant(group, place=zone)
    house.operations.set_visit(account, 2**50)
    with house.database.transaction() as conn:
        raise_alarm(conn, Alarm(kind=AlarmKind.DURESS, at_ms=1, terminal=door.terminal))
    monkeypatch.undo()
    house.top_up(account, 100_000)
    decision = store.attempt(payment(house), probe(1))
    assert decision.approved
    add_webhook(house, monkeypatch)
    monkeypatch.setattr(PaymentIntentId, "new", classmethod(example_id))
    held = add_intent(house, store, hold_ms=60_000)
    monkeypatch.undo()
    assert store.attempt(held.context, probe(1)).approved
    waiting = add_intent(house, store, hold_ms=None)
    monkeypatch.setattr(DeliveryId, "new", classmethod(example_id))
    with house.database.transaction() as conn:
        webhook = {"webhook": example_id(WebhookId).raw, "state": None}
        (sent,) = page(
            conn, hooks.DELIVERIES, webhook, after=FIRST, limit=1, read=hooks.read_delivery
        ).items
        hooks.replay(conn, sent, now_ms=house.clock())
        monkeypatch.undo()
        day = date(2027, 1, 14)
        assert settlement.settle(conn, house.merchant, day, now_ms=house.clock())
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    return {
        "show_receipt": {"leaf_hash": decision.leaf_hash.hex()},
        "void_payment": {"payment_intent": str(waiting.intent)},
    }


def add_webhook(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebhookId, "new", classmethod(example_id))
    acts = webhook_acts.of(house.operations)
    made = acts.add(house.merchant, "https://shop.example/", list(EventKind), development=False)
    assert isinstance(made, Webhook)
    monkeypatch.undo()


def add_intent(house: House, store: Device, *, hold_ms: int | None) -> Intent:
    wanted = NewIntent(
        merchant=house.merchant,
        money=Money(amount_minor=5000, currency=CURRENCY),
        order="A-1001",
        terminal=store.terminal,
        site=None,
        hold_ms=hold_ms,
        lives_ms=900_000,
    )
    made = checkout.of(house.operations).create(wanted)
    assert isinstance(made, Intent)
    return made


def test_the_document_is_valid_and_complete() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values())) == 70
    for _, path, operation in OPERATIONS.values():
        assert path.startswith("/api/v1/")
        assert operation["summary"].endswith(".")
        assert operation["x-scope"] in {scope.value for scope in Scope}
        assert operation["security"] == [{"token": [operation["x-scope"]]}]
        assert all("example" in each for each in operation.get("parameters", ()))


def test_the_page_on_the_api_lists_the_operations_and_the_problems() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "api.md").read_text()
    for method, path, operation in OPERATIONS.values():
        short = path.removeprefix("/api/v1")
        row = f"| `{method.upper()} {short}` | `{operation['x-scope']}` | {operation['summary']} |"
        assert row in page.splitlines()
    assert page.count("| `GET /") + page.count("| `P") + page.count("| `DELETE") == len(OPERATIONS)
    for code, status in STATUS.items():
        assert any(f"| {status} |" in line and f"`{code}`" in line for line in page.splitlines())


def test_every_route_of_the_api_is_documented_and_has_a_scope(house: House) -> None:
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in house.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1")
    }
    assert routes == {(path, method) for method, path, _ in OPERATIONS.values()}


LAST = (
    "list_refunds",
    "remove_webhook",
    "revoke_door_grant",
    "revoke_zone_grant",
    "leave_group",
    "end_visit",
    "grant_amnesty",
    "revoke_terminal",
    "erase_account",
)


def test_the_example_of_every_operation_runs(
    api: Client, lived_in: dict[str, dict[str, str]], subtests: pytest.Subtests
) -> None:
    for name in sorted(OPERATIONS, key=lambda name: (name in LAST, name == LAST[-1])):
        with subtests.test(name):
            run_example(name, api, lived_in.get(name, {}))


def run_example(name: str, api: Client, instead: dict[str, str]) -> None:
    method, path, operation = OPERATIONS[name]
    words: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", ()):
        words[parameter["in"]][parameter["name"]] = parameter["example"]
    words["path"] |= instead
    if "Idempotency-Key" in words["header"]:
        words["header"]["Idempotency-Key"] += f"-{name}"
    body = operation.get("requestBody")
    answer = api.send(
        method,
        path.format(**words["path"]),
        query_string=words["query"],
        headers=words["header"],
        json=body["content"]["application/json"]["example"] if body else None,
    )
    api.house.clock.now_ms += 100  # there are more operations than a token may use at once
    expected = [code for code in operation["responses"] if code.startswith("2")]
    assert [str(answer.status_code)] == expected, answer.data
    if answer.status_code == 204:
        assert answer.data == b""
        return
    (kind,) = operation["responses"][str(answer.status_code)]["content"]
    assert answer.mimetype == kind
    if kind != "application/json":
        return
    schema = operation["responses"][str(answer.status_code)]["content"][kind]
    check(answer.json, schema["schema"])
    check(schema["example"], schema["schema"])
    assert answer.json.get("items") != []


def check(value: object, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)
