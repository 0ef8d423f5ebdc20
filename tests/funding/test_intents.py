"""A merchant's payment intents on outside money: closed only by a payment that is there."""

from __future__ import annotations

import pytest

from service import checkout
from service.db import Database
from service.funding.processor import ProcessorName, StripeSource
from service.payments.rules import Intent, NewIntent, Part, State
from tests.ceremony.house import probe
from tests.funding.conftest import LocalStripe
from tests.funding.proxy import open_proxy
from tests.funding.test_attempts import Counter, Late, open_counter
from tests.funding.test_stripe import DECLINED
from wire.denial import Denial
from wire.ids import PaymentIntentId
from wire.messages import Decision, TerminalKind
from wire.money import Money

HOUR_MS = 3_600_000


class Shop:
    """A till whose merchant asks for payments, and a customer of Stripe's."""

    def __init__(self, till: Counter) -> None:
        self.till = till
        self.acts = checkout.of(till.house.operations)

    def ask(self, *, hold_ms: int | None = None) -> Intent:
        made = self.acts.create(
            NewIntent(
                merchant=self.till.house.merchant,
                money=Money(amount_minor=500, currency="EUR"),
                order="A-1",
                terminal=None,
                site=None,
                hold_ms=hold_ms,
                lives_ms=HOUR_MS,
            )
        )
        assert isinstance(made, Intent)
        return made

    def pay(self, intent: Intent) -> Decision:
        return self.till.device.attempt(intent.context, probe(1))

    def state(self, intent: PaymentIntentId) -> State:
        with self.till.house.database.transaction() as conn:
            found = checkout.payments.find(conn, intent, now_ms=self.till.house.clock())
        assert found is not None
        return found.state


@pytest.fixture
def shop(database: Database, localstripe: LocalStripe) -> Shop:
    source = StripeSource(method=localstripe.card())
    processor = localstripe.processor()
    return Shop(open_counter(database, TerminalKind.STORE, ProcessorName.STRIPE, processor, source))


def test_an_intent_is_captured_at_once(shop: Shop) -> None:
    intent = shop.ask()
    assert shop.pay(intent).approved
    assert shop.state(intent.intent) is State.CAPTURED
    shop.till.work()
    assert shop.till.sides() == [("posted", "captured", 500)]
    assert shop.till.check() == ()


def test_what_is_captured_by_hand_in_part_is_taken_in_part(
    shop: Shop, localstripe: LocalStripe
) -> None:
    intent = shop.ask(hold_ms=24 * HOUR_MS)
    assert shop.pay(intent).approved
    shop.till.work()
    assert (shop.state(intent.intent), shop.till.sides()) == (
        State.AUTHORIZED,
        [("pending", "authorized", 0)],
    )
    part = Part(amount_minor=300, currency=None)
    assert isinstance(shop.acts.capture(intent.merchant, intent.intent, part), Intent)
    shop.till.work()
    assert shop.till.sides() == [("posted", "captured", 300)]
    assert [each["status"] for each in localstripe.intents()] == ["succeeded"]
    assert shop.till.check() == ()


def test_what_is_voided_or_over_is_let_go(shop: Shop, localstripe: LocalStripe) -> None:
    voided, over = (shop.ask(hold_ms=HOUR_MS) for _ in range(2))
    assert shop.pay(voided).approved
    assert shop.pay(over).approved
    assert isinstance(shop.acts.void(voided.merchant, voided.intent), Intent)
    shop.till.work(later_ms=HOUR_MS)
    assert {state for state, *_ in shop.till.sides()} == {"voided", "expired"}
    assert [each["status"] for each in localstripe.intents()] == ["canceled"] * 2
    assert shop.till.check() == ()


def test_a_card_that_is_declined_leaves_the_intent_open(
    shop: Shop, localstripe: LocalStripe
) -> None:
    house, account = shop.till.house, shop.till.account
    intent = shop.ask()
    broke = StripeSource(method=localstripe.card(DECLINED))
    assert house.operations.attach_source(account, broke, house.processors) is None
    refused = shop.pay(intent)
    assert house.denial_of(refused.attempt) == Denial.FUNDING_DECLINED
    assert shop.state(intent.intent) is State.OPEN
    good = StripeSource(method=localstripe.card())
    assert house.operations.attach_source(account, good, house.processors) is None
    assert shop.pay(intent).approved
    assert shop.state(intent.intent) is State.CAPTURED


def test_an_intent_that_was_voided_meanwhile_is_not_paid(
    database: Database, localstripe: LocalStripe
) -> None:
    """Stripe holds the money when the merchant takes the order back."""

    class Slow(Late):
        def authorize(self, order, source):  # type: ignore[no-untyped-def]
            answer = self.processor.authorize(order, source)
            shop.acts.void(intent.merchant, intent.intent)
            return answer

    slow = Slow(localstripe.processor())
    source = StripeSource(method=localstripe.card())
    shop = Shop(open_counter(database, TerminalKind.STORE, ProcessorName.STRIPE, slow, source))
    intent = shop.ask()
    decision = shop.pay(intent)
    assert shop.till.house.denial_of(decision.attempt) == Denial.INTENT_CLOSED
    shop.till.work()
    assert [each["status"] for each in localstripe.intents()] == ["canceled"]
    assert shop.till.check() == ()


def test_nobody_may_capture_what_stripe_has_not_answered(
    shop: Shop, localstripe: LocalStripe
) -> None:
    intent = shop.ask(hold_ms=HOUR_MS)
    with open_proxy(localstripe.url) as network:
        network.behave("lost")
        house = shop.till.house
        house.processors[ProcessorName.STRIPE]._api = (  # type: ignore[attr-defined]
            type(localstripe.processor())("sk_test_1", url=network.url)._api
        )
        challenge = shop.till.device.challenge(intent.context)
        raw = shop.till.device.sign(shop.till.device.evidence(challenge, probe(1)))
        assert shop.till.send(raw) == 503
        assert shop.state(intent.intent) is State.OPEN
        part = Part(amount_minor=None, currency=None)
        assert not isinstance(shop.acts.capture(intent.merchant, intent.intent, part), Intent)
        network.behave("ok")
        assert shop.till.decide(raw).approved
        assert shop.state(intent.intent) is State.AUTHORIZED
