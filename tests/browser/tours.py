"""Ways through every page of the console and of /me, and through their states: empty, full, wrong.

A tour goes from page to page, and yields the name of each once it stands in the browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from playwright.sync_api import Page

from access.lockout import Lockout
from service.customers import acts
from service.db import Database
from service.errors import Unavailable
from service.operators import people
from service.operators.people import OperatorId, Role
from service.webhooks.store import DeliveryId, WebhookId
from tests.browser.console_house import LONG, Busy, Site, join
from tests.ceremony.house import House, enrol, enrol_without_face, payment, probe
from tests.console.test_measurements import TRIAL
from wire.ids import AccountId, AttemptId
from wire.messages import TerminalKind

DONE = ("paused", "resumed", "withdrawn", "not_meant", "passkey", "passkey_refused",
        "passkey_removed")  # fmt: skip
SEND = """([path, fields]) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: path });
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("textarea");
    Object.assign(field, { name, value });
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}"""
NO_PASSKEY = """() => {
  const form = document.querySelector("[data-passkey]");
  form.elements.answer.value = "{}";
  form.submit();
}"""
NOTHING = """
SET LOCAL session_replication_role = replica;
DELETE FROM doors;
DELETE FROM ledger_accounts WHERE kind = 'merchant'; DELETE FROM merchants;
"""


@dataclass
class Tourist:
    """A browser, the site that it looks at, and a folder for files."""

    page: Page
    site: Site
    home: Path
    me: OperatorId = field(init=False)

    def go(self, path: str, status: int = 200) -> None:
        answer = self.page.goto(self.site.url + path, wait_until="load")
        assert answer is not None
        assert answer.status == status, path

    def send(self, path: str, **fields: str) -> None:
        """A form of this session's, however wrong, from a page that has the session's token."""
        self.go("/me" if path.startswith("/me") else "/console/merchants")
        token = self.page.locator("input[name=form_token]").first.get_attribute("value") or ""
        with self.page.expect_navigation(wait_until="load"):
            self.page.evaluate(SEND, [path, {"form_token": token, **fields}])

    def leave(self) -> None:
        self.page.context.clear_cookies()
        self.page.goto("about:blank")

    def enter(self, account: AccountId) -> None:
        """A customer's page, by a link from the counter."""
        self.leave()
        self.page.goto(self.site.customer_link(account))
        self.page.locator("form[data-code] button").click()
        self.page.wait_for_url(f"{self.site.url}/me")


def walk(tourist: Tourist, paths: dict[str, str]) -> Iterator[str]:
    for name, path in paths.items():
        tourist.go(path)
        yield name


def getting_in(tourist: Tourist, busy: Busy) -> Iterator[str]:
    """A stranger, who ends as an admin."""
    page = tourist.page
    yield from walk(
        tourist,
        {
            "sign-in": "/console/sign-in",
            "sign-in-refused": "/console/sign-in?refused=1",
            "join-nobody": "/console/join/x",
        },
    )
    tourist.me, link = busy.add_operator(Role.ADMIN)
    page.goto(link)
    yield "join"
    page.locator("main form button").click()
    yield "passkey"
    with page.expect_navigation(wait_until="load"):
        page.evaluate(NO_PASSKEY)
    yield "passkey-refused"
    page.locator("[data-passkey=create] button").click()
    page.wait_for_selector(".codes")
    yield "recovery"
    page.locator("main a.button.primary").click()
    page.locator("[data-passkey=get] button").click()
    page.wait_for_url(re.compile(r"/console(\?.*)?$"))


def full(tourist: Tourist, busy: Busy) -> Iterator[str]:
    yield from walk(tourist, full_paths(busy))


