"""What a hostile site, name, link or neighbour tries over HTTP, on every route of all pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from werkzeug.test import TestResponse

from service import checkout
from service.operators import door_records, staff, webhook_acts
from service.operators.pages import FIRST
from service.operators.people import Role
from service.passkeys import RelyingParty
from service.payments.rules import Intent, NewIntent
from service.verification.policy import default_policy
from service.web import CONTENT_SECURITY_POLICY
from service.webhooks import store as webhooks
from service.webhooks.outbox import EventKind
from service.webhooks.sender import Outcome, Try
from tests.ceremony.house import CURRENCY, House, enrol, probe
from tests.console.test_roles import GUARDED, ROUTES, path_of
from tests.console.visitor import CROSS_SITE, Passkey, Visitor, text_of
from tests.me import test_routes as own
from tests.me.customer import Customer, link_of
from wire.ids import MerchantId, TerminalId
from wire.messages import PaymentContext, TerminalKind
from wire.money import Money

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
NAME = HOSTILE[:80]
FIELDS = (
    "account", "terminal", "purpose", "outcome", "denial", "from", "until", "after", "to", "start",
    "refused", "ended", "order", "state", "kind", "site", "health", "at", "direction", "done",
    "not_confirmed", "erased", "language",
)  # fmt: skip


@pytest.fixture
def admin(house: House) -> Visitor:
    return Visitor.signed_in(house, Role.ADMIN)


def is_harmless(answer: TestResponse) -> bool:
    return not re.search(rb"<script>alert|<img src=x", answer.data)


@dataclass
class Shop:
    """A merchant with a payment, a terminal and a webhook that could not be told."""

    merchant: MerchantId
    terminal: TerminalId
    paths: dict[str, str]

    @classmethod
    def open(cls, house: House) -> Shop:
        house.top_up(enrol(house, 1), 100_000)
        till = house.add_terminal(TerminalKind.STORE)
        webhook_acts.of(house.operations).add(
            house.merchant, "https://shop.example/hook", list(EventKind), development=False
        )
        wanted = NewIntent(
            merchant=house.merchant,
            money=Money(amount_minor=4250, currency=CURRENCY),
            order="A-1",
            terminal=till.terminal,
            site=None,
            hold_ms=3_600_000,
            lives_ms=3_600_000,
        )
        made = checkout.of(house.operations).create(wanted)
        assert isinstance(made, Intent)
        context = till.waiting(made.intent)
        assert context is not None
        decision = till.attempt(context, probe(1))
        assert decision.approved
        with house.database.transaction() as conn:
            (raw,) = conn.execute("SELECT webhook_id FROM webhooks").fetchall()[0]
            name = webhooks.WebhookId(raw)
            claimed = webhooks.claim(conn, name, now_ms=house.clock())
            assert claimed is not None
            failed = Try(outcome=Outcome.STATUS_NOT_2XX, status=503, duration_ms=1)
            webhooks.record(conn, claimed, failed, now_ms=house.clock())
            (raw,) = conn.execute("SELECT delivery_id FROM webhook_deliveries").fetchall()[0]
        paths = {
            "<merchant>": str(house.merchant),
            "<payment>": str(made.intent),
            "<webhook>": str(name),
            "<delivery>": str(webhooks.DeliveryId(raw)),
            "<terminal>": str(till.terminal),
            "<attempt>": str(decision.attempt),
        }
        return cls(house.merchant, till.terminal, paths)

    def routes(self) -> Iterator[tuple[str, str]]:
        """(method, path) of all that names something of this merchant's."""
        for route in GUARDED:
            if Role.MERCHANT not in (ROUTES[route] or ()) or not set(self.paths) & set(
                re.findall(r"<\w+>", route)
            ):
                continue
            method, path = route.split(" ")
            for name, value in self.paths.items():
                path = path.replace(name, value)
            yield method, path


def test_ids_of_another_merchant_are_404_on_every_route(house: House) -> None:
    shop = Shop.open(house)
    stranger = house.operations.add_merchant("Elsewhere", "EUR")
    owner = Visitor.signed_in(house, Role.MERCHANT, merchant=shop.merchant)
    other = Visitor.signed_in(house, Role.MERCHANT, merchant=stranger)
    found = list(shop.routes())
    assert len(found) >= 12
    with house.database.transaction() as conn:
        before = conn.execute("SELECT count(*) FROM audit_entries").fetchone()
    for method, path in found:
        for wanted in {path, path.replace(str(shop.merchant), str(stranger))}:
            answer = other.get(wanted) if method == "GET" else other.post(wanted, {"amount": "1"})
            if (
                wanted == path
                or str(shop.merchant) not in path
                or re.search(r"/(pin_|wh\w+_|whd_|pay_|dlv_)", wanted)
            ):
                assert answer.status_code == 404, (method, wanted)
    with house.database.transaction() as conn:
        assert conn.execute("SELECT count(*) FROM audit_entries").fetchone() == before
    for method, path in found:
        if method == "GET":
            assert owner.get(path).status_code == 200, path


