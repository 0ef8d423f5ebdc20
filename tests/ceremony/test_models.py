"""Two models at once: a face verified by the old one is enrolled by the better one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.enrolment import accounts
from service.verification.policy import default_policy
from tests.ceremony.house import (
    BETTER_MODEL_ID,
    MODEL_ID,
    Device,
    House,
    enrol,
    face,
    payment,
    probe,
)
from wire.denial import Denial
from wire.ids import AccountId
from wire.messages import Decision, EnrolmentContext, Probe, Successor, TerminalKind

SHARE = b"h" * 32


def by_both(seed: int, *, better: int | None = None, share: bytes | None = None) -> Probe:
    """``better`` is whose face the better model saw, where it is somebody else's."""
    numbers = face(1000 + (seed if better is None else better), like=0.9)
    successor = Successor(model_id=BETTER_MODEL_ID, embedding=numbers)
    return replace(probe(seed, share=share), successor=successor)


def by_better(seed: int, *, claim: str) -> Probe:
    return Probe(
        claim=claim, embeddings=(face(1000 + seed, like=0.9),), pin=None, holder_share=None
    )


def models_of(house: House) -> dict[frozenset[bytes], int]:
    with house.database.transaction() as conn:
        return accounts.count_by_models(conn)


@pytest.fixture
def store(house: House) -> Device:
    return house.add_terminal(TerminalKind.STORE)


def customer(house: House, *, share: bytes | None = None) -> AccountId:
    account = enrol(house, 1, share=share)
    house.top_up(account, 1000)
    return account


def denial(house: House, decision: Decision) -> str | None:
    return house.denial_of(decision.attempt)


@pytest.mark.parametrize("share", [None, SHARE])
def test_a_verified_face_is_enrolled_by_the_better_model(
    house: House, store: Device, share: bytes | None
) -> None:
    customer(house, share=share)
    assert models_of(house) == {frozenset({MODEL_ID}): 1}
    assert store.attempt(payment(house), by_both(1, share=share)).approved
    assert models_of(house) == {frozenset({MODEL_ID, BETTER_MODEL_ID}): 1}
    alone = replace(by_better(1, claim="card:1"), holder_share=share)
    assert store.attempt(payment(house), alone, model_id=BETTER_MODEL_ID).approved
    other = replace(by_better(2, claim="card:1"), holder_share=share)
    refused = store.attempt(payment(house), other, model_id=BETTER_MODEL_ID)
    assert denial(house, refused) == Denial.NO_MATCH


def test_the_log_says_that_a_reference_was_added(house: House, store: Device) -> None:
    customer(house)
    for _ in range(2):
        assert store.attempt(payment(house, 1), by_both(1)).approved
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    assert [BETTER_MODEL_ID in leaf for (leaf,) in rows[-2:]] == [True, False]


def test_nothing_is_enrolled_by_who_is_denied(house: House, store: Device) -> None:
    customer(house)
    impostor = replace(by_both(2), claim="card:1")
    assert denial(house, store.attempt(payment(house), impostor)) == Denial.NO_MATCH
    poor = store.attempt(payment(house, 5000), by_both(1))
    assert denial(house, poor) == Denial.INSUFFICIENT_FUNDS
    assert models_of(house) == {frozenset({MODEL_ID}): 1}


def test_where_both_are_enrolled_the_better_one_decides(house: House, store: Device) -> None:
    customer(house)
    assert store.attempt(payment(house), by_both(1)).approved
    mixed = store.attempt(payment(house), by_both(1, better=2))
    assert denial(house, mixed) == Denial.NO_MATCH


def test_a_model_that_the_policy_dropped_is_accepted_no_more(house: House, store: Device) -> None:
    customer(house)
    assert store.attempt(payment(house), by_both(1)).approved
    house.publish(replace(default_policy(), packs=("open",)))
    assert store.challenge(payment(house)).model_ids == (BETTER_MODEL_ID,)
    assert denial(house, store.attempt(payment(house), probe(1))) == Denial.MODEL_NOT_ACCEPTED
    both = store.attempt(payment(house), by_both(1))
    assert denial(house, both) == Denial.MODEL_NOT_ACCEPTED


@pytest.mark.parametrize(
    "successor",
    [
        Successor(model_id=MODEL_ID, embedding=face(1)),
        Successor(model_id=b"an unknown model", embedding=face(1)),
        Successor(model_id=BETTER_MODEL_ID, embedding=face(1)[:256]),
        Successor(model_id=BETTER_MODEL_ID, embedding=b"\xff" * 512),
    ],
    ids=["itself", "unknown", "short", "nan"],
)
def test_a_successor_that_cannot_be_one(house: House, store: Device, successor: Successor) -> None:
    customer(house)
    sent = replace(probe(1), successor=successor)
    assert denial(house, store.attempt(payment(house), sent)) == Denial.PROBE_UNREADABLE


def test_an_enrolment_by_both_models_keeps_both(house: House, store: Device) -> None:
    account = AccountId.new()
    context = EnrolmentContext(account=account, consent_version=default_policy().consent_version)
    station = house.add_terminal(TerminalKind.ENROLMENT)
    assert station.attempt(context, by_both(1)).approved
    assert models_of(house) == {frozenset({MODEL_ID, BETTER_MODEL_ID}): 1}
