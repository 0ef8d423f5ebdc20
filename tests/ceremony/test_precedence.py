"""Where several denials apply, the first in the order of :class:`Denial` is named: for every one.

A table of faults, each of which alone gives its denial. Faults that exclude each other (a claim
that nobody has, and a locked account) are made from the last to the first, so the earlier stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from service import checkout
from service.ledger.limits import DAY_MS
from service.payments.rules import Intent, NewIntent
from service.verification.policy import default_policy
from tests.ceremony.house import (
    CURRENCY,
    Device,
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
from wire.denial import Denial
from wire.ids import AccountId, ChallengeId, DoorId
from wire.messages import (
    NO_BIOMETRICS,
    CardProbe,
    Context,
    EnrolmentContext,
    LivenessOutcome,
    PaymentContext,
    Probe,
    Purpose,
    Source,
    TerminalKind,
    purpose_of,
)
from wire.money import Money

CLAIM = "card:1"


@dataclass
class Attempt:
    """What is sent, before it is spoiled."""

    house: House
    account: AccountId
    device: Device
    context: Context
    probe: Probe | CardProbe
    evidence: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    after_challenge: list[Callable[[], None]] = field(default_factory=list)

    def sql(self, statement: str, *values: object) -> None:
        with self.house.database.transaction() as conn:
            conn.execute(statement, values)

    def of_account(self, change: str, *values: object) -> None:
        self.sql(f"UPDATE accounts SET {change} WHERE account_id = %s", *values, self.account.raw)

    def send(self) -> str | None:
        if isinstance(self.probe, CardProbe):
            return self.send_card(self.probe)
        challenge = self.device.challenge(self.context)
        sent = self.device.evidence(challenge, self.probe)
        changes = {"liveness": replace(sent.liveness, **self.report), **self.evidence}
        evidence = self.device.evidence(challenge, self.probe, **changes)
        for spoil in self.after_challenge:
            spoil()
        decision = self.device.read(self.device.send("/v1/attempts", self.device.sign(evidence)))
        return self.house.denial_of(decision.attempt)

    def send_card(self, probe: CardProbe) -> str | None:
        challenge = self.device.challenge(self.context, face=False)
        evidence = self.device.card_evidence(challenge, probe, **self.evidence)
        for spoil in self.after_challenge:
            spoil()
        raw = self.device.sign(evidence)
        decision = self.device.read(self.device.send("/v1/card-attempts", raw))
        return self.house.denial_of(decision.attempt)


Spoil = Callable[[Attempt], None]


def evidence(**changes: object) -> Spoil:
    return lambda attempt: attempt.evidence.update(changes)


def report(**changes: object) -> Spoil:
    return lambda attempt: attempt.report.update(changes)


def account(change: str, *values: object) -> Spoil:
    return lambda attempt: attempt.of_account(change, *values)


def probe_with(**changes: object) -> Spoil:
    def spoil(attempt: Attempt) -> None:
        attempt.probe = replace(attempt.probe, **changes)

    return spoil


def other_way(attempt: Attempt) -> None:
    def change() -> None:
        attempt.sql("UPDATE challenges SET face = NOT face")

    attempt.after_challenge.append(change)


def late(attempt: Attempt) -> None:
    def wait() -> None:
        attempt.house.clock.now_ms += 10**7

    attempt.after_challenge.append(wait)


def reused(attempt: Attempt) -> None:
    def use() -> None:
        attempt.sql("UPDATE challenges SET consumed_by = %s", bytes(16))

    attempt.after_challenge.append(use)


def another_amount(attempt: Attempt) -> None:
    changed = {
        Purpose.PAYMENT: payment(attempt.house, 40_000),
        Purpose.WITHDRAWAL: withdrawal(3000),
        Purpose.ENTRY: replace(entry(attempt.house), door=DoorId.new()),
        Purpose.ENROLMENT: EnrolmentContext(account=AccountId.new(), consent_version="x"),
    }
    attempt.evidence["context"] = changed[purpose_of(attempt.context)]


def no_pin_sent(attempt: Attempt) -> None:
    attempt.probe = replace(attempt.probe, pin=None)


def no_references(attempt: Attempt) -> None:
    attempt.sql("DELETE FROM face_references WHERE account_id = %s", attempt.account.raw)


def unreadable(attempt: Attempt) -> None:
    attempt.sql("UPDATE face_references SET ciphertext = %s", bytes(540))


def foreign_currency(attempt: Attempt) -> None:
    intent("currency = 'CHF'")(attempt)
    attempt.context = replace(attempt.context, currency="CHF")  # type: ignore[call-arg]


def intent(change: str) -> Spoil:
    """Of the payment intent's row, which a trigger keeps as it is."""

    def spoil(attempt: Attempt) -> None:
        attempt.sql("ALTER TABLE payment_intents DISABLE TRIGGER USER")
        attempt.sql(f"UPDATE payment_intents SET {change}")

    return spoil


