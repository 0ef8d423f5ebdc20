"""Whole attempts: a terminal's bytes in, a signed decision out, rows in a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.ledger import store as ledger
from service.ledger.check import check_balances
from service.operators.acts import Operations
from service.terminals import store as terminals
from service.verification.policy import Tier, default_policy
from tests.ceremony.house import (
    House,
    enrol,
    entry,
    face,
    live_report,
    payment,
    probe,
    withdrawal,
)
from wire import envelope
from wire.denial import Denial, Reason
from wire.ids import AccountId, AttemptId, ChallengeId, MerchantId
from wire.messages import (
    Acknowledgement,
    Completion,
    EnrolmentContext,
    LivenessOutcome,
    PaymentContext,
    Probe,
    Problem,
    Source,
    TerminalKind,
)

STORE, ATM, DOOR = TerminalKind.STORE, TerminalKind.ATM, TerminalKind.DOOR


def balance(house: House, account: AccountId) -> tuple[int, int]:
    with house.database.transaction() as conn:
        wallet = ledger.wallet_of(conn, account)
        assert check_balances(conn) == ()
    assert wallet is not None
    return wallet.balance_minor, wallet.held_minor


def test_the_person_pays_and_the_impostor_does_not(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    genuine = store.attempt(payment(house, 600), probe(1))
    assert genuine.approved
    assert genuine.result == genuine.attempt.raw
    assert genuine.context == payment(house, 600)
    impostor = store.attempt(payment(house, 100), probe(2, claim="card:1"))
    assert impostor.reason == Reason.NOT_VERIFIED
    assert house.denial_of(impostor.attempt) == Denial.NO_MATCH
    poor = store.attempt(payment(house, 600), probe(1))
    assert poor.reason == Reason.INSUFFICIENT_FUNDS
    assert balance(house, account) == (400, 0)


def test_the_same_evidence_gets_the_same_bytes_and_is_charged_once(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    raw = store.sign(store.evidence(store.challenge(payment(house)), probe(1)))
    first = store.send("/v1/attempts", raw)
    house.clock.now_ms += 10**9
    assert [store.send("/v1/attempts", raw).data for _ in range(3)] == [first.data] * 3
    assert balance(house, account) == (500, 0)


def test_an_attempt_id_is_not_used_for_other_evidence(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    evidence = store.evidence(store.challenge(payment(house)), probe(1))
    store.send("/v1/attempts", store.sign(evidence))
    other = store.evidence(store.challenge(payment(house)), probe(1), attempt=evidence.attempt)
    answer = store.send("/v1/attempts", store.sign(other))
    assert answer.status_code == 409
    assert balance(house, account) == (500, 0)


def test_a_withdrawal_is_held_until_the_notes_are_out(house: House) -> None:
    account, atm = enrol(house, 1), house.add_terminal(ATM)
    house.top_up(account, 5000)
    for completion, after in ((Completion.FAILED, 5000), (Completion.COMPLETED, 3000)):
        decision = atm.attempt(withdrawal(), probe(1, pin="2468"))
        assert decision.approved
        assert balance(house, account) == (5000, 2000)
        for said in (completion, Completion.COMPLETED, Completion.FAILED):
            answer = atm.confirm(decision.attempt, said)
            acknowledged = envelope.parse(answer.data, Acknowledgement).message
            assert acknowledged.completion is completion
        assert balance(house, account) == (after, 0)


def test_the_pin_is_asked_for_where_the_policy_says(house: House) -> None:
    account, atm = enrol(house, 1), house.add_terminal(ATM)
    house.top_up(account, 5000)
    for pin, denial in ((None, Denial.PIN_MISSING), ("1111", Denial.PIN_WRONG)):
        decision = atm.attempt(withdrawal(), probe(1, pin=pin))
        assert decision.reason == Reason.NOT_VERIFIED
        assert house.denial_of(decision.attempt) == denial
    no_pin = enrol(house, 2, pin=None)
    house.top_up(no_pin, 5000)
    decision = atm.attempt(withdrawal(), probe(2, pin="2468"))
    assert house.denial_of(decision.attempt) == Denial.PIN_WRONG


def test_a_door_opens_for_who_is_granted_and_when(house: House) -> None:
    account, door = enrol(house, 1), house.add_terminal(DOOR)
    missing = door.attempt(entry(house), probe(1))
    assert missing.reason == Reason.NOT_PERMITTED
    house.grant(account, "Sun 00:00-00:01")
    late = door.attempt(entry(house), probe(1))
    assert late.reason == Reason.OUTSIDE_SCHEDULE
    house.grant(account)
    opened = door.attempt(entry(house), probe(1))
    assert opened.approved
    assert door.confirm(opened.attempt, Completion.COMPLETED).status_code == 200
    with house.database.transaction() as conn:
        assert conn.execute("SELECT state FROM entries").fetchall() == [("confirmed",)]


def test_a_terminal_cannot_tell_why_a_person_was_not_verified(house: House) -> None:
    for seed in range(1, 5):
        enrol(house, seed)
    store = house.add_terminal(STORE)
    with house.database.transaction() as conn:
        conn.execute(
            "UPDATE accounts SET state = 'suspended' WHERE account_id = (SELECT account_id"
            " FROM claims WHERE claim_hash = %s)",
            (house.keys.claim_hash("card:2"),),
        )
        conn.execute(
            "UPDATE accounts SET consent_version = NULL WHERE account_id = (SELECT account_id"
            " FROM claims WHERE claim_hash = %s)",
            (house.keys.claim_hash("card:3"),),
        )
        conn.execute(
            "UPDATE accounts SET locked_until_ms = %s WHERE account_id = (SELECT account_id"
            " FROM claims WHERE claim_hash = %s)",
            (2**52, house.keys.claim_hash("card:4")),
        )
    cases = {
        probe(99, claim="card:unknown"): Denial.ACCOUNT_UNKNOWN,
        probe(99, claim="card:1"): Denial.NO_MATCH,
        probe(2): Denial.ACCOUNT_SUSPENDED,
        probe(3): Denial.CONSENT_MISSING,
        probe(4): Denial.ACCOUNT_LOCKED,
    }
    shapes = set()
    for wrong, denial in cases.items():
        evidence = store.evidence(store.challenge(payment(house)), wrong)
        answer = store.send("/v1/attempts", store.sign(evidence))
        decision = store.read(answer)
        assert house.denial_of(decision.attempt) == denial
        shapes.add((answer.status_code, decision.reason, decision.result, len(answer.data)))
    assert len(shapes) == 1


def test_failures_lock_the_account_for_longer_and_longer(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 10_000)
    for _ in range(10):
        store.attempt(payment(house), probe(2, claim="card:1"))
    locked = store.attempt(payment(house), probe(1))
    assert house.denial_of(locked.attempt) == Denial.ACCOUNT_LOCKED
    house.clock.now_ms += 30_000
    store.attempt(payment(house), probe(2, claim="card:1"))
    house.clock.now_ms += 30_001
    again = store.attempt(payment(house), probe(1))
    assert house.denial_of(again.attempt) == Denial.ACCOUNT_LOCKED
    house.clock.now_ms += 30_000
    assert store.attempt(payment(house), probe(1)).approved
    assert not store.attempt(payment(house), probe(2, claim="card:1")).approved
    assert store.attempt(payment(house), probe(1)).approved


def test_holder_mode_needs_the_holders_share(house: House) -> None:
    share = b"s" * 32
    account, store = enrol(house, 1, share=share), house.add_terminal(STORE)
    house.top_up(account, 1000)
    assert store.attempt(payment(house), probe(1, share=share)).approved
    without = store.attempt(payment(house), probe(1))
    assert house.denial_of(without.attempt) == Denial.REFERENCE_UNREADABLE


CHANGES = [
    (Denial.COUNTER_NOT_INCREASED, {"counter": 0}),
    (Denial.CHALLENGE_UNKNOWN, {"challenge": ChallengeId(bytes(16))}),
    (Denial.CHALLENGE_FOREIGN, {"nonce": bytes(32)}),
    (
        Denial.CONTEXT_CHANGED,
        {
            "context": PaymentContext(
                amount_minor=1, currency="EUR", payee=MerchantId(bytes(16)), order="A-1"
            )
        },
    ),
    (Denial.MODEL_NOT_ACCEPTED, {"model_id": bytes(16)}),
    (Denial.SOURCE_NOT_ACCEPTED, {"source": Source.SIMULATED}),
]


@pytest.mark.parametrize(("denial", "change"), CHANGES)
def test_changed_evidence_is_refused_by_name(
    house: House, denial: Denial, change: dict[str, object]
) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    decision = store.attempt(payment(house), probe(1), **change)
    assert house.denial_of(decision.attempt) == denial
    assert decision.reason == denial.reason
    assert balance(house, account) == (1000, 0)


def test_a_challenge_serves_one_attempt_of_one_terminal_for_a_minute(house: House) -> None:
    enrol(house, 1)
    store, other = house.add_terminal(STORE), house.add_terminal(STORE)
    challenge = store.challenge(payment(house))

    def denial(device: object, **changes: object) -> str | None:
        evidence = device.evidence(challenge, probe(1), **changes)
        decision = device.read(device.send("/v1/attempts", device.sign(evidence)))
        return house.denial_of(decision.attempt)

    assert denial(other) == Denial.CHALLENGE_FOREIGN
    assert denial(store) == Denial.INSUFFICIENT_FUNDS
    assert denial(store) == Denial.CHALLENGE_REUSED
    challenge = store.challenge(payment(house))
    house.clock.now_ms += 60_000
    assert denial(store) == Denial.CHALLENGE_EXPIRED
    assert denial(store) == Denial.CHALLENGE_REUSED


def test_what_was_sealed_for_another_payment_does_not_open(house: House) -> None:
    enrol(house, 1)
    store = house.add_terminal(STORE)
    stolen = store.evidence(store.challenge(payment(house)), probe(1))
    fresh = store.evidence(store.challenge(payment(house)), probe(1))
    moved = replace(fresh, sealed=stolen.sealed)
    decision = store.read(store.send("/v1/attempts", store.sign(moved)))
    assert house.denial_of(decision.attempt) == Denial.PROBE_UNREADABLE


@pytest.mark.parametrize(
    "embeddings",
    [
        (bytes(512),),
        (face(1)[:256],),
        (b"\xff" * 512,),
        (face(1), face(1)),
    ],
    ids=["zeros", "short", "not a number", "two"],
)
def test_a_probe_that_is_no_embedding_is_refused(
    house: House, embeddings: tuple[bytes, ...]
) -> None:
    enrol(house, 1)
    store = house.add_terminal(STORE)
    wrong = Probe(claim="card:1", embeddings=embeddings, pin=None, holder_share=None)
    decision = store.attempt(payment(house), wrong)
    assert house.denial_of(decision.attempt) == Denial.PROBE_UNREADABLE


def test_liveness_is_asked_for(house: House) -> None:
    enrol(house, 1)
    store = house.add_terminal(STORE)
    challenge = store.challenge(payment(house))
    good = store.evidence(challenge, probe(1)).liveness
    attack = replace(good, outcome=LivenessOutcome.ATTACK)
    decision = store.read(
        store.send("/v1/attempts", store.sign(store.evidence(challenge, probe(1), liveness=attack)))
    )
    assert decision.reason == Reason.LIVENESS_NOT_SHOWN
    assert house.denial_of(decision.attempt) == Denial.LIVENESS_ATTACK


def test_an_enrolment_is_refused_where_it_must_be(house: House) -> None:
    enrol(house, 1)
    station = house.add_terminal(TerminalKind.ENROLMENT)
    consent = default_policy().consent_version

    def denial(wanted: Probe, version: str = consent) -> str | None:
        context = EnrolmentContext(account=AccountId.new(), consent_version=version)
        decision = station.attempt(context, wanted)
        return house.denial_of(decision.attempt)

    two = Probe(claim="card:9", embeddings=(face(9), face(8)), pin=None, holder_share=None)
    assert denial(probe(1)) == Denial.CLAIM_TAKEN
    assert denial(probe(9), "2020-01") == Denial.CONSENT_MISSING
    assert denial(two) == Denial.REFERENCES_DISAGREE
    assert denial(probe(9, pin="12")) == Denial.PIN_MISSING
    assert denial(probe(9)) is None


def reason(answer: object, status: int) -> str:
    assert answer.status_code == status
    return Problem.decode(answer.data).reason


def test_terminals_that_are_not_accepted_get_no_decision(house: House) -> None:
    enrol(house, 1)
    store, other = house.add_terminal(STORE), house.add_terminal(STORE)
    evidence = store.evidence(store.challenge(payment(house)), probe(1))
    foreign = envelope.sign(evidence, replace(other.key, kid=store.key.kid)).raw
    refused = Reason.EVIDENCE_NOT_ACCEPTED
    assert reason(store.send("/v1/attempts", foreign), 401) == refused
    unknown = envelope.sign(evidence, other.key).raw
    assert reason(store.send("/v1/attempts", unknown), 401) == Reason.TERMINAL_NOT_ACCEPTED
    with house.database.transaction() as conn:
        assert terminals.revoke(conn, store.terminal, now_ms=1)
    answer = store.send("/v1/attempts", store.sign(evidence))
    assert reason(answer, 403) == Reason.TERMINAL_NOT_ACCEPTED
    assert reason(store.ask(payment(house)), 403) == Reason.TERMINAL_NOT_ACCEPTED


def test_a_terminal_asks_only_for_its_own(house: House) -> None:
    store = house.add_terminal(STORE)
    foreign = replace(payment(house), payee=MerchantId.new())
    assert store.ask(foreign).status_code == 400
    assert store.ask(withdrawal()).status_code == 400
    assert store.ask(entry(house)).status_code == 400
    assert store.ask(payment(house, 10**9)).status_code == 422


def test_a_code_registers_one_key_once(house: House) -> None:
    store = house.add_terminal(STORE)
    assert store.terminal != house.add_terminal(STORE).terminal
    raw = store.sign(store.evidence(store.challenge(payment(house)), probe(1)))
    for path in ("/v1/terminals", "/v1/challenges", "/v1/confirmations"):
        assert store.send(path, raw).status_code == 400
    assert store.confirm(AttemptId.new(), Completion.COMPLETED).status_code == 400


@pytest.mark.parametrize("path", ["terminals", "challenges", "attempts", "confirmations"])
def test_hostile_bodies_get_a_problem_and_never_a_traceback(house: House, path: str) -> None:
    client = house.client()
    for body, status in (
        (b"", 400),
        (b"\xd2", 400),
        (b"\xd2\x84" + b"\x81" * 5000, 400),
        (b"\x9b" + b"\xff" * 8, 400),
        (bytes(10 * 1024 * 1024), 413),
    ):
        answer = client.post(f"/v1/{path}", data=body, content_type="application/cose")
        assert reason(answer, status) == Reason.EVIDENCE_NOT_ACCEPTED
    answer = client.post(f"/v1/{path}", data=b"{}", content_type="application/json")
    assert answer.status_code == 415
    assert client.get(f"/v1/{path}").status_code == 405


def test_a_policy_is_the_one_that_stood_when_the_challenge_was_issued(house: House) -> None:
    account, store = enrol(house, 1), house.add_terminal(STORE)
    house.top_up(account, 1000)
    before = store.challenge(payment(house))
    strict = replace(
        default_policy(),
        tiers={
            **default_policy().tiers,
            "payment": (Tier(fmr=1e-4, level="strict", pin=True),),
        },
    )
    house.publish(strict)
    after = store.challenge(payment(house))
    assert (before.pin_required, after.pin_required) == (False, True)
    decision = store.read(store.send("/v1/attempts", store.sign(store.evidence(before, probe(1)))))
    assert decision.approved


def test_a_terminal_is_pinned_to_its_first_camera_until_an_operator_accepts_another(
    house: House,
) -> None:
    door = house.add_terminal(TerminalKind.DOOR)
    house.grant(enrol(house, 2))

    def enter(camera: bytes, **changes: object) -> str | None:
        challenge = door.challenge(entry(house))
        report = replace(live_report(challenge), camera=camera, **changes)  # type: ignore[arg-type]
        evidence = door.evidence(challenge, probe(2), liveness=report)
        decision = door.read(door.send("/v1/attempts", door.sign(evidence)))
        return house.denial_of(decision.attempt)

    one, other = b"1" * 32, b"2" * 32
    assert enter(other, outcome=LivenessOutcome.UNDECIDED) == Denial.LIVENESS_UNDECIDED
    assert enter(one) is None  # what was not live pinned nothing
    assert enter(other) == Denial.CAMERA_CHANGED
    assert enter(one) is None
    operations = Operations(house.database, house.keys, house.clock)
    assert operations.accept_camera(door.terminal)
    assert not operations.accept_camera(door.terminal)
    assert enter(other) is None
    assert enter(one) == Denial.CAMERA_CHANGED
