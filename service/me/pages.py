"""The customer's pages: getting in, what is stored and used, and what the customer may do."""

from __future__ import annotations

from flask import Response, abort, request, url_for

from service import codes, passkeys, policies, web
from service.audit import log
from service.customers import records, sign_in
from service.customers.data import whole
from service.me.frame import (
    COOKIE,
    begin_session,
    customer,
    end_session,
    go,
    operations,
    own_acts,
    page,
    show,
)
from service.operators.pages import FIRST, Cursor
from service.passkeys import PasskeyError
from service.web import party, plain_operations, see
from wire.errors import MalformedError
from wire.ids import AttemptId

NEWEST = 10
ROWS = 50


@page("/enter", to_all=True)
def enter() -> Response:
    """The link's code stands after the #, which browsers keep to themselves."""
    asked = request.args
    return show("enter.html", refused=asked.get("refused") == "1", ended=asked.get("ended") == "1")


@page("/enter", method="POST", to_all=True)
def use_link() -> Response:
    plain, code, account = plain_operations(), request.form.get("code", "").strip().lower(), None
    if codes.is_code(code):
        digest = codes.secret_hash(sign_in.CODE, code, plain.keys.claims)
        with plain.database.transaction() as conn:
            account = sign_in.take_link(conn, digest, now_ms=plain.clock())
    return go("enter", refused=1) if account is None else begin_session(account)


@page("/sign-in/options", method="POST", to_all=True)
def sign_in_options() -> Response:
    plain = plain_operations()
    with plain.database.transaction() as conn:
        options = passkeys.offer_sign_in(conn, sign_in.PASSKEYS, party(), now_ms=plain.clock())
    return Response(options, content_type="application/json")


@page("/sign-in", method="POST", to_all=True)
def use_passkey() -> Response:
    plain = plain_operations()
    try:
        with plain.database.transaction() as conn:
            account = passkeys.sign_in(
                conn, sign_in.PASSKEYS, party(), _answer(), now_ms=plain.clock()
            )
    except PasskeyError:
        return go("enter", refused=1)
    return begin_session(account)


@page("/sign-out", method="POST", to_all=True)
def sign_out() -> Response:
    end_session()
    return go("enter")


@page("/language", method="POST", to_all=True)
def set_language() -> Response:
    target = web.local(request.form.get("to"), "/me", url_for("me.overview"))
    return web.keep_language(see(target))


@page("", after_erasure=True)
def overview() -> Response:
    acts, account = operations(), customer()
    with acts.database.transaction() as conn:
        stored = records.find(conn, account)
        if stored is None:
            abort(404)
        if stored.erasure is not None:
            return show("erased.html", stored=stored, proof=log.receipt(conn, stored.erasure))
        _, policy = policies.latest(conn, acts.keys.signing, now_ms=acts.clock())
        newest = records.list_uses(conn, account, after=FIRST, limit=NEWEST)
        allowances = records.allowances(conn, stored, policy, now_ms=acts.clock())
        ways = records.list_ways(conn, account)
        keys = passkeys.list_passkeys(conn, sign_in.PASSKEYS, account)
    return show(
        "overview.html",
        stored=stored,
        newest=newest,
        allowances=allowances,
        currency=policy.currency,
        ways=ways,
        keys=[(passkeys.name_of(credential), made, used) for credential, made, used in keys],
        done=request.args.get("done"),
    )


@page("/uses")
def uses() -> Response:
    text = request.args.get("after")
    try:
        after = Cursor.parse(text) if text else FIRST
    except MalformedError:
        abort(404)
    with operations().database.transaction() as conn:
        found = records.list_uses(conn, customer(), after=after, limit=ROWS)
    return show("uses.html", found=found)


@page("/uses/<attempt>/receipt")
def receipt(attempt: str) -> Response:
    try:
        wanted = AttemptId.parse(attempt)
    except MalformedError:
        abort(404)
    with operations().database.transaction() as conn:
        found = records.find_use(conn, customer(), wanted)
        if found is None:
            abort(404)
        proof = log.receipt(conn, found.leaf_hash)
    return _proof(proof, f"countenance-{wanted}.tlog-proof")


@page("/erasure", after_erasure=True)
def erasure() -> Response:
    with operations().database.transaction() as conn:
        stored = records.find(conn, customer())
        if stored is None or stored.erasure is None:
            abort(404)
        proof = log.receipt(conn, stored.erasure)
    return _proof(proof, "countenance-erasure.tlog-proof")


def _proof(proof: bytes | None, name: str) -> Response:
    """The receipt as a file; it is there once a checkpoint covers its entry, in seconds."""
    if proof is None:
        return show("waiting.html", 202)
    response = Response(proof, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f"attachment; filename={name}"
    return response


@page("/data.json")
def data() -> Response:
    response = Response(whole(operations(), customer()), content_type="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=countenance-my-data.json"
    return response


@page("/pause", method="POST")
def pause() -> Response:
    return go("overview", done="paused" if own_acts().pause(customer()) else None)


@page("/resume", method="POST")
def resume() -> Response:
    return go("overview", done="resumed" if own_acts().resume(customer()) else None)


@page("/consent/withdraw", method="POST")
def withdraw_consent() -> Response:
    done = own_acts().withdraw_consent(customer())
    return go("overview", done="withdrawn" if done else None)


@page("/erase", method="POST")
def erase() -> Response:
    """Only for whoever ticked that it is meant: there is no way back. All sessions end with the
    account; a new one shows what proves it."""
    account = customer()
    if request.form.get("meant") != "1":
        return go("overview", done="not_meant")
    if operations().erase_account(account) is None:
        abort(404)
    return begin_session(account)


@page("/passkeys/options", method="POST")
def passkey_options() -> Response:
    acts, account = operations(), customer()
    with acts.database.transaction() as conn:
        options = passkeys.offer_registration(
            conn, sign_in.PASSKEYS, party(), account, str(account), now_ms=acts.clock()
        )
    return Response(options, content_type="application/json")


@page("/passkeys", method="POST")
def add_passkey() -> Response:
    done = own_acts().add_passkey(customer(), party(), _answer())
    return go("overview", done="passkey" if done else "passkey_refused")


@page("/passkeys/<name>/remove", method="POST")
def remove_passkey(name: str) -> Response:
    credential = passkeys.named(name)
    if credential is None or not own_acts().remove_passkey(customer(), credential, COOKIE.digest()):
        abort(404)
    return go("overview", done="passkey_removed")


def _answer() -> str:
    answer = web.passkey_answer()
    if answer is None:
        abort(400)
    return answer
