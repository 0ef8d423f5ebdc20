"""Stripe's events: signed, taken once, in any order, and only a reason to ask Stripe."""

from __future__ import annotations

import json
import random
import time

import pytest
from stripe import WebhookSignature

from service.funding.processor import ProcessorName, StripeSource
from tests.ceremony.house import EVENT_SECRET, House
from tests.funding.conftest import LocalStripe
from tests.funding.test_attempts import Counter, open_counter
from wire.ids import TransferId
from wire.messages import TerminalKind


@pytest.fixture
def till(database: object, localstripe: LocalStripe) -> Counter:
    source = StripeSource(method=localstripe.card())
    return open_counter(
        database,  # type: ignore[arg-type]
        TerminalKind.STORE,
        ProcessorName.STRIPE,
        localstripe.processor(),
        source,
    )


def event(number: int, transfer: TransferId, kind: str) -> bytes:
    thing = {"object": "payment_intent", "metadata": {"transfer": str(transfer)}}
    said = {"id": f"evt_{number}", "object": "event", "type": kind, "data": {"object": thing}}
    return json.dumps(said).encode()


def send(house: House, body: bytes, *, age_s: int = 0, secret: str = EVENT_SECRET) -> int:
    at_s = int(time.time()) - age_s
    header = WebhookSignature.generate_signature_header(body.decode(), secret, at_s)
    answer = house.client().post(
        "/v1/events/stripe", data=body, headers={"Stripe-Signature": header}
    )
    return answer.status_code


def due(till: Counter) -> int:
    with till.house.database.transaction() as conn:
        row = conn.execute("SELECT count(*) FROM processor_entries WHERE due_at_ms IS NOT NULL")
        return int(row.fetchone()[0])  # type: ignore[index]


def test_events_in_any_order_and_twice_leave_what_stripe_says(till: Counter) -> None:
    transfer = TransferId(till.pay().attempt.raw)
    till.work()
    before = till.sides()
    kinds = ("payment_intent.canceled", "charge.refunded", "payment_intent.succeeded")
    events = [event(number, transfer, kind) for number, kind in enumerate(kinds)] * 2
    random.Random(7).shuffle(events)
    assert due(till) == 0
    assert [send(till.house, each) for each in events] == [200] * 6
    assert due(till) == 1
    till.work()
    assert (till.sides(), due(till)) == (before, 0)
    assert [send(till.house, each) for each in events] == [200] * 6
    assert due(till) == 0, "an event that was taken is not taken again"
    assert till.check() == ()


def test_what_stripe_did_not_sign_of_late_has_no_effect(till: Counter) -> None:
    transfer = TransferId(till.pay().attempt.raw)
    till.work()
    body = event(1, transfer, "charge.refunded")
    assert send(till.house, body, age_s=400) == 400
    assert send(till.house, body, secret="whsec_other") == 400
    assert till.house.client().post("/v1/events/stripe", data=body).status_code == 400
    assert till.house.client().post("/v1/events/stripe", data=b"x" * 70_000).status_code == 413
    assert due(till) == 0


def test_an_event_about_nothing_of_ours_is_taken(till: Counter) -> None:
    assert send(till.house, event(1, TransferId.new(), "charge.refunded")) == 200
    assert due(till) == 0


def test_an_intent_that_was_released_at_stripe_is_named(
    till: Counter, localstripe: LocalStripe
) -> None:
    """Somebody cancelled it in Stripe's dashboard before it was taken."""
    paid = till.pay()
    (intent,) = localstripe.intents()
    localstripe.ask("POST", f"/v1/payment_intents/{intent['id']}/cancel")
    till.work()
    assert till.sides() == [("posted", "refused", 0)]
    assert [each.row for each in till.check()] == [str(TransferId(paid.attempt.raw))]
