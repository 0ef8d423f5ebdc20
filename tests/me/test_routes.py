"""Every route of the customer's page: for whom it is there, and what forged requests do."""

from __future__ import annotations

import re

import pytest

from service.customers import sign_in
from service.db import Database
from service.errors import Unavailable
from service.me.frame import DECLARED
from service.operators.people import Role
from service.web import CONTENT_SECURITY_POLICY
from tests.ceremony.house import House, enrol, payment, probe
from tests.console.visitor import CROSS_SITE, Visitor, each_forgery, text_of
from tests.me.customer import Customer, link_of
from wire.ids import AttemptId
from wire.messages import TerminalKind

ALL, OWN, ERASED = "all", "own", "own, and once it is erased"
ROUTES = {
    "GET /me": ERASED,
    "GET /me/enter": ALL,
    "POST /me/enter": ALL,
    "POST /me/sign-in/options": ALL,
    "POST /me/sign-in": ALL,
    "POST /me/sign-out": ALL,
    "POST /me/language": ALL,
    "GET /me/uses": OWN,
    "GET /me/uses/<attempt>/receipt": OWN,
    "GET /me/erasure": ERASED,
    "GET /me/data.json": OWN,
    "POST /me/pause": OWN,
    "POST /me/resume": OWN,
    "POST /me/consent/withdraw": OWN,
    "POST /me/erase": OWN,
    "POST /me/passkeys/options": OWN,
    "POST /me/passkeys": OWN,
    "POST /me/passkeys/<name>/remove": OWN,
    "GET /me/static/<path:filename>": ALL,
}
GUARDED = [route for route, to in ROUTES.items() if to != ALL]


def path_of(route: str) -> tuple[str, str]:
    method, path = route.split(" ")
    path = path.replace("<attempt>", str(AttemptId(bytes(16)))).replace("<name>", "AAAA")
    return method, path


def test_the_table_names_every_route(house: House) -> None:
    found = {
        f"{method} {rule.rule}"
        for rule in house.app.url_map.iter_rules()
        if rule.endpoint.startswith("me.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert found == set(ROUTES)
    assert sum(each.to_all for each in DECLARED.values()) == len(ROUTES) - len(GUARDED)


def test_strangers_and_operators_are_asked_to_sign_in(house: House) -> None:
    operator = Visitor.signed_in(house, *(set(Role) - {Role.MERCHANT}))
    secret = operator.client.get_cookie("console", path="/console")
    assert secret is not None
    operator.client.set_cookie("me", secret.value, path="/me")
    for client in (house.client(), operator.client):
        for route in GUARDED:
            method, path = path_of(route)
            answer = client.open(path, method=method)
            assert answer.status_code == 303, route
            assert answer.headers["Location"].startswith("/me/enter"), route


def test_a_customer_opens_no_page_of_the_console(house: House) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    secret = customer.client.get_cookie("me", path="/me")
    assert secret is not None
    customer.client.set_cookie("console", secret.value, path="/console")
    assert customer.get("/console").headers["Location"].startswith("/console/sign-in")


def test_the_customer_gets_every_page(house: House) -> None:
    for seed, route in enumerate(GUARDED, start=1):
        customer = Customer.signed_in(house, enrol(house, seed))
        method, path = path_of(route)
        answer = customer.get(path) if method == "GET" else customer.post(path)
        assert answer.status_code in (200, 303, 404), route
        assert not answer.headers.get("Location", "").startswith("/me/enter"), route


def test_after_the_erasure_there_is_its_proof_and_no_more(house: House) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    assert customer.post("/me/erase", {"meant": "1"}).status_code == 303
    for route in GUARDED:
        method, path = path_of(route)
        answer = customer.get(path) if method == "GET" else customer.post(path)
        if ROUTES[route] == ERASED:
            assert answer.status_code in (200, 202), route
        else:
            assert answer.headers["Location"] == "/me", route


@each_forgery
def test_forged_forms_do_nothing(house: House, forged: dict[str, dict[str, str]]) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    data = forged.get("data", {"form_token": customer.form_token()})
    for path in ("/me/pause", "/me/consent/withdraw", "/me/erase"):
        answer = customer.client.post(
            path, data={"meant": "1", **data}, headers=forged.get("headers")
        )
        assert answer.status_code == 400
        assert "Nothing was changed" in answer.text
    assert "can be used with your face" in text_of(customer.get("/me"))


def test_nobody_is_signed_in_by_another_site(house: House) -> None:
    code = link_of(house, enrol(house, 1))
    for headers in CROSS_SITE:
        answer = house.client().post("/me/enter", data={"code": code}, headers=headers)
        assert answer.status_code == 400
    assert Customer.stranger(house).use(code).headers["Location"] == "/me"


def test_a_token_of_another_session_is_no_token(house: House) -> None:
    first = Customer.signed_in(house, enrol(house, 1))
    second = Customer.signed_in(house, enrol(house, 2))
    answer = first.client.post("/me/pause", data={"form_token": second.form_token()})
    assert answer.status_code == 400


def test_what_is_another_customers_does_not_exist(house: House) -> None:
    own, other = enrol(house, 1), enrol(house, 2)
    house.top_up(own, 1000)
    attempt = house.add_terminal(TerminalKind.STORE).attempt(payment(house), probe(1)).attempt
    customer, stranger = Customer.signed_in(house, own), Customer.signed_in(house, other)
    path = f"/me/uses/{attempt}/receipt"
    assert customer.get(path).status_code == 202
    assert stranger.get(path).status_code == 404
    for page in ("/me", "/me/uses", "/me/data.json"):
        assert str(own) not in stranger.get(page).text
        assert str(attempt) not in stranger.get(page).text
    assert str(attempt) in customer.get("/me/data.json").text


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/meevil", "javascript:1",
     "/me\r\nX: 1", "/me/../healthz\\", "/console"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(house: House, to: str) -> None:
    answer = house.client().post("/me/language", data={"language": "zh", "to": to})
    assert answer.headers["Location"] == "/me"


def test_headers_and_scripts(house: House) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    for path in ("/me", "/me/enter", "/me/uses", "/me/static/enter.js"):
        with customer.get(path) as answer:
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            if path.endswith("js"):
                continue
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", answer.text), path
            assert not re.search(r"<script(?![^>]*\ssrc=)", answer.text), path


def test_problems_are_pages_in_the_readers_language(house: House) -> None:
    answer = house.client().get("/me/nowhere", headers={"Accept-Language": "zh"})
    assert answer.status_code == 404
    assert "这里没有内容" in answer.text
    assert "healthz" not in answer.text


def test_who_was_idle_for_too_long_is_told_so(house: House) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    house.clock.now_ms += sign_in.IDLE_MS
    answer = customer.post("/me/pause")
    assert answer.headers["Location"] == "/me/enter?ended=1"
    assert "was not changed" in customer.get("/me/enter?ended=1").text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_database_each_page_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    operator = Visitor.signed_in(house, Role.ADMIN)

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("database: gone")

    monkeypatch.setattr(Database, "transaction", fail)
    headers = {"Accept-Language": language}
    for visitor, path in ((customer, "/me"), (customer, "/me/uses"), (operator, "/console")):
        answer = visitor.get(path, headers=headers)
        assert answer.status_code == 503, path
        assert f'<html lang="{language}">' in answer.text
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "gone" not in answer.text
