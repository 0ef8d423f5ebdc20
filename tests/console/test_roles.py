"""Every route, every role: who gets in, who is refused, and what a forged form does."""

from __future__ import annotations

import pytest

from service.console.frame import DECLARED
from service.operators.people import OperatorId, Role
from service.operators.proposals import ProposalId
from service.webhooks.store import DeliveryId, WebhookId
from tests.ceremony.house import House, enrol, payment, probe
from tests.console.visitor import Visitor, each_forgery, text_of
from wire.ids import AccountId, AlarmId, AttemptId, DoorId, MerchantId, PaymentIntentId, TerminalId
from wire.messages import TerminalKind

A, E, M, G, U, S = Role.ADMIN, Role.ENROLLER, Role.MERCHANT, Role.GUARD, Role.AUDITOR, Role.SUPPORT
EVERYBODY = {A, E, M, G, U, S}
STAFF = EVERYBODY - {M}
ROUTES: dict[str, set[Role] | None] = {
    "GET /console": EVERYBODY,
    "GET /console/attempts": EVERYBODY,
    "GET /console/attempts/<attempt>": EVERYBODY,
    "GET /console/accounts": STAFF,
    "GET /console/accounts/<account>": STAFF,
    "POST /console/accounts/<account>/state": {A, E, S},
    "POST /console/accounts/<account>/link": {A, E, S},
    "POST /console/accounts/<account>/erase": {A, S},
    "GET /console/terminals": EVERYBODY,
    "GET /console/terminals/<terminal>": EVERYBODY,
    "GET /console/terminals/new": {A, E, M},
    "POST /console/terminals/new": {A, E, M},
    "POST /console/terminals/<terminal>/code": {A, E, M},
    "POST /console/terminals/<terminal>/revoke": {A, E, M},
    "GET /console/doors": {A, G, U},
    "GET /console/doors/live": {A, G, U},
    "GET /console/doors/changes": {A, G, U},
    "GET /console/doors/<door>": {A, G, U},
    "POST /console/doors/<door>/release": {A, G},
    "POST /console/places/<place>/mode": {A, G},
    "POST /console/places/<place>/grants": {A},
    "GET /console/places/<place>/grants/<subject>": {A},
    "POST /console/places/<place>/grants/<subject>": {A},
    "POST /console/places/<place>/grants/<subject>/revoke": {A},
    "POST /console/alarms/<alarm>/acknowledge": {A, G},
    "GET /console/merchants": {A, M, U, S},
    "POST /console/merchants": {A},
    "GET /console/merchants/<merchant>": {A, M, U, S},
    "GET /console/merchants/<merchant>/payments/<payment>": {A, M, U, S},
    "POST /console/merchants/<merchant>/payments/<payment>/capture": {A, M},
    "POST /console/merchants/<merchant>/payments/<payment>/void": {A, M},
    "POST /console/merchants/<merchant>/payments/<payment>/refund": {A, M},
    "GET /console/merchants/<merchant>/webhooks": {A, M, U, S},
    "GET /console/merchants/<merchant>/webhooks/<webhook>": {A, M, U, S},
    "GET /console/merchants/<merchant>/webhooks/<webhook>/<delivery>": {A, M, U, S},
    "POST /console/merchants/<merchant>/webhooks/<webhook>/<delivery>/replay": {A, M},
    "GET /console/operators": {A},
    "POST /console/operators": {A},
    "POST /console/operators/<operator>/invite": {A},
    "POST /console/operators/<operator>/disable": {A},
    "GET /console/policies": {A, U, S},
    "GET /console/policies/new": {A},
    "POST /console/policies/new": {A},
    "GET /console/policies/<proposal>": {A, U, S},
    "POST /console/policies/<proposal>": {A},
    "GET /console/audit": {A, U},
    "GET /console/audit/export.<form>": {A, U},
    "GET /console/audit/export.pdf": {A, U},
    "GET /console/calibration": {A, U, S},
    "GET /console/liveness": {A, U, S},
    "POST /console/audit/<leaf_hash>/verify": {A, U},
    "GET /console/sign-in": None,
    "POST /console/sign-in": None,
    "POST /console/sign-in/options": None,
    "POST /console/sign-in/code": None,
    "GET /console/join/<code>": None,
    "GET /console/passkey": None,
    "POST /console/passkey": None,
    "POST /console/passkey/options": None,
    "POST /console/sign-out": None,
    "POST /console/language": None,
    "GET /console/static/<path:filename>": None,
}
GUARDED = {route: roles for route, roles in ROUTES.items() if roles is not None}
MADE_UP = {
    "<attempt>": str(AttemptId(bytes(16))),
    "<account>": str(AccountId(bytes(16))),
    "<terminal>": str(TerminalId(bytes(16))),
    "<operator>": str(OperatorId(bytes(16))),
    "<proposal>": str(ProposalId(bytes(16))),
    "<door>": str(DoorId(bytes(16))),
    "<place>": str(DoorId(bytes(16))),
    "<subject>": str(AccountId(bytes(16))),
    "<alarm>": str(AlarmId(bytes(16))),
    "<merchant>": str(MerchantId(bytes(16))),
    "<payment>": str(PaymentIntentId(bytes(16))),
    "<webhook>": str(WebhookId(bytes(16))),
    "<delivery>": str(DeliveryId(bytes(16))),
    "<leaf_hash>": "00" * 32,
    "<form>": "csv",
}


