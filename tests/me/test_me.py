"""The customer's page: getting in, what it shows, and what a customer can do to the account."""

from __future__ import annotations

import json
import logging
import re

import pytest

from service.audit import log
from service.audit.leaf import ActLeaf
from service.audit.notes import verifier_key
from service.audit.verify import VerifierKey, verify_receipt
from service.customers import sign_in
from service.operators.people import Role
from tests.ceremony.house import (
    House,
    card,
    enrol,
    enrol_without_face,
    entry,
    face,
    payment,
    probe,
)
from tests.console.visitor import Passkey, Visitor, text_of
from tests.me.customer import Customer, link_of
from wire.denial import Denial
from wire.ids import AccountId, TransferId
from wire.messages import PaymentContext, TerminalKind
from wire.money import Money

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def account(house: House) -> AccountId:
    return enrol(house, 1)


@pytest.fixture
def customer(house: House, account: AccountId) -> Customer:
    return Customer.signed_in(house, account)


def pay(house: House) -> str | None:
    """A payment of 5.00 with the face; why it was denied."""
    decision = house.add_terminal(TerminalKind.STORE).attempt(payment(house), probe(1))
    return house.denial_of(decision.attempt)


def integrate(house: House) -> None:
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())


def test_a_link_works_once(house: House, account: AccountId) -> None:
    code = link_of(house, account)
    assert Customer.stranger(house).use(code).headers["Location"] == "/me"
    assert "refused" in Customer.stranger(house).use(code).headers["Location"]


def test_a_link_expires_and_a_newer_one_ends_it(house: House, account: AccountId) -> None:
    first, second = link_of(house, account), link_of(house, account)
    assert "refused" in Customer.stranger(house).use(first).headers["Location"]
    house.clock.now_ms += sign_in.LINK_TTL_MS
    assert "refused" in Customer.stranger(house).use(second).headers["Location"]


