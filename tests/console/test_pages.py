"""What the pages say, and what hostile names and forms do to them."""

from __future__ import annotations

import json
import re

import pytest

from service.audit import log
from service.operators.people import Role
from service.verification.policy import Policy, default_policy
from service.web import CONTENT_SECURITY_POLICY
from tests.ceremony.house import House, enrol, payment, probe
from tests.console.visitor import Visitor, text_of
from wire.messages import PaymentContext, TerminalKind

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PAGES = ("", "/attempts", "/accounts", "/terminals", "/policies", "/audit", "/operators")


@pytest.fixture
def admin(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.ADMIN)


def test_empty_states_say_what_comes_next(admin: Visitor) -> None:
    for path in ("", "/attempts", "/accounts", "/terminals", "/audit"):
        assert 'class="empty"' in admin.get(f"/console{path}").text, path


def test_headers(admin: Visitor) -> None:
    for path in ("/console", "/console/sign-in", "/console/nowhere", "/console/static/console.css"):
        with admin.get(path) as answer:
            headers = answer.headers
        if path != "/console/nowhere":
            assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_no_page_has_inline_script_or_style(admin: Visitor) -> None:
    for path in (*PAGES, "/sign-in", "/terminals/new", "/policies/new", "/passkey"):
        shown = admin.get(f"/console{path}").text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", shown), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", shown), path