def path_of(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    for name, value in MADE_UP.items():
        path = path.replace(name, value)
    return method, path


def test_the_table_names_every_route(house: House) -> None:
    found = {
        f"{method} {rule.rule}"
        for rule in house.app.url_map.iter_rules()
        if rule.endpoint.startswith("console.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert found == set(ROUTES)
    assert {f"console.{rule}" for rule in ("overview", "audit")} <= set(DECLARED)


@pytest.mark.parametrize("role", list(Role))
def test_roles(house: House, role: Role) -> None:
    """Whoever is let in gets the page, a redirect, or 404 for what does not exist."""
    merchant = house.merchant if role is Role.MERCHANT else None
    visitor = Visitor.signed_in(house, role, merchant=merchant)
    for route, roles in GUARDED.items():
        method, path = path_of(route)
        answer = visitor.get(path) if method == "GET" else visitor.post(path)
        if role in roles:
            assert answer.status_code in (200, 303, 400, 404), route
            assert answer.status_code != 400 or "form" not in answer.text or method == "POST"
        else:
            assert answer.status_code == 403, route


def test_strangers_are_asked_to_sign_in(house: House) -> None:
    visitor = Visitor.stranger(house)
    for route in GUARDED:
        method, path = path_of(route)
        answer = visitor.client.open(path, method=method)
        assert answer.status_code == 303, route
        assert answer.headers["Location"].startswith("/console/sign-in"), route


@each_forgery
def test_forged_forms_do_nothing(house: House, forged: dict[str, dict[str, str]]) -> None:
    account = enrol(house, 1)
    visitor = Visitor.signed_in(house, Role.ADMIN)
    data = forged.get("data", {"form_token": visitor.form_token()})
    answer = visitor.client.post(
        f"/console/accounts/{account}/state",
        data={"active": "0", **data},
        headers=forged.get("headers"),
    )
    assert answer.status_code == 400
    assert "active" in text_of(visitor.get(f"/console/accounts/{account}"))


def test_a_token_of_another_session_is_no_token(house: House) -> None:
    account, other = enrol(house, 1), Visitor.signed_in(house, Role.ADMIN)
    visitor = Visitor.signed_in(house, Role.ADMIN)
    answer = visitor.client.post(
        f"/console/accounts/{account}/state",
        data={"active": "0", "form_token": other.form_token()},
    )
    assert answer.status_code == 400


def test_what_is_another_merchants_does_not_exist(house: House) -> None:
    enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    decision = store.attempt(payment(house), probe(1))
    stranger = house.operations.add_merchant("Elsewhere", "EUR")
    own = Visitor.signed_in(house, Role.MERCHANT, merchant=house.merchant)
    other = Visitor.signed_in(house, Role.MERCHANT, merchant=stranger)
    for path in (f"/console/attempts/{decision.attempt}", f"/console/terminals/{store.terminal}"):
        assert own.get(path).status_code == 200
        assert other.get(path).status_code == 404
    assert str(decision.attempt) in own.get("/console/attempts").text
    assert str(decision.attempt) not in other.get("/console/attempts").text
    assert other.post(f"/console/terminals/{store.terminal}/revoke").status_code == 404
    form = {"kind": "store", "name": "Till", "merchant": str(house.merchant)}
    assert other.post("/console/terminals/new", form).status_code == 404


def test_a_merchant_reads_neither_accounts_nor_fine_denials(house: House) -> None:
    account = enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    decision = store.attempt(payment(house), probe(2, claim="card:1"))
    merchant = Visitor.signed_in(house, Role.MERCHANT, merchant=house.merchant)
    staff = Visitor.signed_in(house, Role.SUPPORT)
    for path in ("/console", "/console/attempts", f"/console/attempts/{decision.attempt}"):
        shown = merchant.get(path).text
        assert str(account) not in shown
        assert "no match" not in shown
    assert "no match" in staff.get(f"/console/attempts/{decision.attempt}").text
    narrowed = merchant.get(f"/console/attempts?account={account}&denial=no_match").text
    assert str(decision.attempt) in narrowed


def test_a_merchants_operator_names_a_known_merchant(house: House) -> None:
    admin = Visitor.signed_in(house, Role.ADMIN)
    form = {"name": "M", "role": "merchant", "merchant": str(MerchantId.new())}
    assert admin.post("/console/operators", form).status_code == 400
    form = {"name": "M", "role": ["merchant", "admin"], "merchant": str(house.merchant)}
    assert admin.post("/console/operators", form).status_code == 400
