"""Payment intents: the merchant's request, the customer's face, the capture, the refund."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from service import events
from service.audit.leaf import ActLeaf
from service.db import Database
from service.http.models import example_id
from service.operators.tokens import MERCHANT_SCOPES, Scope
from service.payments.rules import Refusal
from tests.api.client import Client, problem_of
from tests.api.shop import PRICE, WALLET, Shop, shop
from tests.ceremony.house import CURRENCY, enrol, probe
from wire import envelope
from wire.denial import Denial, Reason
from wire.ids import MerchantId, PaymentIntentId, TerminalId, TransferId
from wire.messages import Decision, PaymentContext, TerminalKind
from wire.money import Money

__all__ = ["shop"]


def test_an_intent_waits_at_its_till_is_paid_by_face_and_captured_at_once(shop: Shop) -> None:
    intent = shop.create()
    assert (intent["state"], intent["captured_minor"], intent["attempt"]) == ("open", 0, None)
    context = shop.till.waiting()
    assert context == PaymentContext(
        amount_minor=PRICE,
        currency=CURRENCY,
        payee=shop.house.merchant,
        order="A-1",
        intent=PaymentIntentId.parse(intent["payment_intent"]),
    )
    decision = shop.till.attempt(context, probe(1))
    assert decision.approved
    assert decision.context == context
    paid = shop.show(intent)
    assert (paid["state"], paid["captured_minor"]) == ("captured", PRICE)
    assert paid["attempt"] == str(decision.attempt)
    assert shop.till.waiting() is None
    assert shop.money() == (WALLET - PRICE, 0, PRICE)
    assert shop.kinds() == ["captured"]


def test_a_manual_capture_holds_then_takes_a_part_and_gives_back_the_rest(shop: Shop) -> None:
    intent = shop.authorized()
    held = shop.show(intent)
    assert (held["state"], held["captured_minor"]) == ("authorized", 0)
    assert held["capture_until_ms"] == held["authorized_at_ms"] + 7 * 24 * 3_600_000
    assert shop.money() == (WALLET - PRICE, PRICE, 0)
    done = shop.act(intent, "capture", {"amount_minor": 3000, "currency": CURRENCY})
    assert done.status_code == 200
    assert (done.json["state"], done.json["captured_minor"]) == ("captured", 3000)
    assert shop.money() == (WALLET - 3000, 0, 3000)
    assert shop.kinds() == ["authorized", "captured"]


def test_refunds_up_to_what_was_captured_each_a_transfer_of_its_own(shop: Shop) -> None:
    intent = shop.authorized()
    assert shop.act(intent, "capture", {"amount_minor": 3000}).status_code == 200
    first = shop.act(intent, "refunds", {"amount_minor": 1000})
    assert first.status_code == 201
    assert first.json["amount_minor"] == 1000
    above = shop.act(intent, "refunds", {"amount_minor": 2001})
    assert (above.status_code, problem_of(above)) == (422, "refund_above_captured")
    rest = shop.act(intent, "refunds")
    assert rest.json["amount_minor"] == 2000
    assert problem_of(shop.act(intent, "refunds")) == "refund_above_captured"
    shown = shop.show(intent)
    assert (shown["captured_minor"], shown["refunded_minor"]) == (3000, 3000)
    listed = shop.api.get(f"{shop.path}/{intent['payment_intent']}/refunds?limit=1").json
    rows = listed["items"]
    after = shop.api.get(
        f"{shop.path}/{intent['payment_intent']}/refunds?after={listed['next']}"
    ).json
    assert {row["transfer"] for row in rows + after["items"]} == {
        first.json["transfer"],
        rest.json["transfer"],
    }
    assert shop.money() == (WALLET, 0, 0)
    assert shop.kinds() == ["authorized", "captured", "refunded", "refunded"]


def test_a_refund_by_an_operator_is_told_too(shop: Shop) -> None:
    intent = shop.captured()
    attempt = PaymentIntentId.parse(intent["payment_intent"])
    with shop.house.database.transaction() as conn:
        (raw,) = conn.execute(
            "SELECT attempt_id FROM payment_intents WHERE intent_id = %s", (attempt.raw,)
        ).fetchone()
    money = Money(amount_minor=400, currency=CURRENCY)
    assert shop.house.operations.refund(TransferId(raw), money) is None
    assert shop.show(intent)["refunded_minor"] == 400
    assert shop.kinds() == ["captured", "refunded"]


def test_a_void_ends_what_is_open_and_gives_back_what_is_held(shop: Shop) -> None:
    waiting, held = shop.create(), shop.authorized()
    assert shop.act(waiting, "void").json["state"] == "voided"
    assert shop.act(held, "void").json["state"] == "voided"
    assert shop.till.waiting() is None
    assert shop.money() == (WALLET, 0, 0)
    assert sorted(shop.kinds()) == ["authorized", "voided", "voided"]


def expire(shop: Shop) -> None:
    """As the task does, twice and late."""
    for _ in range(2):
        with shop.house.database.transaction() as conn:
            events.expire(conn, now_ms=shop.house.clock())


def test_what_nobody_paid_or_captured_in_time_expires_once(shop: Shop) -> None:
    waiting, held = shop.create(), shop.authorized(capture_within_ms=3_600_000)
    shop.house.clock.now_ms += 16 * 60_000
    assert shop.show(waiting)["state"] == "expired"
    assert shop.show(held)["state"] == "authorized"
    shop.house.clock.now_ms += 3_600_000
    assert shop.show(held)["state"] == "expired"
    late = shop.act(held, "capture")
    assert (late.status_code, problem_of(late)) == (409, "payment_expired")
    expire(shop)
    assert shop.money() == (WALLET, 0, 0)
    for intent in (waiting, held):
        assert shop.show(intent)["state"] == "expired"
        for act in ("capture", "void", "refunds"):
            assert problem_of(shop.act(intent, act)) == "payment_expired"
    assert shop.kinds() == ["authorized", "expired", "expired"]


STATES = {
    "open": lambda shop: shop.create(),
    "authorized": lambda shop: shop.authorized(),
    "captured": lambda shop: shop.captured(),
    "voided": lambda shop: shop.voided(),
}


REFUSED = {
    "open": {"capture", "refunds"},
    "authorized": {"refunds"},
    "captured": {"capture", "void"},
    "voided": {"capture", "void", "refunds"},
}


def test_each_act_is_refused_by_name_in_each_state_that_does_not_allow_it(shop: Shop) -> None:
    for state, make in STATES.items():
        intent = make(shop)
        for act in sorted(REFUSED[state]):
            # What is wrong with the amount, too, comes second.
            body = None if act == "void" else {"amount_minor": 10**15, "currency": "JPY"}
            answer = shop.act(intent, act, body)
            assert (answer.status_code, problem_of(answer)) == (409, f"payment_{state}")
        assert shop.show(intent)["state"] == state


def test_amounts_above_and_currencies_beside_are_refused_in_order(shop: Shop) -> None:
    held = shop.authorized()
    for body, code in (
        ({"amount_minor": PRICE + 1, "currency": "USD"}, "currency_mismatch"),
        ({"amount_minor": PRICE + 1}, "capture_above_authorized"),
    ):
        answer = shop.act(held, "capture", body)
        assert (answer.status_code, problem_of(answer)) == (422, code)
    paid = shop.captured()
    for body, code in (
        ({"amount_minor": PRICE + 1, "currency": "USD"}, "currency_mismatch"),
        ({"amount_minor": PRICE + 1}, "refund_above_captured"),
    ):
        answer = shop.act(paid, "refunds", body)
        assert (answer.status_code, problem_of(answer)) == (422, code)


WRONG: list[tuple[dict[str, Any], str]] = [
    *(({"amount_minor": wrong}, "invalid") for wrong in (0, -1, 10**15 + 1, 2**63, 10**40)),
    *(
        ({"amount_minor": wrong, "currency": currency}, "invalid")
        for currency in ("JPY", "KWD")
        for wrong in (12.5, 500.0, "500", "5.000", True, None, [500], 1e300)
    ),
    ({"currency": "JPY"}, "currency_mismatch"),
    ({"currency": "KWD"}, "currency_mismatch"),
    ({"currency": "eur"}, "invalid"),
    ({"amount_minor": 10**15}, "limit_exceeded"),
    ({"order": ""}, "invalid"),
    ({"order": " A"}, "invalid"),
    ({"order": "A\u200b"}, "invalid"),
    ({"order": "A" * 81}, "invalid"),
    ({"site": "Hall"}, "invalid"),
    ({"capture": "later"}, "invalid"),
    ({"expires_in_ms": 59_999}, "invalid"),
    ({"capture_within_ms": 7 * 24 * 3_600_000 + 1}, "invalid"),
    ({"terminal": str(TerminalId(bytes(16)))}, "not_found"),
    ({"terminal": "ter_x"}, "invalid"),
    ({"amount": 5}, "invalid"),
]


def test_what_is_wrong_is_refused_by_name(shop: Shop) -> None:
    for wanted, code in WRONG:
        assert problem_of(shop.ask(**wanted)) == code, wanted
    with shop.house.database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM payment_intents").fetchone() == (0,)


def test_another_merchants_things_are_not_there(shop: Shop, database: Database) -> None:
    intent = shop.captured()
    other = shop.house.operations.add_merchant("Other", CURRENCY)
    stranger = Client.of(shop.house, *MERCHANT_SCOPES, merchant=other)
    body = {"amount_minor": 1, "currency": CURRENCY, "order": "B",
            "terminal": str(shop.till.terminal)}  # fmt: skip
    for path in (shop.path, f"/merchants/{other}/payment-intents"):
        one = f"{path}/{intent['payment_intent']}"
        for answer in (
            stranger.get(one),
            stranger.get(f"{one}/refunds"),
            stranger.post(f"{one}/capture", json={}),
            stranger.post(f"{one}/void"),
            stranger.post(f"{one}/refunds", json={}),
            stranger.post(path, json=body),
        ):
            assert (answer.status_code, problem_of(answer)) == (404, "not_found")
    assert problem_of(stranger.get(shop.path)) == "not_found"
    assert stranger.get(f"/merchants/{other}/payment-intents").json["items"] == []
    nobody = f"/merchants/{MerchantId(bytes(16))}/payment-intents"
    assert problem_of(Client.of(shop.house, *Scope).get(nobody)) == "not_found"
    assert problem_of(Client.of(shop.house, *Scope).post(nobody, json=body)) == "not_found"


def test_scopes_part_those_who_take_from_those_who_give_back(shop: Shop) -> None:
    intent = shop.captured()
    till = Client.of(shop.house, Scope.PAYMENTS_WRITE, merchant=shop.house.merchant)
    answer = till.post(f"{shop.path}/{intent['payment_intent']}/refunds", json={})
    assert problem_of(answer) == "scope_missing"
    assert problem_of(till.get(shop.path)) == "scope_missing"


def test_the_same_key_gets_the_same_answer_and_another_request_none(shop: Shop) -> None:
    intent = shop.authorized()
    key = {"Idempotency-Key": "a-capture-of-one-order"}
    first, again = (shop.act(intent, "capture", {"amount_minor": 9}, **key) for _ in range(2))
    assert (first.status_code, again.data) == (200, first.data)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    for body, act in (({"amount_minor": 8}, "capture"), ({"amount_minor": 9}, "refunds")):
        answer = shop.act(intent, act, body, **key)
        assert (answer.status_code, problem_of(answer)) == (422, "idempotency_key_reused")
    refused = {"Idempotency-Key": "a-capture-that-is-refused"}
    told = [shop.act(intent, "capture", **refused) for _ in range(2)]
    assert [each.status_code for each in told] == [409, 409]
    assert told[0].data == told[1].data
    refund = {"Idempotency-Key": "a-refund-of-one-order"}
    back = [shop.act(intent, "refunds", {"amount_minor": 4}, **refund) for _ in range(2)]
    assert back[0].data == back[1].data
    assert shop.show(intent)["refunded_minor"] == 4
    other = shop.house.operations.add_merchant("Other", CURRENCY)
    theirs = Client.of(shop.house, *MERCHANT_SCOPES, merchant=other)
    body = {"amount_minor": 5, "currency": CURRENCY, "order": "B"}
    answer = theirs.post(f"/merchants/{other}/payment-intents", json=body, headers=key)
    assert answer.status_code == 201


def test_a_kept_answer_cannot_be_read_without_the_services_key(shop: Shop) -> None:
    key = {"Idempotency-Key": "a-terminal-for-the-hall"}
    body = {"kind": "store", "name": "Hall", "merchant": str(shop.house.merchant)}
    first, again = (shop.api.post("/terminals", json=body, headers=key) for _ in range(2))
    assert first.json == again.json
    with shop.house.database.transaction() as conn:
        (kept,) = conn.execute(
            "SELECT answer FROM idempotency_keys ORDER BY created_at_ms DESC LIMIT 1"
        ).fetchone()
    assert first.json["code"].encode() not in kept
    assert len(shop.api.get("/terminals").json["items"]) == 2


def test_two_captures_at_once_take_one(shop: Shop) -> None:
    intent = shop.authorized()

    def ask(number: int) -> tuple[int, bytes]:
        answer = shop.act(intent, "capture", {"amount_minor": 1000 + number})
        return answer.status_code, answer.data

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 7
    shown = shop.show(intent)
    assert shop.money() == (WALLET - shown["captured_minor"], 0, shown["captured_minor"])
    assert shop.kinds() == ["authorized", "captured"]


def test_one_request_sent_at_once_is_carried_out_once(shop: Shop) -> None:
    intent = shop.captured()
    key = {"Idempotency-Key": "a-refund-sent-eight-times"}

    def ask(_: int) -> bytes:
        answer = shop.act(intent, "refunds", {"amount_minor": 100}, **key)
        assert answer.status_code == 201
        return answer.data

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert shop.show(intent)["refunded_minor"] == 100


def test_refunds_at_once_give_back_no_more_than_was_captured(shop: Shop) -> None:
    intent = shop.captured()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(shop.act, intent, "refunds", {"amount_minor": 2000}) for _ in range(8)]
        statuses = sorted(each.result().status_code for each in asked)
    assert statuses == [201, 201] + [422] * 6
    assert shop.show(intent)["refunded_minor"] == 4000


def test_a_void_and_a_capture_at_once_are_one_of_both(shop: Shop) -> None:
    for _ in range(4):
        intent = shop.authorized(amount_minor=100)
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(shop.act, intent, act) for act in ("void", "capture")]
            statuses = sorted(each.result().status_code for each in both)
        assert statuses == [200, 409]


def test_two_tills_at_once_take_one_payment(shop: Shop) -> None:
    second = enrol(shop.house, 2)
    shop.house.operations.top_up(second, Money(amount_minor=WALLET, currency=CURRENCY))
    other = shop.house.add_terminal(TerminalKind.STORE)
    intent = PaymentIntentId.parse(shop.create(terminal=None)["payment_intent"])
    sent = []
    for till, seed in ((shop.till, 1), (other, 2)):
        context = till.waiting(intent)
        assert context is not None
        evidence = till.evidence(till.challenge(context), probe(seed))
        sent.append((till, till.sign(evidence)))
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(till.send, "/v1/attempts", raw) for till, raw in sent]
        answers = [each.result() for each in asked]
    decisions = [
        envelope.parse(answer.data, Decision).message
        for answer in answers
        if answer.status_code == 200
    ]
    assert [decision.approved for decision in decisions].count(True) == 1
    (denied,) = [decision for decision in decisions if not decision.approved]
    assert shop.house.denial_of(denied.attempt) == Denial.INTENT_CLOSED


CHANGES = {
    "amount_minor": PRICE - 1,
    "order": "A-2",
    "payee": MerchantId(bytes(16)),
    "intent": PaymentIntentId(bytes(16)),
}


def test_a_till_cannot_change_what_it_takes(shop: Shop) -> None:
    shop.create()
    context = shop.till.waiting()
    assert context is not None
    for name, value in CHANGES.items():
        answer = shop.till.ask(replace(context, **{name: value}))
        assert answer.status_code == 400
    assert shop.till.ask(context).status_code == 201
    challenge = shop.till.challenge(context)
    plain = replace(context, intent=None)
    evidence = shop.till.evidence(challenge, probe(1), context=plain)
    decision = shop.till.read(shop.till.send("/v1/attempts", shop.till.sign(evidence)))
    assert shop.house.denial_of(decision.attempt) == Denial.CONTEXT_CHANGED


def test_a_till_takes_only_what_is_its_own(shop: Shop) -> None:
    other = shop.house.add_terminal(TerminalKind.STORE)
    mine = PaymentIntentId.parse(shop.create()["payment_intent"])
    anybodys = PaymentIntentId.parse(shop.create(terminal=None)["payment_intent"])
    hall = PaymentIntentId.parse(shop.create(terminal=None, site="Hall")["payment_intent"])
    assert other.waiting() is None
    assert other.waiting(anybodys) is not None
    for intent in (mine, hall, PaymentIntentId(bytes(16))):
        assert other.take(intent).status_code == 400
    with shop.house.database.transaction() as conn:
        conn.execute("UPDATE terminals SET site = 'Hall'")
    assert other.waiting(hall) is not None
    atm = shop.house.add_terminal(TerminalKind.ATM)
    assert atm.waiting() is None
    assert atm.take(anybodys).status_code == 400


def test_what_is_closed_after_the_challenge_is_denied_by_name(shop: Shop) -> None:
    def close(intent: dict[str, Any]) -> None:
        assert shop.act(intent, "void").status_code == 200

    def wait(_: dict[str, Any]) -> None:
        shop.house.clock.now_ms += 50_000

    for change, denial in ((close, Denial.INTENT_CLOSED), (wait, Denial.INTENT_EXPIRED)):
        intent = shop.create(expires_in_ms=60_000)
        context = shop.till.waiting()
        assert context is not None
        shop.house.clock.now_ms += 8_000
        evidence = shop.till.evidence(shop.till.challenge(context), probe(1))
        change(intent)
        decision = shop.till.read(shop.till.send("/v1/attempts", shop.till.sign(evidence)))
        assert shop.house.denial_of(decision.attempt) == denial
        assert decision.reason == Reason.NOT_PERMITTED
        assert shop.till.ask(context).status_code == 400
    assert shop.money() == (WALLET, 0, 0)


def test_a_denied_attempt_leaves_the_intent_open(shop: Shop) -> None:
    intent = shop.create()
    enrol(shop.house, 2)
    assert shop.pay(intent, seed=2).reason == Reason.INSUFFICIENT_FUNDS
    assert shop.show(intent)["state"] == "open"
    assert shop.pay(intent).approved


def test_intents_are_searched_page_by_page(shop: Shop) -> None:
    made = [shop.create(order=f"A-{number % 2}")["payment_intent"] for number in range(7)]
    shop.house.clock.now_ms += 1000
    paid = shop.captured()["payment_intent"]
    assert shop.api.get(f"{shop.path}?state=captured").json["items"][0]["payment_intent"] == paid
    listed, after = [], ""
    while True:
        answer = shop.api.get(f"{shop.path}?limit=2{after}")
        listed += [each["payment_intent"] for each in answer.json["items"]]
        assert len(answer.json["items"]) <= 2
        if answer.json["next"] is None:
            break
        shop.create(order="meanwhile")
        after = f"&after={answer.json['next']}"
    assert listed[0] == paid
    assert sorted(listed) == sorted([*made, paid])
    odd = shop.api.get(f"{shop.path}?order=A-1&state=open").json["items"]
    assert {each["payment_intent"] for each in odd} == set(made[1::2])
    for query in (
        f"until_ms={shop.house.clock.now_ms - 10**7}",
        f"from_ms={shop.house.clock.now_ms + 1}",
        f"terminal={example_id(TerminalId)}",
        "order=none",
    ):
        assert shop.api.get(f"{shop.path}?{query}").json["items"] == []
    for query in ("state=done", "limit=0", "limit=101", "after=1", "order=", "from_ms=-1"):
        assert problem_of(shop.api.get(f"{shop.path}?{query}")) == "invalid"


def test_payments_say_what_moved(shop: Shop) -> None:
    intent = shop.authorized()
    assert shop.act(intent, "capture", {"amount_minor": 3000}).status_code == 200
    assert shop.act(intent, "refunds", {"amount_minor": 500}).status_code == 201
    (row,) = shop.api.get(f"/merchants/{shop.house.merchant}/payments").json["items"]
    assert (row["amount_minor"], row["posted_minor"], row["refunded_minor"]) == (PRICE, 3000, 500)
    assert row["payment_intent"] == intent["payment_intent"]


def test_every_act_is_a_leaf_that_names_its_token(shop: Shop) -> None:
    intent = shop.authorized()
    shop.act(intent, "capture", {"amount_minor": 3000})
    shop.act(intent, "refunds", {"amount_minor": 500})
    with shop.house.database.transaction() as conn:
        rows = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    acts = {}
    for (leaf,) in rows:
        if b"payment." in leaf:
            act = ActLeaf.decode(bytes(leaf))
            acts[act.act] = act
    assert set(acts) == {"payment.create", "payment.capture", "payment.refund"}
    assert {act.actor for act in acts.values()} == {str(shop.api.token)}
    assert {act.subject for act in acts.values()} == {intent["payment_intent"]}
    assert acts["payment.capture"].amount_minor == 3000


def test_the_database_keeps_an_intent_as_it_is(shop: Shop) -> None:
    shop.captured()
    for change in ("amount_minor = 1", "attempt_id = NULL", "voided_at_ms = 5"):
        with (
            pytest.raises(psycopg.Error),
            shop.house.database.transaction() as conn,
        ):
            conn.execute(f"UPDATE payment_intents SET {change}")


def test_every_refusal_is_met_here(shop: Shop) -> None:
    """So that none is added without a test: those of the ledger come by its own."""
    tested = {
        "intent_unknown", "place_unknown", "currency_mismatch", "limit_exceeded",
        "capture_above_authorized", "refund_above_captured", "transfer_id_reused",
        *(f"payment_{state}" for state in STATES), "payment_expired",
    }  # fmt: skip
    assert {refusal.value for refusal in Refusal} == tested
