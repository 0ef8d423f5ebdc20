"""The local API for a till: JSON over HTTP on this machine's loopback, behind one bearer token.

Guarantees: it listens on 127.0.0.1 only, and answers no request that a browser sent for another
name (DNS rebinding); the token is compared in constant time, before anything else is looked at;
bodies, threads, connections and waits are bounded. Errors are problem details (RFC 9457).

No claim, PIN or token is answered or logged. docs/till.md describes the API.
"""

from __future__ import annotations

from base64 import b64encode
from hmac import compare_digest
from threading import BoundedSemaphore

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from terminal_client.errors import StorageError, UsageError
from terminal_client.loopback import NAMES
from terminal_client.payments import LIST_MAX, WISH_BYTES_MAX, IdReused, Payment, Wish
from terminal_client.till import Busy, Till, TooLate

WAITING_MAX = 4
WAIT_S_MAX = 20.0


class Problem(Exception):
    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail


def create_till_app(till: Till, token: str) -> Flask:
    app = Flask("countenance-till")
    app.config["MAX_CONTENT_LENGTH"] = WISH_BYTES_MAX
    waiting = BoundedSemaphore(WAITING_MAX)
    expected = b64encode(token.encode())

    @app.before_request
    def authenticate() -> None:
        """Compared in base64, which is ASCII whatever was sent."""
        kind, _, sent = request.headers.get("Authorization", "").partition(" ")
        given = b64encode(sent.encode("utf-8", "replace"))
        if not compare_digest(given, expected) or kind != "Bearer":
            raise Problem(401, "unauthorized", "show the token of countenance terminal till-token")
        if request.host.partition(":")[0] not in NAMES:
            raise Problem(403, "wrong_host", "this API is for this machine only")

    @app.post("/v1/payments")
    def begin() -> tuple[Response, int]:
        if request.mimetype != "application/json":
            raise Problem(415, "unsupported_media_type", "send application/json")
        try:
            payment, new = till.begin(Wish.parse(request.get_data()))
        except IdReused as error:
            raise Problem(409, "payment_id_reused", str(error)) from error
        except Busy as error:
            raise Problem(409, "terminal_busy", str(error)) from error
        except UsageError as error:
            raise Problem(400, "malformed", str(error)) from error
        return _shown(till, payment), 201 if new else 200

    @app.get("/v1/payments/<payment>")
    def follow(payment: str) -> Response:
        wait_s = request.args.get("wait_s", 0.0, type=float)
        if not 0.0 <= wait_s <= WAIT_S_MAX:
            raise Problem(400, "malformed", f"wait_s is 0 to {WAIT_S_MAX:g}")
        free = waiting.acquire(blocking=False)
        try:
            found = till.wait(payment, timeout_s=wait_s if free else 0.0)
        finally:
            if free:
                waiting.release()
        return _shown(till, _known(found))

    @app.post("/v1/payments/<payment>/cancel")
    def cancel(payment: str) -> Response:
        try:
            return _shown(till, _known(till.cancel(payment)))
        except TooLate as error:
            raise Problem(409, "too_late", str(error)) from error

    @app.get("/v1/payments")
    def newest() -> Response:
        limit = request.args.get("limit", 20, type=int)
        if not 1 <= limit <= LIST_MAX:
            raise Problem(400, "malformed", f"limit is 1 to {LIST_MAX}")
        return jsonify({"payments": [_describe(till, each) for each in till.book.newest(limit)]})

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return _problem(error.status, error.code, error.detail)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        return _problem(error.code or 500, error.name.lower().replace(" ", "_"), error.name)

    @app.errorhandler(StorageError)
    def storage(_error: StorageError) -> Response:
        return _problem(503, "storage", "the terminal's own storage cannot be used")

    return app


def _known(payment: Payment | None) -> Payment:
    if payment is None:
        raise Problem(404, "not_found", "there is no such payment")
    return payment


def _shown(till: Till, payment: Payment) -> Response:
    return jsonify(_describe(till, payment))


def _describe(till: Till, payment: Payment) -> dict[str, object]:
    return {
        "id": payment.payment,
        "amount_minor": payment.money.amount_minor,
        "currency": payment.money.currency,
        "order": payment.order,
        "way": payment.way,
        "state": payment.state,
        "final": payment.is_final,
        "reason": payment.reason,
        "instruction": None if payment.is_final else till.instruction or None,
        "attempt": str(payment.attempt),
        "transfer": payment.transfer,
        "created_at_ms": payment.created_at_ms,
        "updated_at_ms": payment.updated_at_ms,
    }


def _problem(status: int, code: str, detail: str) -> Response:
    answer = jsonify(
        {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    )
    answer.status_code, answer.mimetype = status, "application/problem+json"
    return answer