def later(spoil: Spoil) -> Spoil:
    """After the challenge, which is refused for the same reasons."""
    return lambda attempt: attempt.after_challenge.append(lambda: spoil(attempt))


def no_payee(attempt: Attempt) -> None:
    attempt.sql("ALTER TABLE ledger_accounts DISABLE TRIGGER USER")
    attempt.sql("DELETE FROM ledger_accounts WHERE kind IN ('merchant', 'cassette')")


def no_money(attempt: Attempt) -> None:
    attempt.sql("UPDATE ledger_accounts SET balance_minor = 0 WHERE kind = 'wallet'")


def grant(schedule: str) -> Spoil:
    return lambda attempt: attempt.house.grant(attempt.account, schedule)


def expired_grant(attempt: Attempt) -> None:
    attempt.sql("UPDATE grants SET valid_until_ms = 1")


def no_grant(attempt: Attempt) -> None:
    attempt.sql("DELETE FROM grants")


def zone(change: str) -> Spoil:
    return lambda attempt: attempt.sql(f"UPDATE zones SET {change}")


def evacuated_site(attempt: Attempt) -> None:
    attempt.sql("UPDATE sites SET mode = 'evacuation'")


def over_visit(attempt: Attempt) -> None:
    attempt.sql("INSERT INTO visitors VALUES (%s, 1, 1)", attempt.account.raw)


def inside(*, other: bool) -> Callable[[Attempt], None]:
    def put(attempt: Attempt) -> None:
        attempt.sql(
            """INSERT INTO presences (zone_id, account_id, inside, since_ms, from_ms, entry_id)
            SELECT zone_id, %s, true, 1, 1, %s FROM doors""",
            bytes(16) if other else attempt.account.raw,
            bytes(16),
        )

    return put


def inside_already(attempt: Attempt) -> None:
    inside(other=False)(attempt)
    zone("passback = 'hard'")(attempt)


def full(attempt: Attempt) -> None:
    inside(other=True)(attempt)
    zone("occupancy_max = 2, two_person_ms = 30000")(attempt)


def no_door(attempt: Attempt) -> None:
    def remove() -> None:
        attempt.sql("DELETE FROM grants")
        attempt.sql("ALTER TABLE terminals DROP CONSTRAINT IF EXISTS terminals_door_id_fkey")
        attempt.sql("DELETE FROM waits")
        attempt.sql("DELETE FROM doors")

    attempt.after_challenge.append(remove)


def another_camera(attempt: Attempt) -> None:
    attempt.sql("UPDATE terminals SET camera = %s", bytes(32))


def other_consent(attempt: Attempt) -> None:
    attempt.context = replace(attempt.context, consent_version="other")  # type: ignore[call-arg]


