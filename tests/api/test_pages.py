"""Pages: bounded, complete, without repeats, and only what the token may see."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from service.audit import log
from service.audit.merkle import leaf_hash
from service.audit.notes import verifier_key
from service.audit.verify import VerifierKey, verify_receipt
from service.operators.tokens import MERCHANT_SCOPES, Scope
from tests.api.client import Client
from tests.ceremony.house import House, enrol, face, payment, probe
from wire.denial import Denial, Reason
from wire.messages import TerminalKind

STORE = TerminalKind.STORE


def walk(client: Client, path: str, limit: int) -> list[dict[str, Any]]:
    """All items, page by page."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = client.get(path, query_string={"limit": limit, **after}).json
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_pages_hold_everything_once_whatever_their_size(house: House, api: Client) -> None:
    doors = {str(house.operations.add_door(f"Door {number}")) for number in range(7)}
    doors.add(str(house.door))
    for limit in (1, 3, 8, 100):
        names = [each["door"] for each in walk(api, "/doors", limit)]
        assert len(names) == len(doors)
        assert set(names) == doors
    accounts = [str(enrol(house, seed)) for seed in range(3)]
    assert [each["account"] for each in walk(api, "/accounts", 2)] == accounts[::-1]


def test_payments_say_what_was_ordered_and_not_who_paid(house: House, api: Client) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    paid = [store.attempt(payment(house, 100 + number), probe(1)) for number in range(3)]
    other = house.operations.add_merchant("Other", "EUR")
    mine = Client.of(house, Scope.PAYMENTS_READ, merchant=house.merchant)
    found = walk(mine, f"/merchants/{house.merchant}/payments", 2)
    assert found == [
        {
            "attempt": str(decision.attempt),
            "payment_intent": None,
            "amount_minor": 100 + number,
            "posted_minor": 100 + number,
            "refunded_minor": 0,
            "currency": "EUR",
            "order": "A-1",
            "state": "posted",
            "at_ms": decision.decided_at_ms,
        }
        for number, decision in reversed(list(enumerate(paid)))
    ]
    assert api.get(f"/merchants/{other}/payments").json["items"] == []
    earned = mine.get(f"/merchants/{house.merchant}/earnings")
    assert earned.status_code == 403
    assert api.get(f"/merchants/{house.merchant}/earnings").json["earned_minor"] == 303


def test_the_fine_denial_is_for_the_audit(house: House, api: Client) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    store.attempt(payment(house), probe(1))
    store.attempt(payment(house), probe(2, claim="card:1"))
    coarse = Client.of(house, Scope.ATTEMPTS_READ)
    merchant = Client.of(house, *MERCHANT_SCOPES, merchant=house.merchant)
    wanted = f"/attempts?terminal={store.terminal}&outcome=denied"
    (fine,) = api.get(wanted).json["items"]
    assert (fine["reason"], fine["denial"]) == (Reason.NOT_VERIFIED, Denial.NO_MATCH)
    assert fine["account"] == str(account)
    for client in (coarse, merchant):
        (found,) = client.get(wanted).json["items"]
        assert found == {**fine, "denial": None, "account": None}
    assert len(walk(merchant, "/attempts", 1)) == 2
    assert len(walk(api, "/attempts", 1)) == 3
    assert len(api.get("/attempts?purpose=enrolment").json["items"]) == 1
    other = house.operations.add_merchant("Other", "EUR")
    stranger = Client.of(house, *MERCHANT_SCOPES, merchant=other)
    assert stranger.get(wanted).json["items"] == []


def test_the_log_can_be_followed_and_receipts_verify(house: House, api: Client) -> None:
    for number in range(5):
        house.operations.add_door(f"Door {number}")
    assert api.get("/audit/entries").json == {"items": [], "next": None}
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    found, start = [], 0
    while start is not None:
        page = api.get(f"/audit/entries?start={start}&limit=2").json
        found += page["items"]
        start = page["next"]
    assert [each["position"] for each in found] == list(range(6))
    key = VerifierKey.parse(verifier_key(house.keys.log))
    for each in found:
        leaf = b64decode(each["leaf"])
        assert leaf_hash(leaf).hex() == each["leaf_hash"]
        receipt = api.get(f"/audit/receipts/{each['leaf_hash']}").json["receipt"]
        assert verify_receipt(receipt.encode(), key) == (each["position"], leaf)
    note = api.get("/audit/checkpoint").json["note"]
    assert note.splitlines()[1] == "6"


def test_no_answer_holds_a_claim_a_score_or_an_embedding(house: House, api: Client) -> None:
    account, store = enrol(house, 31337), house.add_terminal(STORE)
    house.top_up(account, 1000)
    house.grant(account)
    store.attempt(payment(house), probe(31337))
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    said = [
        api.get(path).data
        for path in (
            "/accounts",
            f"/accounts/{account}",
            "/attempts",
            "/audit/entries?limit=100",
            f"/doors/{house.door}/grants",
            f"/merchants/{house.merchant}/payments",
        )
    ]
    leaves = [b64decode(each["leaf"]) for each in json.loads(said[3])["items"]]
    for body in (*said, *leaves):
        assert b"31337" not in body
        assert face(31337)[:16] not in body
    assert set(json.loads(said[0])["items"][0]) == {
        "account",
        "state",
        "references",
        "locked_until_ms",
        "currency",
        "available_minor",
        "held_minor",
        "created_at_ms",
    }
