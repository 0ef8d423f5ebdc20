"""What goes wrong in the JSON API, as RFC 9457 problem details.

Guarantee: a problem names the rule that was broken, never the value that broke it.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Any

from flask import Response, g, json

RETRY_AFTER_S = 2
PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:countenance:problem:"


class Code(StrEnum):
    """The last part of a problem's ``type``."""

    BAD_REQUEST = "bad_request"
    TOKEN_NOT_ACCEPTED = "token_not_accepted"  # noqa: S105 - a name, not a secret
    SCOPE_MISSING = "scope_missing"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ACCOUNT_ERASED = "account_erased"
    TERMINAL_REVOKED = "terminal_revoked"
    PROCESSOR_MISSING = "processor_missing"
    BODY_TOO_LONG = "body_too_long"
    NOT_JSON = "not_json"
    INVALID = "invalid"
    CURRENCY_MISMATCH = "currency_mismatch"
    LIMIT_EXCEEDED = "limit_exceeded"
    TRANSFER_ID_REUSED = "transfer_id_reused"
    SOURCE_NOT_ACCEPTED = "source_not_accepted"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    PAYMENT_OPEN = "payment_open"
    PAYMENT_AUTHORIZED = "payment_authorized"
    PAYMENT_CAPTURED = "payment_captured"
    PAYMENT_VOIDED = "payment_voided"
    PAYMENT_EXPIRED = "payment_expired"
    CAPTURE_ABOVE_AUTHORIZED = "capture_above_authorized"
    REFUND_ABOVE_CAPTURED = "refund_above_captured"
    URL_NOT_ALLOWED = "url_not_allowed"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"
    TOO_MANY_REQUESTS = "too_many_requests"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


STATUS = {
    Code.BAD_REQUEST: 400,
    Code.TOKEN_NOT_ACCEPTED: 401,
    Code.SCOPE_MISSING: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.ACCOUNT_ERASED: 409,
    Code.TERMINAL_REVOKED: 409,
    Code.PROCESSOR_MISSING: 409,
    Code.BODY_TOO_LONG: 413,
    Code.NOT_JSON: 415,
    Code.INVALID: 422,
    Code.CURRENCY_MISMATCH: 422,
    Code.LIMIT_EXCEEDED: 422,
    Code.TRANSFER_ID_REUSED: 422,
    Code.SOURCE_NOT_ACCEPTED: 422,
    Code.IDEMPOTENCY_KEY_REUSED: 422,
    Code.PAYMENT_OPEN: 409,
    Code.PAYMENT_AUTHORIZED: 409,
    Code.PAYMENT_CAPTURED: 409,
    Code.PAYMENT_VOIDED: 409,
    Code.PAYMENT_EXPIRED: 409,
    Code.CAPTURE_ABOVE_AUTHORIZED: 422,
    Code.REFUND_ABOVE_CAPTURED: 422,
    Code.URL_NOT_ALLOWED: 422,
    Code.ADDRESS_NOT_ALLOWED: 422,
    Code.TOO_MANY_WEBHOOKS: 409,
    Code.TOO_MANY_REQUESTS: 429,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
}
_OF_STATUS = {
    400: Code.BAD_REQUEST,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.BODY_TOO_LONG,
    415: Code.NOT_JSON,
    503: Code.UNAVAILABLE,
}


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def body(self) -> bytes:
        status = STATUS[self.code]
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": self.detail,
            "request_id": g.get("request_id", ""),
        }
        if self.errors:
            body["errors"] = self.errors
        return json.dumps(body).encode()

    def response(self) -> Response:
        status = STATUS[self.code]
        response = Response(self.body(), status, content_type=PROBLEM_TYPE)
        response.headers.update(self.headers)
        if status in (429, 503):
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


def of_status(status: int) -> ProblemError:
    """The problem of an error that Flask itself raised; what has no code here is internal."""
    code = _OF_STATUS.get(status, Code.BAD_REQUEST if 400 <= status < 500 else Code.INTERNAL)
    return ProblemError(code, _DETAIL[code])


_DETAIL = {
    Code.BAD_REQUEST: "the request is not well formed",
    Code.NOT_FOUND: "there is no such thing, or it is not this token's to see",
    Code.METHOD_NOT_ALLOWED: "see /api/openapi.json for the methods",
    Code.BODY_TOO_LONG: "the body is too long",
    Code.NOT_JSON: "send application/json",
    Code.INTERNAL: "this is recorded under the request's id",
    Code.UNAVAILABLE: "ask again, with the same Idempotency-Key",
}


def not_found() -> ProblemError:
    return of_status(404)