FIRST: list[tuple[Denial, Spoil]] = [
    (Denial.COUNTER_NOT_INCREASED, evidence(counter=0)),
    (Denial.CHALLENGE_UNKNOWN, evidence(challenge=ChallengeId.new())),
    (Denial.CHALLENGE_FOREIGN, evidence(nonce=bytes(32))),
    (Denial.CHALLENGE_REUSED, reused),
    (Denial.CHALLENGE_EXPIRED, late),
    (Denial.CONTEXT_CHANGED, another_amount),
    (Denial.FACTOR_CHANGED, other_way),
    (Denial.MODEL_NOT_ACCEPTED, evidence(model_id=b"an unknown model")),
    (Denial.SOURCE_NOT_ACCEPTED, evidence(source=Source.SIMULATED)),
    (Denial.PROBE_UNREADABLE, probe_with(embeddings=(face(9)[:256],))),
    (Denial.CAMERA_CHANGED, another_camera),
    (Denial.LIVENESS_PLAN_CHANGED, report(plan_digest=bytes(32))),
    (Denial.LIVENESS_ATTACK, report(outcome=LivenessOutcome.ATTACK)),
    (Denial.LIVENESS_UNDECIDED, report(outcome=LivenessOutcome.UNDECIDED)),
]
VERIFY: list[tuple[Denial, Spoil]] = [
    (Denial.ACCOUNT_UNKNOWN, probe_with(claim="card:none")),
    (Denial.ACCOUNT_SUSPENDED, account("state = 'suspended'")),
    (Denial.CONSENT_MISSING, account("consent_version = NULL")),
    (Denial.ACCOUNT_LOCKED, account("locked_until_ms = %s", 2**50)),
    (Denial.REFERENCE_MISSING, no_references),
    (Denial.REFERENCE_UNREADABLE, unreadable),
    (Denial.NO_MATCH, probe_with(embeddings=(face(9),))),
]
PIN: list[tuple[Denial, Spoil]] = [
    (Denial.PIN_LOCKED, account("pin_locked_until_ms = %s", 2**50)),
    (Denial.PIN_MISSING, no_pin_sent),
    (Denial.PIN_WRONG, probe_with(pin="1357")),
]
INTENT: list[tuple[Denial, Spoil]] = [
    (Denial.INTENT_UNKNOWN, later(intent("order_reference = 'another'"))),
    (Denial.INTENT_CLOSED, later(intent("voided_at_ms = 1"))),
    (Denial.INTENT_EXPIRED, later(intent("expires_at_ms = created_at_ms + 1"))),
]
MONEY: list[tuple[Denial, Spoil]] = [
    (Denial.MERCHANT_UNKNOWN, no_payee),
    (Denial.CURRENCY_MISMATCH, foreign_currency),
    (Denial.INSUFFICIENT_FUNDS, no_money),
]
ENTRY: list[tuple[Denial, Spoil]] = [
    (Denial.DOOR_UNKNOWN, no_door),
    (Denial.EVACUATION, evacuated_site),
    (Denial.LOCKDOWN, zone("mode = 'lockdown'")),
    (Denial.VISIT_OVER, over_visit),
    (Denial.GRANT_MISSING, no_grant),
    (Denial.GRANT_EXPIRED, expired_grant),
    (Denial.OUTSIDE_SCHEDULE, grant("Sun 00:00-00:01")),
    (Denial.ANTI_PASSBACK, inside_already),
    (Denial.ZONE_FULL, full),
    (Denial.SECOND_PERSON_MISSING, zone("two_person_ms = 30000")),
]
FAULTS: dict[Purpose, list[tuple[Denial, Spoil]]] = {
    Purpose.PAYMENT: [*FIRST, *VERIFY, *PIN, *INTENT, *MONEY],
    Purpose.WITHDRAWAL: [*FIRST, *VERIFY, *PIN, *MONEY],
    Purpose.ENTRY: [
        *FIRST,
        *VERIFY,
        *ENTRY,
    ],
    Purpose.ENROLMENT: [
        *FIRST,
        (Denial.CONSENT_MISSING, other_consent),
        (Denial.PIN_MISSING, probe_with(pin="12")),
        (Denial.CLAIM_TAKEN, probe_with(claim=CLAIM)),
        (Denial.REFERENCES_DISAGREE, probe_with(embeddings=(face(8), face(9)))),
    ],
}
BEFORE = FIRST[: [denial for denial, _ in FIRST].index(Denial.MODEL_NOT_ACCEPTED)]
CARD: list[tuple[Denial, Spoil]] = [
    *BEFORE,
    (Denial.ACCOUNT_UNKNOWN, probe_with(claim="card:none")),
    (Denial.ACCOUNT_SUSPENDED, account("state = 'suspended'")),
    (Denial.PIN_LOCKED, account("pin_locked_until_ms = %s", 2**50)),
    (Denial.PIN_MISSING, probe_with(pin="12")),
    (Denial.PIN_WRONG, probe_with(pin="1357")),
]
"""Without a face; what is sealed is spoiled in tests/ceremony/test_card.py."""
CARD_FAULTS: dict[Purpose, list[tuple[Denial, Spoil]]] = {
    Purpose.PAYMENT: [*CARD, *MONEY],
    Purpose.WITHDRAWAL: [CARD[-1], *MONEY],
    Purpose.ENTRY: [CARD[-1], *ENTRY],
    Purpose.ENROLMENT: [
        *BEFORE,
        (Denial.CONSENT_MISSING, other_consent),
        (Denial.PIN_MISSING, probe_with(pin="12")),
        (Denial.CLAIM_TAKEN, probe_with(claim=CLAIM)),
    ],
}
NO_DECISION = {
    Denial.MALFORMED,
    Denial.TERMINAL_UNKNOWN,
    Denial.SIGNATURE_INVALID,
    Denial.TERMINAL_REVOKED,
    Denial.ATTEMPT_ID_REUSED,
    Denial.RECORDS_MISSING,
    Denial.RECORDS_CHANGED,
    Denial.FACTOR_NOT_ALLOWED,
    Denial.LIMIT_EXCEEDED,
    Denial.BUNDLE_UNAVAILABLE,
}
"""Told as a problem, before there is a decision; the amount's when the challenge is asked for."""
LIMITS = {
    Denial.ACCOUNT_VELOCITY,
    Denial.ACCOUNT_DAY_LIMIT,
    Denial.ACCOUNT_MONTH_LIMIT,
    Denial.MERCHANT_DAY_LIMIT,
    Denial.MERCHANT_MONTH_LIMIT,
    Denial.TERMINAL_DAY_LIMIT,
    Denial.TERMINAL_MONTH_LIMIT,
}
"""In order of precedence in tests/unit/service/test_ledger_limits.py."""
FUNDING = {Denial.FUNDING_DECLINED, Denial.FUNDING_UNAVAILABLE}
"""After all the others of money: its processor is asked last (tests/funding/test_attempts.py)."""

