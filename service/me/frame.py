"""The frame of the customer's page: whose it is, and whether the browser meant it; then the page.

Guarantees: no page runs without a customer's session unless it is declared to be for all; a POST
runs only with that session's form token, and never for another site's page (:mod:`service.web`).
An erased account's session opens what proves the erasure, and no more; an operator's opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, abort, g, make_response, render_template, request, url_for

from service import codes, web
from service.customers import acts, sign_in
from service.customers.acts import Customers
from service.customers.sign_in import Session
from service.operators.acts import Operations
from service.web import SessionCookie, plain_operations, see
from texts import LANGUAGES, translator
from wire.ids import AccountId

View = Callable[..., Any]
TEXTS = "service.me.language"
COOKIE = SessionCookie("me", "/me")

me = Blueprint(
    "me", __name__, url_prefix="/me", template_folder="templates", static_folder="static"
)


@dataclass(frozen=True, slots=True)
class Declared:
    """Those ``to_all`` need no session; those ``after_erasure`` are there for erased accounts."""

    to_all: bool = False
    after_erasure: bool = False


DECLARED: dict[str, Declared] = {"me.static": Declared(to_all=True)}


def page(
    rule: str, *, method: str = "GET", to_all: bool = False, after_erasure: bool = False
) -> Callable[[View], View]:
    """Declares a page, which without more is the signed-in customer's."""

    def declare(view: View) -> View:
        DECLARED[f"me.{view.__name__}"] = Declared(to_all, after_erasure)
        me.add_url_rule(rule, view_func=view, methods=[method])
        return view

    return declare


def customer() -> AccountId:
    session: Session = g.me_session
    return session.account


def operations() -> Operations:
    """The acts on accounts, in the customer's own name."""
    return replace(plain_operations(), actor=customer())


def own_acts() -> Customers:
    return acts.of(operations())


def begin_session(account: AccountId) -> Response:
    """A fresh session, so that a session which somebody planted before is worth nothing."""
    plain, secret = plain_operations(), codes.new_session()
    with plain.database.transaction() as conn:
        sign_in.begin_session(conn, account, COOKIE.digest(secret), now_ms=plain.clock())
    return COOKIE.give(go("overview"), secret)


def end_session() -> None:
    with plain_operations().database.transaction() as conn:
        sign_in.end_session(conn, COOKIE.digest())


@me.before_request
def _admit() -> Response | None:
    declared = DECLARED[str(request.endpoint)]
    g.language = web.read_language()
    web.bound_form()
    if request.method == "POST" and not web.is_from_here():
        abort(400)
    g.me_session = _resume()
    if declared.to_all:
        return None
    if g.me_session is None:
        return go("enter", ended=1 if COOKIE.secret else None)
    if request.method == "POST" and not COOKIE.is_meant():
        abort(400)
    if g.me_session.erased and not declared.after_erasure:
        return go("overview")
    return None


def _resume() -> Session | None:
    if not COOKIE.secret or request.endpoint == "me.static":
        return None
    plain = plain_operations()
    with plain.database.transaction() as conn:
        return sign_in.resume_session(conn, COOKIE.digest(), now_ms=plain.clock())


def go(endpoint: str, **values: Any) -> Response:
    return see(url_for(f"me.{endpoint}", **values))


me.after_request(web.protect)


def show(template: str, status: int = 200, **values: Any) -> Response:
    """A page in the reader's language."""
    texts = translator(TEXTS, g.language)
    values |= texts | {
        "ago": partial(texts["ago"], now_ms=plain_operations().clock()),
        "signed_in": g.get("me_session") is not None,
        "form_token": COOKIE.form_token,
        "language": g.language,
        "languages": LANGUAGES,
    }
    return make_response(render_template(f"me/{template}", **values), status)
