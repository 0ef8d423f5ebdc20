"""Limits as a customer meets them: from the signed policy to the reason on the screen."""

from __future__ import annotations

from dataclasses import replace

from service.ledger.limits import DAY_MS, Ceiling, Limits, Velocity
from service.verification.policy import default_policy
from tests.ceremony.house import House, enrol, payment, probe, withdrawal
from wire.denial import Denial, Reason
from wire.messages import TerminalKind


def test_an_honest_customer_is_refused_for_now_and_pays_tomorrow(house: House) -> None:
    limits = {"payment": Limits(account=Ceiling(day_minor=1000))}
    house.publish(replace(default_policy(), limits=limits))
    account, store = enrol(house, 1), house.add_terminal(TerminalKind.STORE)
    house.top_up(account, 5000)
    assert store.attempt(payment(house, 900), probe(1)).approved
    refused = store.attempt(payment(house, 101), probe(1))
    assert refused.reason == Reason.REFUSED_FOR_NOW
    assert house.denial_of(refused.attempt) == Denial.ACCOUNT_DAY_LIMIT
    assert store.attempt(payment(house, 100), probe(1)).approved
    house.clock.now_ms += DAY_MS
    assert store.attempt(payment(house, 1000), probe(1)).approved


def test_an_impostor_does_not_learn_of_the_limit(house: House) -> None:
    limits = {"payment": Limits(velocity=(Velocity(transfers=1, within_ms=DAY_MS),))}
    house.publish(replace(default_policy(), limits=limits))
    account, store = enrol(house, 1), house.add_terminal(TerminalKind.STORE)
    house.top_up(account, 5000)
    assert store.attempt(payment(house), probe(1)).approved
    impostor = store.attempt(payment(house), probe(2, claim="card:1"))
    assert impostor.reason == Reason.NOT_VERIFIED
    assert store.attempt(payment(house), probe(1)).reason == Reason.REFUSED_FOR_NOW


def test_the_limit_of_one_terminal_is_not_that_of_the_other(house: House) -> None:
    limits = {"payment": Limits(terminal=Ceiling(day_minor=1000))}
    house.publish(replace(default_policy(), limits=limits))
    account = enrol(house, 1)
    stores = [house.add_terminal(TerminalKind.STORE) for _ in range(2)]
    house.top_up(account, 5000)
    assert stores[0].attempt(payment(house, 1000), probe(1)).approved
    refused = stores[0].attempt(payment(house, 1), probe(1))
    assert house.denial_of(refused.attempt) == Denial.TERMINAL_DAY_LIMIT
    assert stores[1].attempt(payment(house, 1), probe(1)).approved


def test_by_default_cash_is_drawn_five_times_in_ten_minutes(house: House) -> None:
    account, atm = enrol(house, 1), house.add_terminal(TerminalKind.ATM)
    house.top_up(account, 100_000)
    outcomes = [atm.attempt(withdrawal(), probe(1, pin="2468")) for _ in range(6)]
    assert [outcome.approved for outcome in outcomes] == [True] * 5 + [False]
    assert house.denial_of(outcomes[-1].attempt) == Denial.ACCOUNT_VELOCITY
    assert outcomes[-1].reason == Reason.REFUSED_FOR_NOW
