"""Stripe's side, against localstripe: what it answers, and what happens where it does not."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import WebhookSignature

from service.errors import Misconfigured
from service.funding.processor import (
    Answer,
    NoAnswer,
    Order,
    Refusal,
    Side,
    SourceRefused,
    StripeSource,
)
from service.funding.stripe import EVENT_AGE_MAX_S, Stripe, read_event
from tests.funding.conftest import KEY, LocalStripe
from tests.funding.proxy import Proxy, open_proxy
from wire.ids import AccountId, MerchantId, TransferId
from wire.messages import Purpose
from wire.money import Money

DECLINED, ASKS_THE_HOLDER, UNATTACHABLE = (
    "4000000000000341", "4000002500003155", "4000000000000002",
)  # fmt: skip
SECRET = "whsec_of_tests"


def order(amount_minor: int = 1250) -> Order:
    return Order(
        transfer=TransferId.new(),
        purpose=Purpose.PAYMENT,
        money=Money(amount_minor=amount_minor, currency="EUR"),
        payee=MerchantId.new().raw,
        asked_at_ms=int(time.time() * 1000),
        trace=1,
    )


def named(of: Order, answer: Answer) -> Order:
    return replace(of, reference=answer.reference)


@pytest.fixture
def network(localstripe: LocalStripe) -> Iterator[Proxy]:
    with open_proxy(localstripe.url) as proxy:
        yield proxy


@pytest.fixture
def processor(network: Proxy) -> Stripe:
    return Stripe(KEY, url=network.url, answer_timeout_s=2)


def attach(localstripe: LocalStripe, number: str = "4242424242424242") -> StripeSource:
    entered = StripeSource(method=localstripe.card(number))
    source = localstripe.processor().attach(AccountId.new(), entered)
    assert isinstance(source, StripeSource)
    return source


def test_money_is_held_taken_in_part_and_given_back(
    localstripe: LocalStripe, processor: Stripe, network: Proxy
) -> None:
    source, asked = attach(localstripe), order()
    held = processor.authorize(asked, source)
    assert held == Answer(side=Side.AUTHORIZED, reference=held.reference)
    assert network.keys[-1] == str(asked.transfer)
    asked = named(asked, held)
    taken = processor.capture(asked, source, 1000)
    assert (taken.side, taken.confirmed_minor) == (Side.CAPTURED, 1000)
    back = replace(order(400), of=asked)
    for _ in range(2):
        given = processor.refund(back, source)
        assert (given.side, given.confirmed_minor) == (Side.REFUNDED, 400)
    amounts = [each["amount"] for each in localstripe.refunds() if each["metadata"]]
    assert amounts == [400]


def test_a_hold_is_released_once(localstripe: LocalStripe, processor: Stripe) -> None:
    source, asked = attach(localstripe), order()
    asked = named(asked, processor.authorize(asked, source))
    for _ in range(2):
        assert processor.void(asked, source).side is Side.RELEASED
    assert [each["status"] for each in localstripe.intents()] == ["canceled"]
    assert processor.capture(asked, source, 1250).side is Side.REFUSED


def test_what_was_taken_against_our_will_is_given_back(
    localstripe: LocalStripe, processor: Stripe
) -> None:
    source, asked = attach(localstripe), order()
    asked = named(asked, processor.authorize(asked, source))
    processor.capture(asked, source, 1250)
    for _ in range(2):
        assert processor.void(asked, source).side is Side.RELEASED
    assert [each["amount"] for each in localstripe.refunds()] == [1250]


@pytest.mark.parametrize(
    ("number", "refusal"),
    [(DECLINED, Refusal.DECLINED), (ASKS_THE_HOLDER, Refusal.AUTHENTICATION_REQUIRED)],
)
def test_a_card_that_does_not_pay_is_a_refusal(
    localstripe: LocalStripe, processor: Stripe, number: str, refusal: Refusal
) -> None:
    answer = processor.authorize(order(), attach(localstripe, number))
    assert (answer.side, answer.refusal) == (Side.DECLINED, refusal)
    assert "requires_capture" not in {each["status"] for each in localstripe.intents()}


def test_a_card_that_is_declined_is_not_attached(localstripe: LocalStripe) -> None:
    with pytest.raises(SourceRefused, match=r"^declined$"):
        attach(localstripe, UNATTACHABLE)
    with pytest.raises(SourceRefused, match=r"^source_not_accepted$"):
        localstripe.processor().attach(AccountId.new(), StripeSource(method="pm_nobody"))


def test_a_source_that_stripe_does_not_know_is_refused(
    localstripe: LocalStripe, processor: Stripe
) -> None:
    answer = processor.authorize(order(), StripeSource(customer="cus_none", method="pm_none"))
    assert (answer.side, answer.refusal) == (Side.DECLINED, Refusal.SOURCE_NOT_ACCEPTED)


@pytest.mark.parametrize("behaviour", ["lost", "unheard", "500", "503", "409", "429", "garbage"])
def test_no_answer_is_no_approval_and_one_hold_is_found_again(
    localstripe: LocalStripe, processor: Stripe, network: Proxy, behaviour: str
) -> None:
    source, asked = attach(localstripe), order()
    network.behave(behaviour)
    with pytest.raises(NoAnswer) as told:
        processor.authorize(asked, source)
    assert KEY not in str(told.value)
    network.behave("ok")
    found = processor.query(asked, source)
    heard = behaviour in ("lost", "500", "503", "garbage")
    assert found.side is (Side.AUTHORIZED if heard else Side.ASKED)
    assert processor.void(asked, source).side is Side.RELEASED
    assert {each["status"] for each in localstripe.intents()} <= {"canceled"}


@pytest.mark.parametrize("behaviour", ["lost", "unheard", "500", "garbage"])
def test_a_capture_or_refund_whose_answer_is_lost_is_done_once(
    localstripe: LocalStripe, processor: Stripe, network: Proxy, behaviour: str
) -> None:
    source, asked = attach(localstripe), order()
    asked = named(asked, processor.authorize(asked, source))
    network.behave("ok", behaviour)
    with pytest.raises(NoAnswer):
        processor.capture(asked, source, 1250)
    network.behave("ok")
    taken = processor.capture(asked, source, 1250)
    assert (taken.side, taken.confirmed_minor) == (Side.CAPTURED, 1250)
    back = replace(order(300), of=asked)
    network.behave("ok", "ok", behaviour)
    with pytest.raises(NoAnswer):
        processor.refund(back, source)
    network.behave("ok")
    assert processor.refund(back, source).side is Side.REFUNDED
    assert [each["amount"] for each in localstripe.refunds()] == [300]


def test_two_intents_of_one_order_are_both_released(
    localstripe: LocalStripe, processor: Stripe, network: Proxy
) -> None:
    """Stripe's idempotency keys forbid it; localstripe, and a key that was forgotten, do not."""
    source, asked = attach(localstripe), order()
    network.behave("twice")
    processor.authorize(asked, source)
    network.behave("ok")
    assert len(localstripe.intents()) == 2
    assert processor.void(asked, source).side is Side.RELEASED
    assert [each["status"] for each in localstripe.intents()] == ["canceled"] * 2