KIND = {
    Purpose.PAYMENT: TerminalKind.STORE,
    Purpose.WITHDRAWAL: TerminalKind.ATM,
    Purpose.ENTRY: TerminalKind.DOOR,
    Purpose.ENROLMENT: TerminalKind.ENROLMENT,
}


def intended(house: House, amount_minor: int) -> PaymentContext:
    """A payment whose intent any of the merchant's terminals may take."""
    wanted = NewIntent(
        merchant=house.merchant,
        money=Money(amount_minor=amount_minor, currency=CURRENCY),
        order="A-1",
        terminal=None,
        site=None,
        hold_ms=None,
        lives_ms=DAY_MS,
    )
    made = checkout.of(house.operations).create(wanted)
    assert isinstance(made, Intent)
    return made.context


def whole(house: House, purpose: Purpose) -> Attempt:
    """An attempt that is approved."""
    account = enrol(house, 1)
    house.top_up(account, 100_000)
    house.grant(account)
    wanted, sent = (
        probe(1, pin="2468"),
        {
            Purpose.PAYMENT: intended(house, 50_000),
            Purpose.WITHDRAWAL: withdrawal(),
            Purpose.ENTRY: entry(house),
            Purpose.ENROLMENT: EnrolmentContext(
                account=AccountId.new(), consent_version=default_policy().consent_version
            ),
        }[purpose],
    )
    if purpose is Purpose.ENROLMENT:
        wanted = probe(2, pin="2468")
    return Attempt(house, account, house.add_terminal(KIND[purpose]), sent, wanted)


def whole_without_face(house: House, purpose: Purpose) -> Attempt:
    """The same by card and PIN."""
    account = enrol_without_face(house, 1)
    house.top_up(account, 100_000)
    house.grant(account)
    sent = {
        Purpose.PAYMENT: payment(house, 500),
        Purpose.WITHDRAWAL: withdrawal(),
        Purpose.ENTRY: entry(house),
        Purpose.ENROLMENT: EnrolmentContext(account=AccountId.new(), consent_version=NO_BIOMETRICS),
    }[purpose]
    wanted = card(2 if purpose is Purpose.ENROLMENT else 1)
    return Attempt(house, account, house.add_terminal(KIND[purpose]), sent, wanted)


def test_the_table_is_the_whole_enum_in_its_order() -> None:
    order = list(Denial)
    for faults in (*FAULTS.values(), *CARD_FAULTS.values()):
        places = [order.index(denial) for denial, _ in faults]
        assert places == sorted(set(places))
    named = {denial for faults in FAULTS.values() for denial, _ in faults}
    assert named | NO_DECISION | LIMITS | FUNDING == set(Denial)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_attempt_without_a_fault_is_approved(house: House, purpose: Purpose) -> None:
    assert whole(house, purpose).send() is None


@pytest.mark.parametrize(
    ("purpose", "first"),
    [
        pytest.param(purpose, place, id=f"{purpose.name.lower()}-{denial.value}")
        for purpose, faults in FAULTS.items()
        for place, (denial, _) in enumerate(faults)
    ],
)
def test_of_this_denial_and_all_later_ones_it_is_named(
    house: House, purpose: Purpose, first: int
) -> None:
    attempt = whole(house, purpose)
    for _, spoil in reversed(FAULTS[purpose][first:]):
        spoil(attempt)
    assert attempt.send() == FAULTS[purpose][first][0]


@pytest.mark.parametrize("purpose", list(Purpose))
def test_without_a_face_and_without_a_fault_it_is_approved(house: House, purpose: Purpose) -> None:
    attempt = whole_without_face(house, purpose)
    assert attempt.send() is None


@pytest.mark.parametrize(
    ("purpose", "first"),
    [
        pytest.param(purpose, place, id=f"card-{purpose.name.lower()}-{denial.value}")
        for purpose, faults in CARD_FAULTS.items()
        for place, (denial, _) in enumerate(faults)
    ],
)
def test_without_a_face_of_this_denial_and_all_later_ones_it_is_named(
    house: House, purpose: Purpose, first: int
) -> None:
    attempt = whole_without_face(house, purpose)
    for _, spoil in reversed(CARD_FAULTS[purpose][first:]):
        spoil(attempt)
    assert attempt.send() == CARD_FAULTS[purpose][first][0]