def full_paths(busy: Busy) -> dict[str, str]:
    """An admin's pages where something is on each."""
    house = busy.house
    shop = f"/console/merchants/{house.merchant}"
    with house.database.transaction() as conn:
        ids = {
            table: bytes(conn.execute(f"SELECT {table}_id FROM {of} LIMIT 1").fetchall()[0][0])
            for table, of in (("webhook", "webhooks"), ("delivery", "webhook_deliveries"))
        }
        denied, paid = (
            AttemptId(conn.execute(query, (busy.till.terminal.raw,)).fetchall()[0][0])
            for query in (
                "SELECT attempt_id FROM attempts WHERE denial IS NOT NULL AND terminal_id = %s",
                "SELECT attempt_id FROM transfers JOIN attempts ON attempt_id = transfer_id"
                " WHERE kind = 'payment' AND terminal_id = %s",
            )
        )
    hook = f"{shop}/webhooks/{WebhookId(ids['webhook'])}"
    return {
        "overview": "/console",
        "attempts": "/console/attempts",
        "attempt-denied": f"/console/attempts/{denied}",
        "attempt-approved": f"/console/attempts/{paid}",
        "accounts": "/console/accounts",
        "account": f"/console/accounts/{busy.account}",
        "merchants": "/console/merchants",
        "merchant": shop,
        "payment-held": f"{shop}/payments/{busy.held.intent}",
        "payment-paid": f"{shop}/payments/{busy.paid.intent}",
        "payment-of-attempt": f"{shop}/payments/{paid}",
        "webhooks": f"{shop}/webhooks",
        "webhook": hook,
        "delivery": f"{hook}/{DeliveryId(ids['delivery'])}",
        "doors": "/console/doors",
        "door": f"/console/doors/{house.door}?account={busy.account}&direction=in",
        "grant": f"/console/places/{house.door}/grants/{busy.account}",
        "terminals": "/console/terminals",
        "terminal": f"/console/terminals/{busy.till.terminal}",
        "terminal-door": f"/console/terminals/{busy.gate.terminal}",
        "terminal-new": "/console/terminals/new",
        "policies": "/console/policies",
        "policy-new": "/console/policies/new",
        "calibration": "/console/calibration",
        "liveness-none": "/console/liveness",
        "audit": "/console/audit",
        "operators": "/console/operators",
    }


def states(tourist: Tourist, busy: Busy) -> Iterator[str]:
    """An admin who searches for nothing, types nonsense, and meets what others did."""
    house, me = busy.house, tourist.me
    shop = f"/console/merchants/{house.merchant}"
    yield from walk(
        tourist,
        {
            "attempts-none": "/console/attempts?from=2999-01-01T00:00",
            "attempts-wrong": "/console/attempts?terminal=x&from=y",
            "accounts-wrong": "/console/accounts?account=x",
            "account-not-confirmed": f"/console/accounts/{busy.account}?not_confirmed=1",
            "merchant-none": f"{shop}?state=voided",
            "merchant-wrong": f"{shop}?state=x",
            "webhook-wrong": f"{full_paths(busy)['webhook']}?state=x",
            "door-wrong": f"/console/doors/{house.door}?account={AccountId(bytes(16))}",
            "terminals-none": "/console/terminals?health=revoked&kind=atm",
            "terminals-wrong": "/console/terminals?health=fine",
        },
    )
    tourist.go("/console/nowhere", 404)
    yield "nowhere"
    for name, path, fields in (
        ("merchants-wrong", "/console/merchants", {"name": ""}),
        ("operators-wrong", "/console/operators", {"name": LONG}),
        ("operators-invited", "/console/operators", {"name": LONG, "role": "auditor"}),
        ("operators-last", f"/console/operators/{me}/disable", {}),
        ("policy-wrong", "/console/policies/new", {"document": "{", "reason": LONG}),
        ("terminal-name", "/console/terminals/new", {"kind": "atm", "name": ""}),
        ("terminal-kind", "/console/terminals/new", {"kind": "store", "name": LONG}),
        ("terminal-code", "/console/terminals/new", {"kind": "atm", "name": LONG}),
        ("grant-wrong", f"/console/places/{house.door}/grants/{busy.account}",
         {"time_zone": "Mars/Base", "Mon-0-from": "08:00", "Mon-0-until": "18:00"}),
        ("door-release-wrong", f"/console/doors/{house.door}/release", {"reason": ""}),
        ("door-release", f"/console/doors/{house.door}/release", {"reason": LONG}),
        ("door-release-waits", f"/console/doors/{house.door}/release", {"reason": "Post"}),
        ("customer-link", f"/console/accounts/{busy.account}/link", {}),
        ("payment-refused", f"{shop}/payments/{busy.paid.intent}/refund",
         {"amount": "x", "transfer": f"tra_{'a' * 26}"}),
        ("verified-not-yet", f"/console/audit/{'00' * 32}/verify", {}),
        ("not-sent-yet", "/console/merchants", {"form_token": "x", "name": LONG}),
    ):  # fmt: skip
        tourist.send(path, **fields)
        yield name
    yield from _audited(tourist, busy)
    yield from _trial(tourist, busy)
    yield from _decided(tourist, busy)
    yield from _accounts(tourist, busy)
    busy.lock_down()
    yield from walk(tourist, {"doors-locked-down": "/console/doors"})
    yield from _trouble(tourist, busy)