def test_an_intent_of_another_order_says_nothing(
    localstripe: LocalStripe, processor: Stripe
) -> None:
    source, asked, other = attach(localstripe), order(), order(1251)
    held = processor.authorize(asked, source)
    with pytest.raises(NoAnswer, match="another order"):
        processor.query(named(other, held), source)


def test_the_library_logs_nothing(
    localstripe: LocalStripe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    source = attach(localstripe)
    localstripe.processor().authorize(order(), source)
    assert KEY not in caplog.text
    assert source.customer not in caplog.text
    assert {each.name for each in caplog.records} <= {"urllib3.connectionpool", "asyncio"}
    monkeypatch.setenv("STRIPE_LOG", "debug")
    with pytest.raises(Misconfigured, match="STRIPE_LOG"):
        Stripe(KEY)


NOW_MS = int(time.time() * 1000)


def event(transfer: object = None, **changes: object) -> bytes:
    said = {
        "id": "evt_1",
        "object": "event",
        "data": {"object": {"metadata": {"transfer": str(transfer)} if transfer else {}}},
    }
    return json.dumps(said | changes).encode()


def signature(body: bytes, *, at_ms: int = NOW_MS, secret: str = SECRET) -> str:
    return WebhookSignature.generate_signature_header(body.decode(), secret, at_ms // 1000)


def test_a_signed_event_names_its_transfer() -> None:
    transfer = TransferId.new()
    body = event(transfer)
    found = read_event(body, signature(body), SECRET, now_ms=NOW_MS)
    assert (found.event, found.transfer) == ("evt_1", transfer)
    for other in (event(), event("tra_wrong"), event(AccountId.new())):
        assert read_event(other, signature(other), SECRET, now_ms=NOW_MS).transfer is None


def test_an_event_that_stripe_did_not_sign_of_late_is_refused() -> None:
    body = event(TransferId.new())
    old = signature(body, at_ms=NOW_MS - (EVENT_AGE_MAX_S + 5) * 1000)
    early = signature(body, at_ms=NOW_MS + (EVENT_AGE_MAX_S + 5) * 1000)
    good = signature(body)
    for changed, header in (
        (body + b" ", good),
        (body, good[:-1] + ("0" if good[-1] != "0" else "1")),
        (body, signature(body, secret="whsec_other")),
        (body, old),
        (body, early),
        (body, f"{old},t={NOW_MS // 1000}"),
        (body, f"t={NOW_MS // 1000},{old}"),
        (body, ""),
        (body, "v1=abc"),
    ):
        with pytest.raises(ValueError, match="event"):
            read_event(changed, header, SECRET, now_ms=NOW_MS)


@given(
    body=st.binary(max_size=60)
    | st.sampled_from([event(id=3), event(id="x"), event(data=None), event(data={}), b"[]", b"1"]),
    header=st.none() | st.text(max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_event_or_a_named_error(body: bytes, header: str | None) -> None:
    try:
        signed = signature(body) if header is None else header
    except UnicodeDecodeError:
        signed = "t=1,v1=00"
    with pytest.raises(ValueError, match="event"):
        read_event(body, signed, SECRET, now_ms=NOW_MS)
