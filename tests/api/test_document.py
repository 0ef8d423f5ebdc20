"""The OpenAPI document is true: each operation's example runs on a real database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.app import create_app
from service.audit import log
from service.authorize import Authorizer
from service.http.models import example_id
from service.http.problems import STATUS
from service.keys import KeyRing
from service.operators.acts import Operations
from service.operators.tokens import Scope
from tests.api.client import Client
from tests.ceremony.house import CALIBRATIONS, House, payment, probe
from tests.ceremony.house import enrol as enrol_any
from wire.ids import AccountId, TerminalId
from wire.messages import TerminalKind


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
def lived_in(house: House, monkeypatch: pytest.MonkeyPatch) -> str:
    """The rows that the examples name; returns the leaf hash of an attempt."""
    for kind in (AccountId, TerminalId):
        monkeypatch.setattr(kind, "new", classmethod(example_id))
    store = house.add_terminal(TerminalKind.STORE)
    monkeypatch.undo()
    monkeypatch.setattr(AccountId, "new", classmethod(example_id))
    account = enrol_any(house, 1)
    monkeypatch.undo()
    house.grant(account)
    house.top_up(account, 1000)
    decision = store.attempt(payment(house), probe(1))
    assert decision.approved
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    return decision.leaf_hash.hex()


def test_the_document_is_valid_and_complete() -> None:
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) == sum(map(len, DOCUMENT["paths"].values())) == 22
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


LAST = ("revoke_grant", "revoke_terminal", "erase_account")


def test_the_example_of_every_operation_runs(
    api: Client, lived_in: str, subtests: pytest.Subtests
) -> None:
    for name in sorted(OPERATIONS, key=lambda name: (name in LAST, name == LAST[-1])):
        with subtests.test(name):
            run_example(name, api, lived_in)


def run_example(name: str, api: Client, leaf_hash: str) -> None:
    method, path, operation = OPERATIONS[name]
    words: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", ()):
        words[parameter["in"]][parameter["name"]] = parameter["example"]
    if "leaf_hash" in words["path"]:
        words["path"]["leaf_hash"] = leaf_hash
    body = operation.get("requestBody")
    answer = api.send(
        method,
        path.format(**words["path"]),
        query_string=words["query"],
        headers=words["header"],
        json=body["content"]["application/json"]["example"] if body else None,
    )
    expected = [code for code in operation["responses"] if code.startswith("2")]
    assert [str(answer.status_code)] == expected, answer.data
    if answer.status_code == 204:
        assert answer.data == b""
        return
    schema = operation["responses"][str(answer.status_code)]["content"]["application/json"]
    check(answer.json, schema["schema"])
    check(schema["example"], schema["schema"])
    assert answer.json.get("items") != []


def check(value: object, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)