def test_hostile_names_and_orders_stay_text(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    added = admin.post(
        "/console/terminals/new",
        {"kind": "enrolment", "name": HOSTILE[:80], "site": HOSTILE[:80]},
    )
    assert added.status_code == 200
    admin.post("/console/operators", {"name": HOSTILE[:80], "role": "auditor"})
    store = house.add_terminal(TerminalKind.STORE)
    context = PaymentContext(
        amount_minor=500, currency="EUR", payee=house.merchant, order=HOSTILE[:80]
    )
    decision = store.attempt(context, probe(1))
    for path in (*PAGES, f"/attempts/{decision.attempt}", f"/attempts?account={HOSTILE}"):
        shown = admin.get(f"/console{path}").text
        assert "<script>alert" not in shown, path
        assert "<img" not in shown, path
    assert "&lt;script&gt;alert" in admin.get(f"/console/attempts/{decision.attempt}").text


def test_an_attempt_is_told_from_challenge_to_log(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    decision = house.add_terminal(TerminalKind.STORE).attempt(payment(house), probe(1))
    path = f"/console/attempts/{decision.attempt}"
    assert "the next checkpoint will cover it" in text_of(admin.get(path))
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
    shown = text_of(admin.get(path))
    for told in ("€5.00", "A-1", "insufficient funds", "challenge was issued", "under a signed"):
        assert told in shown, told
    verified = admin.post(f"/console/audit/{decision.leaf_hash.hex()}/verify")
    assert "Verified: entry" in text_of(verified)
    assert "Verified" not in text_of(admin.post(f"/console/audit/{'ab' * 32}/verify"))
    assert admin.post("/console/audit/zz/verify").status_code == 404


def test_the_export_is_the_whole_log(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    with house.database.transaction() as conn:
        log.integrate(conn, house.keys.log, now_ms=house.clock())
        size = log.size_of(conn)
    lines = admin.get("/console/audit/export.jsonl").text.splitlines()
    assert [json.loads(line)["position"] for line in lines] == list(range(size))
    assert len(admin.get("/console/audit/export.csv").text.splitlines()) == size + 1
    assert admin.get("/console/audit/export.exe").status_code == 404


def test_search(house: House, admin: Visitor) -> None:
    account = enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    denied = str(store.attempt(payment(house), probe(1)).attempt)
    house.top_up(account, 10_000)
    approved = str(store.attempt(payment(house), probe(1)).attempt)

    def found(query: str) -> set[str]:
        shown = admin.get(f"/console/attempts?{query}").text
        return {each for each in (denied, approved) if each in shown}

    assert found("") == {denied, approved}
    assert found("outcome=approved") == {approved}
    assert found("denial=insufficient_funds") == {denied}
    assert found("purpose=entry") == set()
    assert found(f"account={account}") == {denied, approved}
    assert found(f"terminal={store.terminal}&outcome=denied") == {denied}
    assert found("from=2999-01-01T00:00") == set()
    assert "Not understood" in admin.get("/console/attempts?terminal=x&from=never").text
    assert admin.get("/console/attempts?after=x").status_code == 404


def test_suspend_resume_erase(house: House, admin: Visitor) -> None:
    account = enrol(house, 1)
    page = f"/console/accounts/{account}"
    admin.post(f"{page}/state", {"active": "0"})
    assert "suspended" in text_of(admin.get(page))
    admin.post(f"{page}/state", {"active": "1"})
    assert "suspended" not in text_of(admin.get(page)).split("What you can do")[0]
    wrong = admin.post(f"{page}/erase", {"confirm": "yes"})
    assert "Nothing was erased" in admin.get(wrong.headers["Location"]).text
    done = admin.post(f"{page}/erase", {"confirm": str(account)})
    shown = text_of(admin.get(done.headers["Location"]))
    assert "Erased. The entry that proves it" in shown
    assert "erased" in shown
    assert "None" not in shown.partition("Face references")[0]
    assert admin.post(f"{page}/erase", {"confirm": str(account)}).status_code == 404


def test_a_policy_takes_two(house: House, admin: Visitor) -> None:
    admin.get("/console/policies")
    changed = json.loads(default_policy().to_document())
    changed["tiers"]["payment"][0]["pin"] = True
    form = {"version": "1", "document": json.dumps(changed), "reason": "PIN for all"}
    proposal = admin.post("/console/policies/new", form).headers["Location"]
    assert "asked for a PIN" not in text_of(admin.get(proposal))
    refused = admin.post(proposal, {"approve": "1"})
    assert refused.status_code == 409
    assert "another operator than the proposer" in text_of(refused)
    second = Visitor.signed_in(house, Role.ADMIN)
    assert second.post(proposal, {"approve": "1"}).status_code == 303
    assert "Policy 2 is in force" in text_of(admin.get("/console/policies"))
    assert "decided before" in text_of(second.post(proposal, {"approve": "0"}))


def test_an_outdated_proposal_is_not_approved(house: House, admin: Visitor) -> None:
    admin.get("/console/policies")
    form = {"version": "1", "document": default_policy().to_document(), "reason": "nothing"}
    proposal = admin.post("/console/policies/new", form).headers["Location"]
    house.publish(default_policy())
    second = Visitor.signed_in(house, Role.ADMIN)
    answer = second.post(proposal, {"approve": "1"})
    assert answer.status_code == 409
    assert "another policy came into force since" in text_of(answer)


def test_a_dry_run_counts_the_attempts_that_a_change_touches(house: House, admin: Visitor) -> None:
    enrol(house, 1)
    store = house.add_terminal(TerminalKind.STORE)
    for _ in range(3):
        store.attempt(payment(house), probe(1))
    changed = json.loads(default_policy().to_document())
    changed["tiers"]["payment"][0]["pin"] = True
    form = {"version": "1", "document": json.dumps(changed), "reason": "PIN for all"}
    shown = text_of(admin.get(admin.post("/console/policies/new", form).headers["Location"]))
    assert "asked for a PIN 3" in shown


@pytest.mark.parametrize(
    "document",
    ["", "{}", "[]", "[" * 10_000, '{"tiers": 1}', "null"],
    ids=["empty", "no tiers", "list", "deep", "tiers", "null"],
)
def test_what_is_no_policy_is_not_proposed(admin: Visitor, document: str) -> None:
    form = {"version": "1", "document": document, "reason": "why not"}
    answer = admin.post("/console/policies/new", form)
    assert answer.status_code == 400
    assert "Not proposed" in answer.text


def test_a_rate_that_no_calibration_supports_is_not_proposed(admin: Visitor) -> None:
    changed = json.loads(default_policy().to_document())
    changed["tiers"]["entry"][0]["fmr"] = 1e-9
    form = {"version": "1", "document": json.dumps(changed), "reason": "very strict"}
    assert "Not proposed" in admin.post("/console/policies/new", form).text
    assert isinstance(Policy.from_document(json.dumps(changed)), Policy)


def test_languages(admin: Visitor) -> None:
    assert 'lang="en"' in admin.get("/console").text
    assert 'lang="zh"' in admin.get("/console", headers={"Accept-Language": "zh-CN"}).text
    answer = admin.client.post("/console/language", data={"language": "es", "to": "/console/audit"})
    assert answer.headers["Location"] == "/console/audit"
    assert 'lang="es"' in admin.get("/console").text
    admin.client.post("/console/language", data={"language": "xx", "to": "//evil"})
    assert 'lang="es"' in admin.get("/console").text