def test_no_form_counts_without_its_token_or_from_another_site(
    house: House, admin: Visitor
) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    posts = [route for route in ROUTES if route.startswith("POST")]
    assert len(posts) > 20
    for route in posts:
        _, path = path_of(route)
        for headers in CROSS_SITE:
            answer = admin.post(path, headers=headers)
            assert answer.status_code == 400, (route, headers)
        if ROUTES[route] is not None:
            answer = admin.client.post(path, data={"form_token": "x"})
            assert answer.status_code in (400, 403), route
            assert admin.client.post(path).status_code in (400, 403), route
    for route in (each for each in own.ROUTES if each.startswith("POST")):
        _, path = own.path_of(route)
        for headers in CROSS_SITE:
            assert customer.post(path, headers=headers).status_code == 400, (route, headers)
        if own.ROUTES[route] != own.ALL:
            assert customer.client.post(path).status_code == 400, route


def test_no_other_site_may_read_or_frame_any_answer(house: House, admin: Visitor) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    paths = [path_of(route)[1] for route in ROUTES if route.startswith("GET")]
    paths += [own.path_of(route)[1] for route in own.ROUTES if route.startswith("GET")]
    paths = [path for path in paths if not path.endswith(("changes", "<path:filename>"))]
    paths += ["/console/nowhere", "/me/nowhere", "/console/attempts/x", "/me/static/none.js"]
    for path in paths:
        visitor = customer if path.startswith("/me") else admin
        with visitor.get(path, headers={"Origin": "https://evil.example"}) as answer:
            headers = answer.headers
        assert headers.get("Content-Security-Policy") == CONTENT_SECURITY_POLICY, path
        assert headers.get("X-Frame-Options") == "DENY", path
        assert headers.get("Cross-Origin-Resource-Policy") == "same-origin", path
        assert headers.get("X-Content-Type-Options") == "nosniff", path
        assert "Access-Control-Allow-Origin" not in headers, path
    for path in ("/console", "/me"):
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        answer = house.client().options(path, headers=asked)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_what_is_asked_for_comes_back_as_text_on_every_page(house: House, admin: Visitor) -> None:
    customer = Customer.signed_in(house, enrol(house, 1))
    query = dict.fromkeys(FIELDS, HOSTILE)
    for route in (each for each in ROUTES if each.startswith("GET")):
        if "static" in route or "changes" in route:
            continue
        _, path = path_of(route)
        hostile = re.sub(r"<\w+>", "%3Cscript%3Ealert(1)", route.split(" ")[1])
        for wanted in (path, hostile):
            answer = admin.get(wanted, query_string=query)
            assert answer.status_code in (200, 303, 400, 404), wanted
            assert is_harmless(answer), wanted
    for path in ("/me", "/me/enter", "/me/uses", "/me/uses/%3Cscript%3Ealert(1)/receipt"):
        assert is_harmless(customer.get(path, query_string=query)), path
    headers = {"Accept-Language": HOSTILE, "Referer": HOSTILE}
    admin.client.set_cookie("language", "<script>alert(1)")
    assert is_harmless(admin.get("/console", headers=headers))


def test_names_that_were_stored_stay_text_on_every_page(house: House, admin: Visitor) -> None:
    acts = house.operations
    account = enrol(house, 1)
    house.top_up(account, 10_000)
    house.merchant = acts.add_merchant(NAME, "EUR")
    house.door = acts.add_door(NAME)
    terminal, _ = acts.add_terminal(TerminalKind.ENROLMENT, NAME, site=NAME)
    operator, _ = staff.of(acts).add_operator(NAME, {Role.ADMIN})
    visitor = Visitor.stranger(house)
    visitor.enter(operator)
    form = {"version": "1", "document": default_policy().to_document(), "reason": NAME}
    visitor.get("/console/policies")
    proposal = visitor.post("/console/policies/new", form).headers["Location"]
    webhook_acts.of(acts).add(
        house.merchant, "https://shop.example/%3Cscript%3E", list(EventKind), development=False
    )
    context = PaymentContext(amount_minor=500, currency="EUR", payee=house.merchant, order=NAME)
    attempt = house.add_terminal(TerminalKind.STORE).attempt(context, probe(1)).attempt
    house.grant(account)
    with house.database.transaction() as conn:
        sites = door_records.list_sites(conn, after=FIRST, limit=10).items
    assert sites
    shop = f"/console/merchants/{house.merchant}"
    escaped = 0
    for path in (
        "/console", "/console/attempts", f"/console/attempts/{attempt}", "/console/terminals",
        f"/console/terminals/{terminal}", "/console/terminals/new", "/console/merchants", shop,
        f"{shop}/payments/{attempt}", f"{shop}/webhooks", "/console/doors",
        f"/console/doors/{house.door}", f"/console/places/{house.door}/grants/{account}",
        "/console/operators", "/console/policies", proposal, "/console/audit",
    ):  # fmt: skip
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert is_harmless(answer), path
        escaped += "&lt;script&gt;alert(1)" in answer.text
    assert escaped > 12
    customer = Customer.signed_in(house, account)
    for path in ("/me", "/me/uses"):
        assert is_harmless(customer.get(path)), path
        assert "&lt;script&gt;alert(1)" in customer.get(path).text


