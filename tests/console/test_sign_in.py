"""Passkeys, codes and sessions: what lets somebody in, and what does not."""

from __future__ import annotations

import re

import pytest

from service.operators import people, staff
from service.operators.people import Role
from tests.ceremony.house import House
from tests.console.visitor import PRESENT, Passkey, Visitor


@pytest.fixture
def code(house: House) -> str:
    return staff.of(house.operations).add_operator("Ada", {Role.ADMIN})[1]


@pytest.fixture
def passkey(house: House, code: str) -> Passkey:
    made = Passkey()
    assert Visitor.stranger(house).join(code, made).status_code == 200
    return made


def lets_in(visitor: Visitor) -> bool:
    return visitor.get("/console").status_code == 200


def test_an_invitation_makes_a_passkey_that_signs_in(house: House, passkey: Passkey) -> None:
    visitor = Visitor.stranger(house)
    assert visitor.get("/console").status_code == 303
    answer = visitor.sign_in(passkey)
    assert answer.headers["Location"] == "/console"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert lets_in(visitor)


def test_an_invitation_works_once(house: House, code: str, passkey: Passkey) -> None:
    assert Visitor.stranger(house).join(code, Passkey()).status_code == 303


def test_an_invitation_expires(house: House, code: str) -> None:
    house.clock.now_ms += people.INVITATION_TTL_MS
    answer = Visitor.stranger(house).client.post("/console/sign-in/code", data={"code": code})
    assert "refused=1" in answer.headers["Location"]


def test_a_session_of_a_code_is_good_for_a_passkey_only(house: House, code: str) -> None:
    visitor = Visitor.stranger(house)
    visitor.client.post("/console/sign-in/code", data={"code": code})
    for path in ("/console", "/console/operators", "/console/audit"):
        assert visitor.get(path).headers["Location"] == "/console/passkey"


def test_a_recovery_code_works_once_and_the_next_passkey_brings_new_ones(
    house: House, code: str
) -> None:
    shown = Visitor.stranger(house).join(code, Passkey()).text
    recovery = re.findall(r"<code>([a-z2-7]{24})</code>", shown)
    assert len(recovery) == people.RECOVERY_CODES
    second = Passkey()
    assert Visitor.stranger(house).join(recovery[0], second).status_code == 200
    assert lets_in_with(house, second)
    assert Visitor.stranger(house).join(recovery[0], Passkey()).status_code == 303
    assert Visitor.stranger(house).join(recovery[1], Passkey()).status_code == 303


def lets_in_with(house: House, passkey: Passkey) -> bool:
    visitor = Visitor.stranger(house)
    visitor.sign_in(passkey)
    return lets_in(visitor)


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "http://localhost.evil.example"},
        {"flags": PRESENT},
        {"credential": b"another"},
        {"key": Passkey().key},
    ],
    ids=["another origin", "without verification", "unknown", "another key"],
)
def test_what_no_passkey_may_do(house: House, passkey: Passkey, changed: dict[str, object]) -> None:
    for name, value in changed.items():
        setattr(passkey, name, value)
    assert not lets_in_with(house, passkey)


def test_a_cloned_passkey_is_noticed(house: House, passkey: Passkey) -> None:
    assert lets_in_with(house, passkey)
    passkey.count -= 1
    assert not lets_in_with(house, passkey)


def test_an_answer_is_good_once(house: House, passkey: Passkey) -> None:
    visitor = Visitor.stranger(house)
    answer = passkey.get(visitor.client.post("/console/sign-in/options").json)
    form = {"answer": answer}
    assert "refused" not in visitor.client.post("/console/sign-in", data=form).headers["Location"]
    assert "refused" in visitor.client.post("/console/sign-in", data=form).headers["Location"]


def test_a_challenge_expires(house: House, passkey: Passkey) -> None:
    visitor = Visitor.stranger(house)
    options = visitor.client.post("/console/sign-in/options").json
    house.clock.now_ms += 120_001
    answer = visitor.client.post("/console/sign-in", data={"answer": passkey.get(options)})
    assert "refused" in answer.headers["Location"]


@pytest.mark.parametrize("answer", ["", "{}", "[]", "null", '{"id": 1}', "\ud800", "x" * 20_000])
def test_answers_that_are_none(house: House, answer: str) -> None:
    sent = answer.encode("utf-8", "surrogatepass").decode("latin-1")
    got = Visitor.stranger(house).client.post("/console/sign-in", data={"answer": sent})
    assert got.status_code in (303, 400)


def test_a_planted_session_is_worth_nothing(house: House, passkey: Passkey) -> None:
    visitor = Visitor.stranger(house)
    visitor.client.set_cookie("console", "planted", path="/console")
    visitor.sign_in(passkey)
    assert visitor.client.get_cookie("console", path="/console").value != "planted"  # type: ignore[union-attr]
    thief = Visitor.stranger(house)
    thief.client.set_cookie("console", "planted", path="/console")
    assert not lets_in(thief)


def test_sessions_end(house: House) -> None:
    idle, old, left = (Visitor.signed_in(house, Role.ADMIN) for _ in range(3))
    left.post("/console/sign-out")
    assert not lets_in(left)
    for _ in range(people.LIFE_MS // people.IDLE_MS * 2):
        assert lets_in(old)
        house.clock.now_ms += people.IDLE_MS // 2
    assert not lets_in(old)
    assert not lets_in(idle)


def test_whoever_is_disabled_is_out_at_once(house: House) -> None:
    admin = Visitor.signed_in(house, Role.ADMIN)
    operator, code = staff.of(house.operations).add_operator("Bob", {Role.AUDITOR})
    other = Visitor.stranger(house)
    other.enter(operator)
    assert lets_in(other)
    admin.post(f"/console/operators/{operator}/disable")
    assert not lets_in(other)
    assert Visitor.stranger(house).join(code, Passkey()).status_code == 303


def test_the_last_admin_stays(house: House) -> None:
    admin = Visitor.signed_in(house, Role.ADMIN)
    with house.database.transaction() as conn:
        (only,) = people.list_operators(conn)
    assert (
        "somebody must stay an admin"
        in admin.post(f"/console/operators/{only.operator}/disable").text
    )
    assert lets_in(admin)


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/consoleevil", "javascript:1",
     "/console\r\nX: 1", "/console/../healthz\\", "/v1/x"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(house: House, passkey: Passkey, to: str) -> None:
    visitor = Visitor.stranger(house)
    options = visitor.client.post("/console/sign-in/options").json
    answer = visitor.client.post(
        "/console/sign-in", data={"answer": passkey.get(options), "to": to}
    )
    assert answer.headers["Location"] == "/console"
