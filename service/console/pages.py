"""The pages: what is read, and which act a form carries out."""

from __future__ import annotations

from flask import Response, abort, request, url_for

from service.console import charts
from service.console.fields import ROWS, Filters, after, line, parsed
from service.console.frame import ANYBODY, go, merchant_only, operations, page, show
from service.customers import acts as customers
from service.operators import overview as reads
from service.operators import people, records, staff
from service.operators.pages import FIRST
from service.operators.people import OperatorId, Role
from service.operators.records import Wanted
from service.web import party
from wire.denial import Denial
from wire.errors import MalformedError
from wire.ids import AccountId, AttemptId, MerchantId, TerminalId
from wire.messages import Level, Purpose

STAFF = ANYBODY - {Role.MERCHANT}
LOOKS_AFTER_ACCOUNTS = frozenset({Role.ADMIN, Role.ENROLLER, Role.SUPPORT})


@page("", ANYBODY)
def overview() -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        found = reads.today(conn, merchant=merchant_only(), now_ms=acts.clock())
    return show("overview.html", today=found, hours=charts.hours(found.spans))


@page("/attempts", ANYBODY)
def attempts() -> Response:
    acts, filters, confined = operations(), Filters(), merchant_only()
    read = filters.read
    wanted = Wanted(
        merchant=confined,
        terminal=read("terminal", TerminalId.parse),
        account=None if confined else read("account", AccountId.parse),
        purpose=read("purpose", lambda text: Purpose[text.upper()]),
        approved=read("outcome", {"approved": True, "denied": False}.__getitem__),
        denial=None if confined else read("denial", Denial),
        **filters.span(),
    )
    with acts.database.transaction() as conn:
        found = records.list_attempts(conn, wanted, after=after(), limit=ROWS)
    return show(
        "attempts.html",
        page=found,
        filters=filters,
        purposes=[purpose.name.lower() for purpose in Purpose],
        denials=list(Denial) if not confined else [],
    )


@page("/attempts/<attempt>", ANYBODY)
def attempt(attempt: str) -> Response:
    acts = operations()
    with acts.database.transaction() as conn:
        found = reads.find_attempt(conn, parsed(AttemptId, attempt), merchant=merchant_only())
    if found is None:
        abort(404)
    level = Level(found.level).name.lower() if found.level is not None else None
    return show("attempt.html", found=found, level=level)


@page("/accounts", STAFF)
def accounts() -> Response:
    acts, text = operations(), request.args.get("account", "").strip()
    if text:
        try:
            return go("account", account=AccountId.parse(text))
        except MalformedError:
            return show("accounts.html", page=None, text=text)
    with acts.database.transaction() as conn:
        found = records.list_accounts(conn, after=after(), limit=ROWS)
    return show("accounts.html", page=found, text="")


@page("/accounts/<account>", STAFF)
def account(account: str) -> Response:
    acts, wanted = operations(), parsed(AccountId, account)
    with acts.database.transaction() as conn:
        found = records.find_account(conn, wanted)
        consent = reads.find_consent(conn, wanted)
        newest = records.list_attempts(conn, Wanted(account=wanted), after=FIRST, limit=10)
    if found is None or consent is None:
        abort(404)
    return show("account.html", found=found, consent=consent, newest=newest, now_ms=acts.clock())


@page("/accounts/<account>/link", LOOKS_AFTER_ACCOUNTS, methods=("POST",))
def link_account(account: str) -> Response:
    """A way to the customer's own page, for whoever has shown to be the customer."""
    wanted = parsed(AccountId, account)
    code = customers.of(operations()).make_link(wanted)
    if code is None:
        abort(404)
    link = f"{party().origin}{url_for('me.enter')}#{code}"
    return show("customer_link.html", account=wanted, link=link, qr=charts.qr(link))


@page("/accounts/<account>/state", LOOKS_AFTER_ACCOUNTS, methods=("POST",))
def set_account(account: str) -> Response:
    wanted = parsed(AccountId, account)
    if not operations().set_account(wanted, active=request.form.get("active") == "1"):
        abort(404)
    return go("account", account=wanted)


@page("/accounts/<account>/erase", frozenset({Role.ADMIN, Role.SUPPORT}), methods=("POST",))
def erase_account(account: str) -> Response:
    """Only for whoever typed the account's id: there is no way back."""
    wanted = parsed(AccountId, account)
    if request.form.get("confirm", "").strip() != str(wanted):
        return go("account", account=wanted, not_confirmed=1)
    if operations().erase_account(wanted) is None:
        abort(404)
    return go("account", account=wanted)


@page("/operators", frozenset({Role.ADMIN}))
def operators() -> Response:
    return _operators()


def _operators(*, link: str | None = None, wrong: bool = False, last: bool = False) -> Response:
    with operations().database.transaction() as conn:
        found = people.list_operators(conn)
        merchants = records.list_merchants(conn, merchant=None, after=FIRST, limit=100)
    return show(
        "operators.html",
        400 if wrong else 200,
        found=found,
        roles=list(Role),
        merchants=merchants.items,
        link=link,
        origin=party().origin,
        wrong=wrong,
        last=last,
        given=request.form,
    )


@page("/operators", frozenset({Role.ADMIN}), methods=("POST",))
def add_operator() -> Response:
    form, name = request.form, line("name", 80)
    if name is None:
        return _operators(wrong=True)
    try:
        roles = {Role(role) for role in form.getlist("role")}
        merchant = MerchantId.parse(form["merchant"]) if form.get("merchant") else None
        _, code = staff.of(operations()).add_operator(name, roles, merchant=merchant)
    except (ValueError, MalformedError):
        return _operators(wrong=True)
    return _operators(link=url_for("console.join", code=code))


@page("/operators/<operator>/invite", frozenset({Role.ADMIN}), methods=("POST",))
def invite_operator(operator: str) -> Response:
    code = staff.of(operations()).invite_operator(parsed(OperatorId, operator))
    if code is None:
        abort(404)
    return _operators(link=url_for("console.join", code=code))


@page("/operators/<operator>/disable", frozenset({Role.ADMIN}), methods=("POST",))
def disable_operator(operator: str) -> Response:
    done = staff.of(operations()).disable_operator(parsed(OperatorId, operator))
    return _operators(last=not done)