def test_a_form_that_is_kept_is_kept_as_text(house: House, admin: Visitor) -> None:
    admin.client.set_cookie("console", "over", path="/console")
    form = {"name": HOSTILE, HOSTILE: "x", "currency": "</textarea><script>alert(1)</script>"}
    answer = admin.post("/console/merchants", form, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert "nothing was done with the form" in text_of(answer)
    assert is_harmless(answer)
    assert "</textarea><script" not in answer.text
    sent_by_another = admin.post("/console/merchants", form, headers=CROSS_SITE[0])
    assert sent_by_another.status_code == 400
    assert HOSTILE[:20] not in text_of(sent_by_another)
    silent = admin.post("/console/merchants", form)
    assert silent.status_code == 303


def test_an_invitation_names_our_own_host_whatever_the_request_says(
    house: House, admin: Visitor
) -> None:
    account = enrol(house, 1)
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    for path, form in (
        ("/console/operators", {"name": "B", "role": "auditor"}),
        (f"/console/accounts/{account}/link", {}),
    ):
        shown = house.app.test_client(use_cookies=False).post(
            path,
            data={"form_token": admin.form_token(), **form},
            headers={**headers, "Cookie": f"console={cookie_of(admin)}"},
        )
        assert shown.status_code == 200, path
        assert "http://localhost/" in shown.text
        assert "evil.example" not in shown.text


def cookie_of(visitor: Visitor) -> str:
    found = visitor.client.get_cookie("console", path="/console")
    assert found is not None
    return found.value


def test_signing_in_again_begins_a_session_of_its_own(house: House) -> None:
    _, code = staff.of(house.operations).add_operator("Ada", {Role.ADMIN})
    key, visitor = Passkey(), Visitor.stranger(house)
    visitor.client.post("/console/sign-in/code", data={"code": code})
    enrolling = cookie_of(visitor)
    options = visitor.post("/console/passkey/options").json
    visitor.post("/console/passkey", {"answer": key.create(options)})
    left = Visitor.stranger(house)
    left.client.set_cookie("console", enrolling, path="/console")
    assert left.get("/console/passkey").headers["Location"].startswith("/console/sign-in")
    visitor.sign_in(key)
    first = cookie_of(visitor)
    assert first != enrolling
    visitor.sign_in(key)
    assert cookie_of(visitor) != first
    visitor.post("/console/sign-out")
    assert visitor.get("/console").status_code == 303


def test_over_https_cookies_are_bound_to_the_host(house: House) -> None:
    house.app.extensions["relying_party"] = RelyingParty("https://console.example")
    _, code = staff.of(house.operations).add_operator("Ada", {Role.ADMIN})
    account = enrol(house, 1)
    client = house.client()
    told = client.post("/console/sign-in/code", data={"code": code}).headers["Set-Cookie"]
    own_code = Customer(house, house.client())
    told_too = own_code.use(link_of(house, account)).headers["Set-Cookie"]
    for cookie, name in ((told, "__Host-console="), (told_too, "__Host-me=")):
        assert cookie.startswith(name)
        for attribute in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example",
     "/console/../../evil", "javascript:alert(1)", "/console@evil.example", "/me", "\x00/console"],
)  # fmt: skip
def test_no_page_sends_anybody_elsewhere(house: House, to: str) -> None:
    _, code = staff.of(house.operations).add_operator("Ada", {Role.ADMIN})
    key, visitor = Passkey(), Visitor.stranger(house)
    visitor.join(code, key)
    options = visitor.client.post("/console/sign-in/options").json
    form = {"answer": key.get(options), "to": to}
    for path, sent in (
        ("/console/sign-in", form),
        ("/console/language", {"language": "es", "to": to}),
        ("/me/language", {"language": "es", "to": to if to != "/me" else "//evil"}),
    ):
        target = visitor.client.post(path, data=sent).headers["Location"]
        assert target in ("/console", "/me"), (path, target)
