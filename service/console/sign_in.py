"""Signing in: passkeys; a code where there is none yet, or none any more."""

from __future__ import annotations

from flask import Response, abort, g, request, url_for

from service import codes, passkeys
from service.console.frame import (
    begin_session,
    end_session,
    go,
    local,
    page,
    require_enrolling,
    show,
)
from service.operators import people
from service.passkeys import PasskeyError
from service.web import party, passkey_answer, plain_operations


@page("/sign-in", None)
def sign_in() -> Response:
    to = local(request.args.get("to"))
    return show("sign_in.html", to=to, refused=request.args.get("refused") == "1")


@page("/sign-in/options", None, methods=("POST",))
def sign_in_options() -> Response:
    acts = plain_operations()
    with acts.database.transaction() as conn:
        options = passkeys.offer_sign_in(conn, people.PASSKEYS, party(), now_ms=acts.clock())
    return Response(options, content_type="application/json")


@page("/sign-in", None, methods=("POST",))
def use_passkey() -> Response:
    acts, to = plain_operations(), local(request.form.get("to"))
    try:
        with acts.database.transaction() as conn:
            who = passkeys.sign_in(conn, people.PASSKEYS, party(), _answer(), now_ms=acts.clock())
    except PasskeyError:
        return _refused(to)
    return begin_session(who, enrolling=False, to=to)


@page("/sign-in/code", None, methods=("POST",))
def use_code() -> Response:
    """An invitation, or a recovery code: good for adding a passkey, and for no more."""
    acts, code = plain_operations(), request.form.get("code", "").strip().lower()
    who = None
    if codes.is_code(code):
        with acts.database.transaction() as conn:
            digest = codes.secret_hash("console-code", code, acts.keys.claims)
            who = people.take_code(conn, digest, now_ms=acts.clock())
    if who is None:
        return _refused(local(None))
    return begin_session(who, enrolling=True, to=url_for("console.add_passkey"))


@page("/join/<code>", None)
def join(code: str) -> Response:
    """The invitation's link; its button uses the code up, so that a preview of it does not."""
    return show("join.html", code=code if codes.is_code(code) else "")


@page("/passkey", None)
def add_passkey() -> Response:
    if g.console_session is None:
        return go("sign_in")
    return show("passkey.html")


@page("/passkey/options", None, methods=("POST",))
def passkey_options() -> Response:
    who, acts = require_enrolling(), plain_operations()
    with acts.database.transaction() as conn:
        options = passkeys.offer_registration(
            conn, people.PASSKEYS, party(), who.operator, who.name, now_ms=acts.clock()
        )
    return Response(options, content_type="application/json")


@page("/passkey", None, methods=("POST",))
def keep_passkey() -> Response:
    """With the first passkey come recovery codes, which are shown once."""
    who, acts = require_enrolling(), plain_operations()
    recovery = [codes.new_code() for _ in range(people.RECOVERY_CODES)]
    digests = [codes.secret_hash("console-code", code, acts.keys.claims) for code in recovery]
    try:
        with acts.database.transaction() as conn:
            now_ms = acts.clock()
            passkeys.register(
                conn, people.PASSKEYS, party(), who.operator, _answer(), now_ms=now_ms
            )
            people.replace_recovery_codes(conn, who.operator, digests)
    except PasskeyError:
        return show("passkey.html", 400, refused=True)
    end_session()
    return show("recovery.html", codes=recovery)


@page("/sign-out", None, methods=("POST",))
def sign_out() -> Response:
    end_session()
    return go("sign_in")


def _answer() -> str:
    answer = passkey_answer()
    if answer is None:
        abort(400)
    return answer


def _refused(to: str) -> Response:
    return go("sign_in", to=to, refused=1)