def _audited(tourist: Tourist, busy: Busy) -> Iterator[str]:
    with busy.house.database.transaction() as conn:
        digest = (
            conn.execute("SELECT leaf_hash FROM audit_entries WHERE position = 0")
            .fetchall()[0][0]
            .hex()
        )
    tourist.send(f"/console/audit/{digest}/verify")
    yield "verified"
    with patch("service.audit.log.receipt", return_value=b"c2sp.org/tlog-proof@v1\n"):
        tourist.send(f"/console/audit/{digest}/verify")
    yield "verified-wrong"


def _trial(tourist: Tourist, busy: Busy) -> Iterator[str]:
    report = tourist.home / "trial.json"
    busy.house.app.extensions["liveness_report"] = report
    for name, text in (("liveness", json.dumps(TRIAL)), ("liveness-wrong", "{")):
        report.write_text(text)
        tourist.go("/console/liveness")
        yield name


def _decided(tourist: Tourist, busy: Busy) -> Iterator[str]:
    other, _ = busy.add_operator(Role.ADMIN, name=LONG)
    waiting, own = busy.propose_policy(other), busy.propose_policy(tourist.me)
    yield from walk(
        tourist,
        {
            "proposal": f"/console/policies/{waiting}",
            "proposal-own": f"/console/policies/{own}",
            "policies-waiting": "/console/policies",
        },
    )
    tourist.send(f"/console/policies/{own}", approve="1")
    yield "proposal-refused"
    tourist.send(f"/console/policies/{own}", approve="0")
    yield "policies-withdrawn"
    tourist.go(f"/console/policies/{own}")
    yield "proposal-withdrawn"


def _accounts(tourist: Tourist, busy: Busy) -> Iterator[str]:
    house = busy.house
    suspended, paused, erased = (enrol(house, seed) for seed in (11, 12, 13))
    house.operations.set_account(suspended, active=False)
    acts.of(house.operations).pause(paused)
    house.operations.erase_account(erased)
    locked = enrol(house, 14)
    for _ in range(Lockout().failures * 2 + 1):
        busy.till.attempt(payment(house), probe(1, claim="card:14"))
    waiting, _ = house.operations.add_terminal(TerminalKind.ENROLMENT, LONG)
    revoked = house.add_terminal(TerminalKind.ENROLMENT).terminal
    house.operations.revoke_terminal(revoked)
    yield from walk(
        tourist,
        {
            "account-suspended": f"/console/accounts/{suspended}",
            "account-paused": f"/console/accounts/{paused}",
            "account-erased": f"/console/accounts/{erased}",
            "account-locked": f"/console/accounts/{locked}",
            "terminal-waiting": f"/console/terminals/{waiting}",
            "terminal-revoked": f"/console/terminals/{revoked}",
        },
    )


def _trouble(tourist: Tourist, busy: Busy) -> Iterator[str]:
    """No database; then roles that are not enough; then a session that ends under a form."""
    with patch.object(Database, "transaction", side_effect=Unavailable("gone")):
        tourist.go("/console", 503)
    yield "unavailable"
    tourist.send("/console/merchants", name="x" * 90_000)
    yield "too-long"
    busy.give_role(tourist.me, Role.GUARD)
    tourist.go("/console/audit", 403)
    yield "not-in-your-roles"
    busy.give_role(tourist.me, Role.ADMIN)
    tourist.go("/console/merchants")
    busy.house.clock.now_ms += people.IDLE_MS + 1
    tourist.page.locator("input[name=name]").fill(LONG)
    with tourist.page.expect_navigation(wait_until="load"):
        tourist.page.locator("main form button").press("Enter")
    yield "session-over"


