"""The endpoints of a terminal. Bodies are COSE_Sign1; see ``docs/protocol.md``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from service.authorize import Authorizer
from service.clock import unix_ms
from service.decisions import Decided
from service.errors import Unavailable
from service.http.metrics import Metrics
from service.stages import Refused
from wire.codec import MAX_MESSAGE_BYTES
from wire.denial import Denial, Reason
from wire.envelope import Signed
from wire.messages import Problem

COSE = 'application/cose; cose-type="cose-sign1"'
RETRY_AFTER_S = 2
terminal_api = Blueprint("terminal_api", __name__, url_prefix="/v1")

_STATUS = {
    Denial.TERMINAL_UNKNOWN: 401,
    Denial.SIGNATURE_INVALID: 401,
    Denial.TERMINAL_REVOKED: 403,
    Denial.ATTEMPT_ID_REUSED: 409,
    Denial.RECORDS_MISSING: 409,
    Denial.RECORDS_CHANGED: 409,
    Denial.LIMIT_EXCEEDED: 422,
    None: 429,
}


@terminal_api.post("/terminals")
def register() -> Response:
    return _answer(_authorizer().register, 201)


@terminal_api.post("/payments")
def next_payment() -> Response:
    return _answer(_authorizer().next_payment, 200)


@terminal_api.post("/challenges")
def challenge() -> Response:
    answer = _answer(_authorizer().challenge, 201)
    if answer.status_code == 201:
        _metrics().challenges.inc()
    return answer


@terminal_api.post("/attempts")
def authorize() -> Response:
    return _decide(_authorizer().authorize)


@terminal_api.post("/card-attempts")
def authorize_card() -> Response:
    return _decide(_authorizer().authorize_card)


def _decide(act: Callable[[bytes], Decided | Refused]) -> Response:
    def counted(body: bytes) -> Decided | Refused:
        answer = act(body)
        if not isinstance(answer, Refused):
            _metrics().count_decision(answer)
        return answer

    with _metrics().authorize_seconds.time():
        return _answer(counted, 200)


@terminal_api.post("/confirmations")
def confirm() -> Response:
    return _answer(_authorizer().confirm, 200)


@terminal_api.post("/door-events")
def take_events() -> Response:
    return _answer(_authorizer().take_events, 200)


@terminal_api.post("/door-beats")
def stand() -> Response:
    return _answer(_authorizer().stand, 200)


@terminal_api.post("/door-bundles")
def bundle() -> Response:
    return _answer(_authorizer().bundle, 201)


def _authorizer() -> Authorizer:
    found: Authorizer = current_app.extensions["authorizer"]
    return found


def _metrics() -> Metrics:
    found: Metrics = current_app.extensions["metrics"]
    return found


def _answer(act: Callable[[bytes], Signed[Any] | bytes | Refused], status: int) -> Response:
    if request.mimetype != "application/cose":
        return _problem(415, Reason.EVIDENCE_NOT_ACCEPTED, f"send {COSE}")
    # One byte more than is taken: a body of unknown length is cut off at the limit, silently.
    request.max_content_length = MAX_MESSAGE_BYTES + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        return _problem(413, Reason.EVIDENCE_NOT_ACCEPTED, "the body is too long")
    if len(body) > MAX_MESSAGE_BYTES:
        return _problem(413, Reason.EVIDENCE_NOT_ACCEPTED, "the body is too long")
    try:
        answer = act(body)
    except Unavailable:
        _metrics().unavailable.inc()
        return _problem(503, Reason.UNAVAILABLE, "ask again with the same bytes")
    if isinstance(answer, Refused):
        if answer.reason is Reason.TOO_MANY_REQUESTS:
            _metrics().rate_limited.labels("terminal").inc()
        return _problem(_STATUS.get(answer.denial, 400), answer.reason, answer.detail)
    raw = answer if isinstance(answer, bytes) else answer.raw
    return Response(raw, status, content_type=COSE)


def _problem(status: int, reason: Reason, detail: str) -> Response:
    body = Problem(reason=reason, detail=detail[:200], now_ms=unix_ms()).encode()
    response = Response(body, status, content_type="application/cbor")
    if status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
