"""A terminal cannot tell why a person was not verified: not by what it is told, nor by the work.

No times are compared, since they would make the test fail by chance: the answer's shape and size,
the SQL statements in their order, and the costly operations are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import argon2
import pytest

from face_engine.types import Vector
from service.burst import Answer, Burst
from service.verification import pin as pins
from service.verification import protection
from service.verification.protection import Slot
from tests.ceremony.house import (
    BETTER_MODEL_ID,
    House,
    card,
    enrol,
    enrol_without_face,
    face,
    payment,
    probe,
)
from wire.denial import Denial, Reason
from wire.envelope import OpeningKey
from wire.ids import AccountId
from wire.messages import REFERENCES_MAX, CardProbe, Probe, Successor, TerminalKind

PIN_TIER_MINOR = 50_000

Prepare = Callable[[House, AccountId], None]


@dataclass
class Work:
    """What one request made the service do."""

    statements: list[str] = field(default_factory=list)
    argon2: int = 0
    unsealed: int = 0
    compared: list[int] = field(default_factory=list)


@contextmanager
def watched(patch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()
    execute, verify, unseal, turn = (
        Burst.execute,
        argon2.PasswordHasher.verify,
        OpeningKey.unseal,
        protection._turn,
    )

    def count_statement(self: Burst, query: str, *args: Any) -> Answer:
        work.statements.append(query)
        return execute(self, query, *args)

    def count_argon2(self: Any, *args: Any) -> Any:
        work.argon2 += 1
        return verify(self, *args)

    def count_unsealed(self: Any, *args: Any) -> Any:
        work.unsealed += 1
        return unseal(self, *args)

    def count_compared(vector: Vector, slots: Sequence[Slot], *args: Any) -> Any:
        work.compared += [vector.size] * len(slots)
        return turn(vector, slots, *args)

    with patch.context() as inside:
        inside.setattr(Burst, "execute", count_statement)
        inside.setattr(pins.PasswordHasher, "verify", count_argon2)
        inside.setattr(OpeningKey, "unseal", count_unsealed)
        inside.setattr(protection, "_turn", count_compared)
        yield work
    assert work.statements


def sql(statement: str, *values: object) -> Prepare:
    def prepare(house: House, account: AccountId) -> None:
        with house.database.transaction() as conn:
            conn.execute(statement, (*values, account.raw))

    return prepare


def nothing(house: House, account: AccountId) -> None:
    pass


# How the account stands, and whose face, claim and PIN come: (seed, claim, PIN).
CASES: dict[Denial, tuple[Prepare, Callable[[int], Probe]]] = {
    Denial.NO_MATCH: (nothing, lambda one: probe(999, claim=f"card:{one}", pin="2468")),
    Denial.ACCOUNT_UNKNOWN: (nothing, lambda one: probe(one, claim="card:none", pin="2468")),
    Denial.ACCOUNT_LOCKED: (
        sql("UPDATE accounts SET locked_until_ms = %s WHERE account_id = %s", 2**50),
        lambda one: probe(one, pin="2468"),
    ),
    Denial.ACCOUNT_SUSPENDED: (
        sql("UPDATE accounts SET state = 'suspended' WHERE account_id = %s"),
        lambda one: probe(one, pin="2468"),
    ),
    Denial.CONSENT_MISSING: (
        sql("UPDATE accounts SET consent_version = NULL WHERE account_id = %s"),
        lambda one: probe(one, pin="2468"),
    ),
    Denial.REFERENCE_MISSING: (
        sql("DELETE FROM face_references WHERE account_id = %s"),
        lambda one: probe(one, pin="2468"),
    ),
    Denial.REFERENCE_UNREADABLE: (
        sql("UPDATE face_references SET ciphertext = %s WHERE account_id = %s", bytes(540)),
        lambda one: probe(one, pin="2468"),
    ),
    Denial.PIN_WRONG: (nothing, lambda one: probe(one, pin="1357")),
    Denial.PIN_MISSING: (nothing, lambda one: probe(one, pin="13")),
    Denial.PIN_LOCKED: (
        sql("UPDATE accounts SET pin_locked_until_ms = %s WHERE account_id = %s", 2**50),
        lambda one: probe(one, pin="2468"),
    ),
}
OF_PINS = {Denial.PIN_WRONG, Denial.PIN_MISSING, Denial.PIN_LOCKED}
OF_CARDS: dict[Denial, tuple[Prepare, Callable[[int], CardProbe]]] = {
    Denial.PIN_WRONG: (nothing, lambda one: card(one, "1357")),
    Denial.PIN_MISSING: (nothing, lambda one: card(one, "13")),
    Denial.PIN_LOCKED: (CASES[Denial.PIN_LOCKED][0], card),
    Denial.ACCOUNT_UNKNOWN: (nothing, lambda one: card(one, claim="card:none")),
    Denial.ACCOUNT_SUSPENDED: (CASES[Denial.ACCOUNT_SUSPENDED][0], card),
}


def refuse(house: House, denial: Denial, patch: pytest.MonkeyPatch, amount_minor: int, *,
           more: Prepare = nothing, successor: Successor | None = None
           ) -> tuple[tuple[Any, ...], Work]:  # fmt: skip
    prepare, wanted = CASES[denial]
    seed = list(CASES).index(denial) + 1
    account = enrol(house, seed)
    prepare(house, account)
    more(house, account)
    store = house.add_terminal(TerminalKind.STORE)
    sent = replace(wanted(seed), successor=successor)
    raw = store.sign(store.evidence(store.challenge(payment(house, amount_minor)), sent))
    with watched(patch) as work:
        answer = store.send("/v1/attempts", raw)
    decision = store.read(answer)
    assert house.denial_of(decision.attempt) == denial
    lives_ms = decision.expires_at_ms - decision.decided_at_ms
    told = (decision.reason, decision.result, lives_ms)
    headers = sorted(header for header in answer.headers if header[0] != "X-Request-Id")
    return (answer.status_code, len(answer.data), headers, told), work


@pytest.mark.parametrize("amount_minor", [500, PIN_TIER_MINOR])
def test_every_refusal_looks_and_works_like_no_match(
    house: House, monkeypatch: pytest.MonkeyPatch, amount_minor: int
) -> None:
    with_pin = amount_minor == PIN_TIER_MINOR
    cases = [denial for denial in CASES if with_pin or denial not in OF_PINS]
    seen = {denial: refuse(house, denial, monkeypatch, amount_minor) for denial in cases}
    shape, work = seen[Denial.NO_MATCH]
    assert shape[3] == (Reason.NOT_VERIFIED, None, 0)
    assert len(work.statements) > 5
    assert (work.unsealed, work.argon2) == (1, 2 * int(with_pin))  # the PIN, and the one for duress
    assert work.compared == [128] * REFERENCES_MAX
    for denial, (its_shape, its_work) in seen.items():
        assert its_shape == shape, denial
        assert its_work == work, denial


def refuse_card(
    house: House, denial: Denial, patch: pytest.MonkeyPatch
) -> tuple[tuple[Any, ...], Work]:
    prepare, wanted = OF_CARDS[denial]
    seed = list(OF_CARDS).index(denial) + 1
    prepare(house, enrol_without_face(house, seed))
    store = house.add_terminal(TerminalKind.STORE)
    challenge = store.challenge(payment(house, 500), face=False)
    raw = store.sign(store.card_evidence(challenge, wanted(seed)))
    with watched(patch) as work:
        answer = store.send("/v1/card-attempts", raw)
    decision = store.read(answer)
    assert house.denial_of(decision.attempt) == denial
    lives_ms = decision.expires_at_ms - decision.decided_at_ms
    told = (decision.reason, decision.result, lives_ms)
    return (answer.status_code, len(answer.data), told), work


def test_without_a_face_every_refusal_looks_and_works_like_a_wrong_pin(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, work = refuse_card(house, Denial.PIN_WRONG, monkeypatch)
    assert shape[2] == (Reason.NOT_VERIFIED, None, 0)
    assert (work.unsealed, work.argon2, work.compared) == (1, 2, [])
    for denial in OF_CARDS:
        if denial is not Denial.PIN_WRONG:
            house.clock.now_ms += 1
            assert refuse_card(house, denial, monkeypatch) == (shape, work), denial


def keep(number: int) -> Prepare:
    """The account has so many references."""
    return sql(
        "INSERT INTO face_references SELECT account_id, 2 + extra, model_id, ciphertext,"
        " created_at_ms FROM face_references, generate_series(1, %s) AS extra"
        " WHERE version = 1 AND account_id = %s"
        if number > 2
        else "DELETE FROM face_references WHERE version > %s AND account_id = %s",
        number - 2 if number > 2 else number,
    )


@pytest.mark.parametrize("number", [1, 2, REFERENCES_MAX])
def test_the_number_of_references_makes_no_work(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    known = refuse(house, Denial.NO_MATCH, monkeypatch, 500, more=keep(number))
    assert known == refuse(house, Denial.ACCOUNT_UNKNOWN, monkeypatch, 500)


def test_a_face_by_two_models_is_compared_by_both_whichever_is_enrolled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Successor(model_id=BETTER_MODEL_ID, embedding=face(1))
    known = refuse(house, Denial.NO_MATCH, monkeypatch, 500, successor=both)
    assert len(known[1].compared) == 2 * REFERENCES_MAX
    assert known == refuse(house, Denial.ACCOUNT_UNKNOWN, monkeypatch, 500, successor=both)
