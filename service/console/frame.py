"""The console's frame: who asks, in which roles, and whether the browser meant it; then the page.

Guarantees: no page runs without a session whose roles it names, and a page that names none does
not exist. A POST runs only with the session's form token, and never for another site's page
(:mod:`service.web`). In order: sign in, 403, 400 for a form that is not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    g,
    make_response,
    render_template,
    request,
    url_for,
)

from service import codes, web
from service.operators import people
from service.operators.acts import Operations
from service.operators.people import Operator, Role, Session
from service.web import SessionCookie, plain_operations, see
from texts import LANGUAGES, translator
from wire.ids import MerchantId

View = Callable[..., Any]
ANYBODY = frozenset(Role)
TEXTS = "service.console.language"
COOKIE = SessionCookie("console", "/console")

console = Blueprint(
    "console",
    __name__,
    url_prefix="/console",
    template_folder="templates",
    static_folder="static",
)


@dataclass(frozen=True, slots=True)
class Declared:
    """Who may ask for an endpoint: ``roles``; ``open`` ones need no session. What a page asks for
    by itself is ``quiet``: it keeps no session alive that its reader has left."""

    roles: frozenset[Role]
    open: bool = False
    quiet: bool = False


DECLARED: dict[str, Declared] = {"console.static": Declared(frozenset(), open=True)}


def page(
    rule: str,
    roles: Set[Role] | None,
    *,
    methods: tuple[str, ...] = ("GET",),
    quiet: bool = False,
) -> Callable[[View], View]:
    """Declares a page; ``roles`` None is open to everybody, signed in or not."""

    def declare(view: View) -> View:
        DECLARED[f"console.{view.__name__}"] = Declared(
            frozenset(roles or ()), open=roles is None, quiet=quiet
        )
        console.add_url_rule(rule, view_func=view, methods=list(methods))
        return view

    return declare


def operations() -> Operations:
    """The operators' acts, in the name of whoever is signed in."""
    found: Operations = current_app.extensions["operations"]
    return replace(found, actor=operator().operator)


def operator() -> Operator:
    session: Session = g.console_session
    return session.operator


def merchant_only() -> MerchantId | None:
    """The merchant that this operator is confined to."""
    return operator().merchant


def begin_session(who: people.OperatorId, *, enrolling: bool, to: str) -> Response:
    """A fresh session, so that a session which somebody planted before is worth nothing."""
    acts, secret = plain_operations(), codes.new_session()
    with acts.database.transaction() as conn:
        people.begin_session(
            conn, who, COOKIE.digest(secret), enrolling=enrolling, now_ms=acts.clock()
        )
    return COOKIE.give(see(to), secret)


def end_session() -> None:
    acts = plain_operations()
    with acts.database.transaction() as conn:
        people.end_session(conn, COOKIE.digest())


@console.before_request
def _admit() -> Response | None:
    declared = DECLARED[str(request.endpoint)]
    g.language = web.read_language()
    web.bound_form()
    if request.method == "POST" and not web.is_from_here():
        abort(400)
    g.console_session = _resume()
    if declared.open:
        return None
    session = g.console_session
    if session is None:
        return _keep_typed() or _ask_to_sign_in()
    if session.enrolling:
        return go("add_passkey")
    if not declared.roles & session.operator.roles:
        abort(403)
    if request.method == "POST" and not COOKIE.is_meant():
        return _keep_typed() or abort(400)
    return None


def _keep_typed() -> Response | None:
    """A form whose session ended under it: nothing is done, and what was typed is shown with the
    way to send it again. Only where the browser says that it comes from a page of this console:
    what another site made somebody send is not offered to them."""
    if request.method != "POST" or not COOKIE.secret or not web.is_surely_from_here():
        return None
    return show("kept.html", 403, kept=web.typed(), signed_in=g.console_session is not None)


def _resume() -> Session | None:
    if not COOKIE.secret or request.endpoint == "console.static":
        return None
    acts = plain_operations()
    with acts.database.transaction() as conn:
        return people.resume_session(
            conn,
            COOKIE.digest(),
            quiet=DECLARED[str(request.endpoint)].quiet,
            now_ms=acts.clock(),
        )


def require_enrolling() -> Operator:
    """Whoever may add a passkey: signed in by a code or by another passkey."""
    session: Session | None = g.console_session
    if session is None:
        abort(403)
    if request.method == "POST" and not COOKIE.is_meant():
        abort(400)
    return session.operator


def _ask_to_sign_in() -> Response:
    """Comes back to the page afterwards; a form is not sent again by itself."""
    back = request.full_path if request.method == "GET" and request.query_string else request.path
    return go("sign_in", to=back if request.method == "GET" else None)


def go(endpoint: str, **values: Any) -> Response:
    """To another page of the console, which the browser then asks for."""
    return see(url_for(f"console.{endpoint}", **values))


def local(target: str | None) -> str:
    """``target`` where it is a page of this console, or else the first page."""
    return web.local(target, "/console", url_for("console.overview"))


console.after_request(web.protect)


def show(template: str, status: int = 200, **values: Any) -> Response:
    """A page in the reader's language."""
    session: Session | None = g.get("console_session")
    texts = translator(TEXTS, g.language)
    values |= texts | {
        "ago": partial(texts["ago"], now_ms=plain_operations().clock()),
        "operator": session.operator if session else None,
        "enrolling": session.enrolling if session else False,
        "may": _may,
        "form_token": COOKIE.form_token,
        "language": g.language,
        "languages": LANGUAGES,
    }
    return make_response(render_template(f"console/{template}", **values), status)


def _may(endpoint: str) -> bool:
    """Whether the reader's roles open a page: links to others are not shown."""
    session: Session | None = g.get("console_session")
    declared = DECLARED[f"console.{endpoint}"]
    return session is not None and bool(declared.roles & session.operator.roles)


@page("/language", None, methods=("POST",))
def set_language() -> Response:
    return web.keep_language(see(local(request.form.get("to"))))