def test_the_link_is_made_in_the_console_and_its_code_reaches_no_server_by_itself(
    house: House, account: AccountId, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    support = Visitor.signed_in(house, Role.SUPPORT)
    shown = support.post(f"/console/accounts/{account}/link").text
    found = re.search(r"http://localhost/me/enter#([a-z2-7]{24})", shown)
    assert found is not None
    assert "<svg" in shown
    customer = Customer.stranger(house)
    assert customer.use(found[1]).headers["Location"] == "/me"
    assert customer.is_in()
    assert found[1] not in caplog.text
    with house.database.transaction() as conn:
        stored = conn.execute("SELECT code_hash FROM customer_links").fetchall()
    assert stored == []


@pytest.mark.parametrize("code", ["", "x", "a" * 24, "A" * 4000, "\x00" * 24, "é" * 24])
def test_codes_that_are_none(house: House, customer: Customer, code: str) -> None:
    assert "refused" in Customer.stranger(house).use(code).headers["Location"]


def test_nobody_gets_a_link_to_what_is_not_there(house: House, account: AccountId) -> None:
    support = Visitor.signed_in(house, Role.SUPPORT)
    assert support.post(f"/console/accounts/{AccountId(bytes(16))}/link").status_code == 404
    house.operations.erase_account(account)
    assert support.post(f"/console/accounts/{account}/link").status_code == 404


def test_a_passkey_lets_in_until_it_is_removed(
    house: House, account: AccountId, customer: Customer
) -> None:
    key, later = Passkey(), Customer.stranger(house)
    assert customer.make(key).headers["Location"] == "/me?done=passkey"
    assert later.sign_in(key).headers["Location"] == "/me"
    assert str(account) in later.get("/me").text
    removal = re.search(r"/me/passkeys/[\w-]+/remove", customer.get("/me").text)
    assert removal is not None
    stranger = Customer.signed_in(house, enrol(house, 2))
    assert stranger.post(removal[0]).status_code == 404
    assert customer.post(removal[0]).headers["Location"] == "/me?done=passkey_removed"
    assert not later.is_in()
    assert customer.is_in()
    assert "refused" in Customer.stranger(house).sign_in(key).headers["Location"]


def test_the_console_and_the_customers_page_take_no_passkey_of_each_other(
    house: House, customer: Customer
) -> None:
    key = Passkey()
    customer.make(key)
    visitor = Visitor.stranger(house)
    assert "refused" in visitor.sign_in(key).headers["Location"]
    options = house.client().post("/console/sign-in/options").json
    mixed = house.client().post("/me/sign-in", data={"answer": key.get(options)})
    assert "refused" in mixed.headers["Location"]


def test_a_planted_session_is_worth_nothing(house: House, account: AccountId) -> None:
    victim, thief = Customer.stranger(house), Customer.stranger(house)
    for each in (victim, thief):
        each.client.set_cookie("me", "planted", path="/me")
    victim.use(link_of(house, account))
    assert victim.is_in()
    assert not thief.is_in()


def test_sessions_end(house: House, account: AccountId) -> None:
    idle, old, left = (Customer.signed_in(house, account) for _ in range(3))
    left.post("/me/sign-out")
    assert not left.is_in()
    for _ in range(sign_in.LIFE_MS // sign_in.IDLE_MS * 2):
        assert old.is_in()
        house.clock.now_ms += sign_in.IDLE_MS // 2
    assert not old.is_in()
    assert not idle.is_in()


def test_the_cookie_is_for_the_browser_alone(house: House, account: AccountId) -> None:
    cookie = Customer.stranger(house).use(link_of(house, account)).headers["Set-Cookie"]
    for told in ("HttpOnly", "SameSite=Strict", "Path=/me"):
        assert told in cookie


def test_the_page_says_what_is_stored_and_where_it_was_used(
    house: House, account: AccountId, customer: Customer
) -> None:
    assert "Not used yet" not in text_of(customer.get("/me"))
    house.top_up(account, 10_000)
    store = house.add_terminal(TerminalKind.STORE)
    paid = store.attempt(payment(house, 1250), probe(1))
    assert store.attempt(payment(house), probe(2, claim="card:1")).reason is not None
    house.operations.refund(TransferId(paid.attempt.raw), Money(amount_minor=250, currency="EUR"))
    house.grant(account, "Mon-Fri 08:00-18:00")
    shown = text_of(customer.get("/me"))
    stored = ("2 references", "2026-11", "€90.00", "set, as a hash")
    used = ("€12.50", "€2.50 came back", "not verified", "Shop", "of €10,000.00")
    doors = ("Front", "Mon-Fri 08:00-18:00")
    for told in (*stored, *used, *doors):
        assert told in shown, told
    assert Denial.NO_MATCH.replace("_", " ") not in shown


def test_a_receipt_verifies_without_the_service(house: House, customer: Customer) -> None:
    decision = house.add_terminal(TerminalKind.STORE).attempt(payment(house), probe(1))
    path = f"/me/uses/{decision.attempt}/receipt"
    assert customer.get(path).status_code == 202
    integrate(house)
    answer = customer.get(path)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    key = VerifierKey.parse(verifier_key(house.keys.log))
    assert verify_receipt(answer.data, key)[1]


def test_a_pause_denies_at_once_and_its_customer_ends_it(
    house: House, account: AccountId, customer: Customer
) -> None:
    house.top_up(account, 10_000)
    assert customer.post("/me/pause").headers["Location"] == "/me?done=paused"
    assert pay(house) == Denial.ACCOUNT_SUSPENDED
    assert "You paused your account" in text_of(customer.get("/me"))
    operator = Visitor.signed_in(house, Role.SUPPORT)
    assert "The customer paused it" in operator.get(f"/console/accounts/{account}").text
    assert customer.post("/me/resume").headers["Location"] == "/me?done=resumed"
    assert pay(house) is None


def test_a_customer_does_not_resume_what_an_operator_suspended(
    house: House, account: AccountId, customer: Customer
) -> None:
    house.operations.set_account(account, active=False)
    assert customer.post("/me/resume").headers["Location"] == "/me"
    assert pay(house) == Denial.ACCOUNT_SUSPENDED
    shown = text_of(customer.get("/me"))
    assert "Only the operator can resume it" in shown
    assert "Pause" not in shown
    house.operations.set_account(account, active=True)
    customer.post("/me/pause")
    house.operations.set_account(account, active=False)
    customer.post("/me/resume")
    assert pay(house) == Denial.ACCOUNT_SUSPENDED


def test_a_pause_lifts_no_lockout(house: House, account: AccountId, customer: Customer) -> None:
    store = house.add_terminal(TerminalKind.STORE)
    while house.denial_of(
        store.attempt(payment(house), probe(2, claim="card:1")).attempt
    ) != Denial.ACCOUNT_LOCKED:  # fmt: skip
        pass
    customer.post("/me/pause")
    customer.post("/me/resume")
    assert pay(house) == Denial.ACCOUNT_LOCKED


def test_a_withdrawn_consent_leaves_no_face_and_a_card_that_works(
    house: House, account: AccountId, customer: Customer
) -> None:
    house.top_up(account, 10_000)
    assert customer.post("/me/consent/withdraw").headers["Location"] == "/me?done=withdrawn"
    with house.database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM face_references").fetchone() == (0,)
    assert pay(house) == Denial.CONSENT_MISSING
    store = house.add_terminal(TerminalKind.STORE)
    assert store.card_attempt(payment(house), card(1)).approved
    shown = text_of(customer.get("/me"))
    assert "works with card and PIN" in shown
    assert "Withdraw my consent" not in shown
    assert customer.post("/me/consent/withdraw").headers["Location"] == "/me"


def test_whoever_never_consented_has_nothing_to_withdraw(house: House) -> None:
    customer = Customer.signed_in(house, enrol_without_face(house, 5))
    assert "Withdraw my consent" not in customer.get("/me").text
    assert customer.post("/me/consent/withdraw").headers["Location"] == "/me"


def test_who_has_no_pin_is_told_what_a_withdrawal_means(house: House) -> None:
    customer = Customer.signed_in(house, enrol(house, 5, pin=None))
    assert "cannot be used until you enrol again" in customer.get("/me").text


def test_an_erasure_takes_a_tick_and_ends_with_its_receipt(
    house: House, account: AccountId, customer: Customer
) -> None:
    key, other = Passkey(), Customer.signed_in(house, account)
    customer.make(key)
    assert customer.post("/me/erase").headers["Location"] == "/me?done=not_meant"
    assert "Nothing was erased" in customer.get("/me?done=not_meant").text
    before = customer.client.get_cookie("me", path="/me")
    assert customer.post("/me/erase", {"meant": "1"}).headers["Location"] == "/me"
    after = customer.client.get_cookie("me", path="/me")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert "Your account is erased" in customer.get("/me").text
    assert customer.get("/me/erasure").status_code == 202
    integrate(house)
    assert "Download the receipt" in customer.get("/me").text
    receipt = customer.get("/me/erasure").data
    _, leaf = verify_receipt(receipt, VerifierKey.parse(verifier_key(house.keys.log)))
    act = ActLeaf.decode(leaf)
    assert (act.act, act.subject, act.actor) == ("account.erase", str(account), str(account))
    assert not other.is_in()
    assert "refused" in Customer.stranger(house).sign_in(key).headers["Location"]
    assert pay(house) == Denial.ACCOUNT_UNKNOWN
    admin = Visitor.signed_in(house, Role.ADMIN)
    assert "The entry that proves it" in admin.get(f"/console/accounts/{account}").text


def test_the_download_holds_everything_and_no_secret(
    house: House, account: AccountId, customer: Customer
) -> None:
    house.top_up(account, 100_000)
    house.operations.set_duress_pin(account, "1357")
    store = house.add_terminal(TerminalKind.STORE)
    for _ in range(3):
        store.attempt(payment(house), probe(1))
    store.attempt(payment(house), probe(2, claim="card:1"))
    house.grant(account)
    house.add_terminal(TerminalKind.DOOR).attempt(entry(house), probe(1))
    answer = customer.get("/me/data.json")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    told = json.loads(answer.data)
    assert told["account"]["account"] == str(account)
    assert len(told["account"]["references"]) == 2
    assert [use["purpose"] for use in told["uses"]] == ["entry", *["payment"] * 4, "enrolment"]
    assert [each["amount_minor"] for each in told["movements"]] == [100_000, -500, -500, -500]
    assert told["doors"][0]["place"] == "Front"
    assert b"duress" not in answer.data
    assert face(1)[:16] not in answer.data
    assert "card:1" not in answer.text
    assert "no_match" not in answer.text


def test_hostile_names_and_orders_stay_text(
    house: House, account: AccountId, customer: Customer
) -> None:
    merchant = house.operations.add_merchant(HOSTILE[:80], "EUR")
    house.operations.add_door(HOSTILE[:80])
    house.merchant = merchant
    context = PaymentContext(amount_minor=500, currency="EUR", payee=merchant, order=HOSTILE[:80])
    house.add_terminal(TerminalKind.STORE).attempt(context, probe(1))
    for path in ("/me", "/me/uses", f"/me?done={HOSTILE}", f"/me/enter?ended={HOSTILE}"):
        shown = customer.get(path).text
        assert "<script>alert" not in shown, path
        assert "<img" not in shown, path
    assert "&lt;script&gt;alert" in customer.get("/me/uses").text
    assert customer.get("/me/data.json").content_type == "application/json"


def test_uses_come_in_pages(house: House, account: AccountId, customer: Customer) -> None:
    store = house.add_terminal(TerminalKind.STORE)
    for _ in range(55):
        store.attempt(payment(house), probe(1))
    first = customer.get("/me/uses").text
    older = re.search(r'href="(/me/uses\?after=[^"]+)"', first)
    assert older is not None
    found = [*re.findall(r"att_\w+", first), *re.findall(r"att_\w+", customer.get(older[1]).text)]
    assert len(set(found)) == 56
    assert customer.get("/me/uses?after=x").status_code == 404
    assert customer.get("/me").text.count("/receipt") == 10


@pytest.mark.parametrize("language", ["es", "zh"])
def test_every_page_in_every_language(
    house: House, account: AccountId, customer: Customer, language: str
) -> None:
    """Every text is in the catalogue, or the page fails."""
    house.top_up(account, 10_000)
    pay(house)
    customer.post("/me/language", {"language": language})
    for path in ("/me", "/me/uses", "/me/enter", "/me/enter?refused=1", "/me/enter?ended=1",
                 "/me/nowhere", *(f"/me?done={done}" for done in ("paused", "resumed", "withdrawn",
                 "not_meant", "passkey", "passkey_refused", "passkey_removed"))):  # fmt: skip
        assert f'<html lang="{language}">' in customer.get(path).text, path
    customer.post("/me/pause")
    assert customer.get("/me").status_code == 200
    customer.post("/me/erase", {"meant": "1"})
    assert customer.get("/me").status_code == 200
