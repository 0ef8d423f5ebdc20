"""The way without a face, end to end: card or code and PIN, with lockouts apart from the face's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from access.lockout import PIN_LOCKOUT, Lockout, Tallies
from countenance.cli import main
from service.ledger.check import check
from service.verification.policy import Policy, default_policy
from terminal_client.atm import CashMachine
from terminal_client.atm import withdrawal as withdraw
from terminal_client.card import CardCeremony, attempt_by_card
from terminal_client.device import Device, left_over
from terminal_client.drivers.simulated_dispenser import SimulatedDispenser
from terminal_client.enrolment import enrolment
from terminal_client.errors import NotTheService, Unreachable, UsageError
from terminal_client.exchange import COMPLETED, Ended
from terminal_client.journal import Journal
from terminal_client.keystore import Keystore
from terminal_client.outbox import CARD_ATTEMPT, Outbox
from terminal_client.transport import send
from tests.ceremony.devices import InProcess, register_device
from tests.ceremony.house import (
    House,
    card,
    enrol,
    enrol_without_face,
    entry,
    face,
    payment,
    probe,
    withdrawal,
)
from wire import envelope
from wire.denial import Denial, Reason
from wire.ids import AccountId, ChallengeId
from wire.messages import (
    NO_BIOMETRICS,
    CardProbe,
    Challenge,
    EnrolmentContext,
    Factor,
    Level,
    TerminalKind,
    WithdrawalContext,
)
from wire.money import Money

STORE, ATM, DOOR = TerminalKind.STORE, TerminalKind.ATM, TerminalKind.DOOR


def leaves(house: House) -> list[dict[int, object]]:
    with house.database.transaction() as conn:
        rows = conn.execute("SELECT leaf FROM audit_entries ORDER BY entry_id").fetchall()
    return [cbor2.loads(row[0]) for row in rows]


def top_up(house: House, account: AccountId, amount_minor: int = 100_000) -> None:
    assert (
        house.operations.top_up(account, Money(amount_minor=amount_minor, currency="EUR")) is None
    )


def device(house: House, home: Path, kind: TerminalKind) -> Device:
    if not home.exists():
        register_device(house, home, kind)
    return Device(Keystore(home), Outbox(home / "outbox.db"), InProcess(house), unix_ms=house.clock)


def by_card(terminal: Device, context: object, pin: str = "2468", **more: object) -> Ended:
    values = {"act": left_over, **more}
    return attempt_by_card(terminal, context, "qr:7", lambda: pin, **values)


def test_somebody_enrols_pays_draws_cash_and_enters_without_a_face(
    house: House, tmp_path: Path
) -> None:
    account = AccountId.new()
    with device(house, tmp_path / "desk", TerminalKind.ENROLMENT) as desk:
        context = enrolment(desk.identity, account, NO_BIOMETRICS)
        assert by_card(desk, context, act=lambda _: COMPLETED).approved
    top_up(house, account)
    house.grant(account)
    with device(house, tmp_path / "store", STORE) as store:
        paid = by_card(store, payment(house, 12_500), act=lambda _: COMPLETED)
        assert paid.decision.factor is Factor.CARD_PIN
        assert by_card(store, payment(house), "1357").reason == Reason.NOT_VERIFIED
        assert store.outbox.waiting() == []
    with device(house, tmp_path / "atm", ATM) as atm:
        unit = SimulatedDispenser(tmp_path / "unit.db", {5000: 4})
        machine = CashMachine(unit, Journal(tmp_path / "journal"), house.clock)
        money = Money(amount_minor=10_000, currency="EUR")
        drawn = withdraw(atm.identity, money, unit.at_hand())
        assert by_card(atm, drawn, act=machine.dispense).approved
        unit.close()
    door = house.add_terminal(DOOR)
    assert door.card_attempt(entry(house), card(7, claim="qr:7")).approved
    with house.database.transaction() as conn:
        assert check(conn) == ()
        row = conn.execute(
            "SELECT consent_version, consented_at_ms, (SELECT count(*) FROM face_references)"
            " FROM accounts"
        ).fetchone()
        ways = conn.execute("SELECT DISTINCT factor FROM attempts").fetchall()
    assert row == (None, None, 0)
    assert ways == [(int(Factor.CARD_PIN),)]
    decisions = [leaf for leaf in leaves(house) if leaf[1] == "decision"]
    assert {leaf[12] for leaf in decisions} == {int(Factor.CARD_PIN)}


def test_who_has_a_face_may_choose_this_way_too_and_the_decision_says_so(house: House) -> None:
    top_up(house, enrol(house, 1))
    store = house.add_terminal(STORE)
    ways = [
        store.card_attempt(payment(house), card(1)),
        store.attempt(payment(house), probe(1)),
        store.attempt(payment(house, 50_000), probe(1, pin="2468")),
    ]
    assert [each.approved for each in ways] == [True] * 3
    assert [each.factor for each in ways] == [Factor.CARD_PIN, Factor.FACE, Factor.FACE_PIN]


def test_an_account_without_a_face_is_not_verified_by_one(house: House) -> None:
    top_up(house, enrol_without_face(house, 1))
    store = house.add_terminal(STORE)
    denied = store.attempt(payment(house), probe(1))
    assert denied.reason == Reason.NOT_VERIFIED
    assert house.denial_of(denied.attempt) == Denial.CONSENT_MISSING


def test_its_challenge_has_no_face_in_it(house: House) -> None:
    challenge = house.add_terminal(ATM).challenge(withdrawal(), face=False)
    assert (challenge.factor, challenge.level, challenge.model_ids, challenge.plan.steps) == (
        Factor.CARD_PIN, Level.NONE, (), (),
    )  # fmt: skip


def test_the_policy_says_where_and_up_to_what(house: House) -> None:
    store, door = house.add_terminal(STORE), house.add_terminal(DOOR)
    standard = default_policy()
    house.publish(replace(standard, without_face={"payment": 1_000}))
    assert store.ask(payment(house, 1_000), face=False).status_code == 201
    above = store.ask(payment(house, 1_001), face=False)
    assert above.status_code == 422
    assert store.ask(payment(house, 1_001)).status_code == 201
    refused = door.ask(entry(house), face=False)
    assert (refused.status_code, Reason.NOT_PERMITTED.encode() in refused.data) == (400, True)
    without = Policy(tiers=standard.tiers)
    assert without.refuse_card(payment(house)) is Denial.FACTOR_NOT_ALLOWED


@pytest.mark.parametrize(
    "without_face",
    [{"nose": 1}, {"payment": 0}, {"payment": True}, {"payment": 1.5}, {"payment": -1}],
)
def test_a_policy_with_other_words_is_refused(without_face: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="without_face"):
        replace(default_policy(), without_face=without_face)


def test_a_policy_is_stored_with_it() -> None:
    standard = replace(default_policy(), pin_lockout=Lockout(failures=3, hard_stop=7))
    assert Policy.from_document(standard.to_document()) == standard
    with pytest.raises(ValueError, match="no consent"):
        replace(standard, consent_version=NO_BIOMETRICS)


def test_the_ways_do_not_mix(house: House) -> None:
    top_up(house, enrol(house, 1))
    store = house.add_terminal(STORE)
    by_face = store.challenge(payment(house))
    raw = store.sign(store.card_evidence(by_face, card(1)))
    assert store.send("/v1/attempts", raw).status_code == 400
    mixed = store.read(store.send("/v1/card-attempts", raw))
    assert house.denial_of(mixed.attempt) == Denial.FACTOR_CHANGED
    without = store.challenge(payment(house), face=False)
    face_raw = store.sign(store.evidence(without, probe(1)))
    assert store.send("/v1/card-attempts", face_raw).status_code == 400
    mixed = store.read(store.send("/v1/attempts", face_raw))
    assert house.denial_of(mixed.attempt) == Denial.FACTOR_CHANGED
    assert (mixed.factor, mixed.approved) == (Factor.FACE, False)


def test_what_is_sealed_opens_for_this_evidence_and_this_way_only(house: House) -> None:
    top_up(house, enrol(house, 1))
    store = house.add_terminal(STORE)

    def denial(sealed: bytes | None, **changes: object) -> str | None:
        challenge = store.challenge(payment(house), face=False)
        evidence = store.card_evidence(challenge, card(1))
        if sealed is not None:
            evidence = replace(evidence, sealed=sealed)
        evidence = replace(evidence, **changes)
        raw = store.sign(evidence)
        return house.denial_of(store.read(store.send("/v1/card-attempts", raw)).attempt)

    other = store.card_evidence(store.challenge(payment(house), face=False), card(1))
    assert denial(None) is None
    assert denial(other.sealed) == Denial.PROBE_UNREADABLE
    assert denial(b"x") == Denial.PROBE_UNREADABLE
    assert denial(None, entered_at_ms=1) == Denial.PROBE_UNREADABLE
    assert denial(None, challenge=ChallengeId.new()) == Denial.CHALLENGE_UNKNOWN
    by_phone = object.__new__(CardProbe)  # what no strict terminal makes
    object.__setattr__(by_phone, "claim", "phone:1")
    object.__setattr__(by_phone, "pin", "2468")
    challenge = store.challenge(payment(house), face=False)
    raw = store.sign(store.card_evidence(challenge, by_phone))
    told = store.read(store.send("/v1/card-attempts", raw))
    assert house.denial_of(told.attempt) == Denial.PROBE_UNREADABLE


def test_the_same_evidence_gets_the_same_decision_and_is_charged_once(house: House) -> None:
    top_up(house, enrol_without_face(house, 1))
    store = house.add_terminal(STORE)
    raw = store.sign(store.card_evidence(store.challenge(payment(house), face=False), card(1)))
    answers = {store.send("/v1/card-attempts", raw).data for _ in range(3)}
    assert len(answers) == 1
    with house.database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM transfers WHERE kind = 'payment'").fetchone() == (
            1,
        )


def test_a_lost_answer_is_settled_at_the_next_start(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(send.__kwdefaults__, "tries", 1)
    account = AccountId.new()
    with device(house, tmp_path / "desk", TerminalKind.ENROLMENT) as desk:
        by_card(desk, enrolment(desk.identity, account, NO_BIOMETRICS))
    top_up(house, account)
    with device(house, tmp_path / "store", STORE) as store:
        through = store.transport.exchange

        def lossy(path: str, body: bytes, **bounds: object) -> object:
            reply = through(path, body, **bounds)
            if path == CARD_ATTEMPT:
                raise Unreachable("lost")
            return reply

        store.transport.exchange = lossy
        with pytest.raises(Unreachable):
            by_card(store, payment(house))
    with device(house, tmp_path / "store", STORE) as store:
        (decision,) = store.reconcile()
        assert decision.approved
        assert store.outbox.waiting() == []


def test_a_terminal_takes_no_phone_number_and_no_challenge_for_a_face(
    house: House, tmp_path: Path
) -> None:
    with device(house, tmp_path / "store", STORE) as store:
        with pytest.raises(UsageError, match="card:"):
            attempt_by_card(store, payment(house), "phone:1", lambda: "2468", act=left_over)
        key = store.keystore.signing_key(store.identity)
        ceremony = CardCeremony(store.identity, key, payment(house), "card:1")
        ceremony.ask(house.clock())
        other = house.add_terminal(STORE)
        challenge = replace(other.challenge(payment(house)), terminal=store.identity.terminal)
        assert isinstance(challenge, Challenge)
        with pytest.raises(NotTheService, match="for a face"):
            ceremony.begin(envelope.sign(challenge, house.keys.signing).raw)
        with pytest.raises(RuntimeError):
            CardCeremony(store.identity, key, payment(house), "card:1").evidence(
                counter=1, pin="2468", now_ms=1
            )


def fail(house: House, terminal: object, pin: str, times: int) -> list[str | None]:
    return [
        house.denial_of(terminal.card_attempt(payment(house), card(1, pin)).attempt)
        for _ in range(times)
    ]


def test_the_pin_locks_apart_from_the_face(house: House) -> None:
    top_up(house, enrol(house, 1))
    store = house.add_terminal(STORE)
    assert fail(house, store, "1357", 5) == [Denial.PIN_WRONG] * 5
    assert fail(house, store, "2468", 1) == [Denial.PIN_LOCKED]
    with_pin = store.attempt(payment(house, 50_000), probe(1, pin="2468"))
    assert house.denial_of(with_pin.attempt) == Denial.PIN_LOCKED
    assert store.attempt(payment(house), probe(1)).approved, "the face alone is not locked"
    assert fail(house, store, "2468", 1) == [Denial.PIN_LOCKED], "nor does it unlock the PIN"
    house.clock.now_ms += 30_000
    assert fail(house, store, "2468", 1) == [None]


def test_a_stranger_before_the_camera_locks_the_face_and_not_the_pin(house: House) -> None:
    top_up(house, enrol(house, 1))
    store = house.add_terminal(STORE)
    for _ in range(10):
        store.attempt(payment(house, 50_000), replace(probe(1, pin="1357"), embeddings=(face(9),)))
    locked = store.attempt(payment(house), probe(1))
    assert house.denial_of(locked.attempt) == Denial.ACCOUNT_LOCKED
    assert fail(house, store, "2468", 1) == [None], "card and PIN go on"


@pytest.mark.parametrize("pin", ["1", "123", "12345a", "000000000000"])
def test_a_pin_of_the_wrong_length_counts_like_a_wrong_one(house: House, pin: str) -> None:
    top_up(house, enrol_without_face(house, 1))
    store = house.add_terminal(STORE)
    expected = Denial.PIN_WRONG if len(pin) == 12 else Denial.PIN_MISSING
    assert fail(house, store, pin, 6) == [expected] * 5 + [Denial.PIN_LOCKED]


def test_ten_failures_are_a_hard_stop_until_an_operator_lifts_it(
    house: House, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = enrol_without_face(house, 1)
    top_up(house, account)
    store = house.add_terminal(STORE)
    for _ in range(10):
        assert fail(house, store, "1357", 1) == [Denial.PIN_WRONG]
        house.clock.now_ms += 3_600_000
    house.clock.now_ms += 10**11
    assert fail(house, store, "2468", 1) == [Denial.PIN_LOCKED]
    assert house.operations.set_account(account, active=True)
    assert fail(house, store, "2468", 1) == [Denial.PIN_LOCKED], "that lifts the face's alone"
    monkeypatch.setenv("COUNTENANCE_DATABASE_URL", url)
    monkeypatch.setenv("COUNTENANCE_HOME", str(tmp_path))
    told = CliRunner().invoke(main, ["account", "unlock-pin", str(account)])
    assert told.exit_code == 0, told.output
    assert fail(house, store, "2468", 1) == [None]
    assert "account.unlock-pin" in {leaf.get(3) for leaf in leaves(house)}
    unknown = CliRunner().invoke(main, ["account", "unlock-pin", str(AccountId.new())])
    assert unknown.exit_code == 1


@given(
    st.lists(st.tuples(st.sampled_from([None, *Denial]), st.sampled_from(Factor)), max_size=80),
)
def test_each_factor_counts_its_own_failures(steps: list[tuple[Denial | None, Factor]]) -> None:
    """Against a model: consecutive failures since the last success that showed the factor."""
    tallies, face_failures, pin_failures = Tallies(), 0, 0
    for denial, factor in steps:
        tallies = tallies.after(
            denial,
            factor=factor,
            lockout=Lockout(),
            pin_lockout=PIN_LOCKOUT,
            level=Level.STANDARD,
            now_ms=1,
        )
        if denial is None:
            face_failures = 0 if factor is not Factor.CARD_PIN else face_failures
            pin_failures = 0 if factor is not Factor.FACE else pin_failures
        face_failures += denial is Denial.NO_MATCH
        pin_failures += denial in (Denial.PIN_WRONG, Denial.PIN_MISSING)
        assert (tallies.face.failures, tallies.pin.failures) == (face_failures, pin_failures)
        assert tallies.face.is_locked(1) == (face_failures >= 10)
        assert tallies.pin.is_locked(1) == (pin_failures >= 5)


def test_an_enrolment_without_a_face_names_no_consent(house: House) -> None:
    station = house.add_terminal(TerminalKind.ENROLMENT)
    context = EnrolmentContext(account=AccountId.new(), consent_version="2026-11")
    denied = station.card_attempt(context, card(1))
    assert denied.reason == Reason.NOT_VERIFIED
    none = EnrolmentContext(account=AccountId.new(), consent_version=NO_BIOMETRICS)
    with_face = station.attempt(none, probe(1))
    assert house.denial_of(with_face.attempt) == Denial.CONSENT_MISSING


def test_limits_apply_as_they_do_to_a_face(house: House) -> None:
    top_up(house, enrol_without_face(house, 1), 900_000)
    atm = house.add_terminal(ATM)
    context = WithdrawalContext(amount_minor=20_000, currency="EUR")
    told = [atm.card_attempt(context, card(1)).reason for _ in range(6)]
    assert told == [None] * 5 + [Reason.REFUSED_FOR_NOW]