def merchants(tourist: Tourist, busy: Busy) -> Iterator[str]:
    """A merchant's operator, who sees less."""
    tourist.leave()
    join(tourist.page, busy.invite(Role.MERCHANT, merchant=busy.house.merchant))
    shop = f"/console/merchants/{busy.house.merchant}"
    paths = {
        "overview": "/console",
        "attempts": "/console/attempts",
        "payments": shop,
        "payment": f"{shop}/payments/{busy.paid.intent}",
        "terminals": "/console/terminals",
        "terminal-new": "/console/terminals/new",
    }
    yield from walk(tourist, {f"merchants-{name}": path for name, path in paths.items()})


def empty(tourist: Tourist) -> Iterator[str]:
    """An admin's pages in a house where nothing happened, then where all is new."""
    house = tourist.site.house
    with house.database.transaction() as conn:
        conn.execute(NOTHING)
    join(tourist.page, tourist.site.invite(Role.ADMIN))
    sections = ("attempts", "accounts", "merchants", "doors", "terminals", "policies", "audit")
    paths = {"overview": "/console"} | {each: f"/console/{each}" for each in sections}
    yield from walk(tourist, {f"empty-{name}": path for name, path in paths.items()})
    operations = house.operations
    shop, group = operations.add_merchant("New", "EUR"), operations.add_group("New")
    door, account = operations.add_door("New"), enrol_without_face(house, 1)
    terminal, _ = operations.add_terminal(TerminalKind.ATM, "New")
    paths = {
        "merchant": f"/console/merchants/{shop}",
        "webhooks": f"/console/merchants/{shop}/webhooks",
        "doors": "/console/doors",
        "door": f"/console/doors/{door}",
        "grant": f"/console/places/{door}/grants/{group}",
        "terminal": f"/console/terminals/{terminal}",
        "account": f"/console/accounts/{account}",
    }
    yield from walk(tourist, {f"new-{name}": path for name, path in paths.items()})


def own(tourist: Tourist, busy: Busy) -> Iterator[str]:
    """The customer's page, from the link to the erasure."""
    house, page = busy.house, tourist.page
    tourist.leave()
    yield from walk(
        tourist,
        {
            "me-enter": "/me/enter",
            "me-refused": "/me/enter?refused=1",
            "me-ended": "/me/enter?ended=1",
        },
    )
    page.goto("about:blank")
    page.goto(busy.customer_link(busy.account))
    yield "me-by-link"
    tourist.enter(enrol_without_face(house, 21))
    yield "me-unused"
    tourist.go("/me/uses")
    yield "me-uses-none"
    yield from _restricted(tourist, house)
    tourist.enter(busy.account)
    yield "me"
    newest = busy.till.attempt(payment(house), probe(1)).attempt
    yield from walk(
        tourist,
        {f"me-{done}": f"/me?done={done}" for done in DONE}
        | {
            "me-uses": "/me/uses",
            "me-uses-older": "/me/uses?after=1.00000000000000000000000000000000",
        },
    )
    tourist.go(f"/me/uses/{newest}/receipt", 202)
    yield "me-waiting"
    tourist.go("/me/nowhere", 404)
    yield "me-nowhere"
    tourist.send("/me/pause", form_token="x")
    yield "me-forged"
    with patch.object(Database, "transaction", side_effect=Unavailable("gone")):
        tourist.go("/me", 503)
    yield "me-unavailable"
    tourist.send("/me/erase", meant="1")
    yield "me-erased-waiting"
    busy.integrate()
    tourist.go("/me")
    yield "me-erased"


def _restricted(tourist: Tourist, house: House) -> Iterator[str]:
    for seed, name, pin in ((22, "suspended", "2468"), (23, "withdrawn", "2468"),
                            (24, "unusable", None), (25, "paused", "2468")):  # fmt: skip
        account = enrol(house, seed, pin=pin)
        tourist.enter(account)
        if name == "suspended":
            house.operations.set_account(account, active=False)
        elif name == "paused":
            acts.of(house.operations).pause(account)
        else:
            acts.of(house.operations).withdraw_consent(account)
        tourist.go("/me")
        yield f"me-{name}"
