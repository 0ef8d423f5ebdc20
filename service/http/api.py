"""The JSON API's frame: who asks, what for, and how often; then the view, once.

Guarantees: no view runs without a token that has the scope which its operation names, and
an operation that names none does not exist. In order: 401, 403, 429, 413, 415, 400, 422, the
view. What a POST does, its refusal and its answer are one transaction, kept under the request's
idempotency key: asking again does nothing and gets the same. What the database cannot answer is
503, so that no token is accepted unchecked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from typing import Any

from flask import Response, current_app, g, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from psycopg import Connection
from pydantic import BaseModel, ValidationError

from service.db import Database, Joined, Row
from service.http.metrics import Metrics
from service.http.models import IdempotencyHeader
from service.http.problems import PROBLEM_TYPE, STATUS, Code, ProblemError, of_status
from service.operators import idempotency, tokens
from service.operators.acts import Operations
from service.operators.idempotency import Answer
from service.operators.tokens import ApiToken, Scope
from wire.ids import TransferId

BODY_BYTES_MAX = 16 * 1024
View = Callable[..., BaseModel | Response | None]
CSV: dict[str, Any] = {
    "description": "RFC 4180, with a header line.",
    "content": {"text/csv": {"schema": {"type": "string"}}},
}
REPLAYED = "Idempotent-Replayed"
PROBLEM = {"content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_PROBLEMS: dict[str | int | HTTPStatus, Any] = {
    str(status): {**PROBLEM, "description": description}
    for status, description in {
        400: "Not well formed.",
        401: "No token, or one that is wrong, expired or revoked.",
        403: "The token lacks the operation's scope.",
        404: "No such thing, or another merchant's.",
        409: "Its state does not allow this.",
        413: "The body is too long.",
        415: "The body is not JSON.",
        422: "Well formed, and wrong; `type` and `errors` say what.",
        429: "Too many requests with this token.",
        500: "An error of the service.",
        503: "The database does not answer: ask again.",
    }.items()
}


@dataclass(frozen=True, slots=True)
class _Declared:
    scope: Scope
    takes: frozenset[str]


json_api = APIBlueprint("api", __name__, url_prefix="/api/v1", abp_responses=_PROBLEMS)
_DECLARED: dict[str, _Declared] = {}


def operation(
    method: str,
    rule: str,
    scope: Scope,
    answer: type[BaseModel] | dict[str, Any] | None,
    *,
    status: int = 200,
) -> Callable[[View], View]:
    """Declares a view; its docstring's first line is the summary. ``answer`` None is 204, and
    what is described by a dict comes whole from the view.
    """

    def declare(view: View) -> View:
        def answer_with(**arguments: Any) -> Answer:
            found = view(**arguments)
            if not isinstance(found, BaseModel):
                return Answer(204, b"")
            return Answer(status, found.model_dump_json().encode())

        @wraps(view)
        def respond(header: IdempotencyHeader | None = None, **arguments: Any) -> Response:
            if isinstance(answer, dict):
                return _whole(view(**arguments))
            if header is None:
                return _respond(answer_with(**arguments))
            return _respond(_once(header.idempotency_key, lambda: answer_with(**arguments)))

        if method == "post":
            respond.__annotations__ = {**view.__annotations__, "header": IdempotencyHeader}
        takes = frozenset(view.__annotations__)
        _DECLARED[f"{json_api.name}.{view.__name__}"] = _Declared(scope, takes)
        summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
        getattr(json_api, method)(
            rule,
            operation_id=view.__name__,
            summary=summary,
            description=description or summary,
            tags=[Tag(name=rule.split("/")[1])],
            security=[{"token": [scope.value]}],
            responses={204: None} if answer is None else {status: answer},
            openapi_extensions={"x-scope": scope.value},
        )(respond)
        return view

    return declare


def _once(key: str, act: Callable[[], Answer]) -> Answer:
    acts: Operations = current_app.extensions["operations"]
    g.slot = idempotency.slot_of(key, bearer().merchant)
    body = request.get_json() if request.get_data() else None
    digest = idempotency.digest_of(request.method, request.path, body)

    def work(conn: Connection[Row]) -> Answer | None:
        g.joined = Joined(conn)
        try:
            return idempotency.once(
                conn, g.slot, digest, lambda: _decided(act), keys=acts.keys, now_ms=acts.clock()
            )
        finally:
            del g.joined

    answer = acts.database.run(work)
    if answer is None:
        raise ProblemError(
            Code.IDEMPOTENCY_KEY_REUSED, "this idempotency key was used for another request"
        )
    return answer


def _decided(act: Callable[[], Answer]) -> Answer:
    """A refusal is an answer too, and what the ledger keeps of it stays."""
    try:
        return act()
    except ProblemError as problem:
        return Answer(STATUS[problem.code], problem.body())


def _whole(found: BaseModel | Response | None) -> Response:
    if not isinstance(found, Response):
        raise RuntimeError("this view makes its whole answer")
    return found


def _respond(answer: Answer) -> Response:
    kind = "application/json" if answer.status < 400 else PROBLEM_TYPE
    response = Response(answer.body, answer.status, content_type=kind if answer.body else None)
    if answer.again:
        response.headers[REPLAYED] = "true"
    return response


def database() -> Database:
    return operations().database


def operations() -> Operations:
    """The operators' acts, carried out in the name of the request's token."""
    found: Operations = current_app.extensions["operations"]
    return replace(found, actor=bearer().token, database=g.get("joined", found.database))


def transfer_of_key() -> TransferId:
    """The id of the one transfer that this request may make."""
    slot: idempotency.Slot = g.slot
    return slot.transfer


def bearer() -> ApiToken:
    """The token that :func:`_admit` let in."""
    found: ApiToken = g.bearer
    return found


@json_api.before_request
def _admit() -> None:
    if request.endpoint is None:
        raise RuntimeError("a request without an endpoint")
    declared = _DECLARED[request.endpoint]
    g.bearer = _authenticate(declared.scope)
    _check_form(declared.takes)


def _authenticate(scope: Scope) -> ApiToken:
    acts: Operations = current_app.extensions["operations"]
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not tokens.is_token(secret):
        raise _unauthorized("send Authorization: Bearer and an API token")
    digest = tokens.token_hash(secret, acts.keys.claims)
    with acts.database.transaction() as conn:
        now_ms = acts.clock()
        found = tokens.find(conn, digest, now_ms=now_ms)
        if found is None:
            raise _unauthorized("the token is wrong, expired or revoked", error="invalid_token")
        allowed = tokens.take_allowance(conn, found.token, now_ms=now_ms)
    if scope not in found.scopes:
        challenge = f'Bearer realm="countenance", error="insufficient_scope", scope="{scope}"'
        raise ProblemError(
            Code.SCOPE_MISSING, f"needs {scope}", headers={"WWW-Authenticate": challenge}
        )
    if not allowed:
        metrics: Metrics = current_app.extensions["metrics"]
        metrics.rate_limited.labels("token").inc()
        raise ProblemError(Code.TOO_MANY_REQUESTS, "wait a few seconds")
    return found


def _unauthorized(detail: str, *, error: str | None = None) -> ProblemError:
    challenge = 'Bearer realm="countenance"' + (f', error="{error}"' if error else "")
    return ProblemError(Code.TOKEN_NOT_ACCEPTED, detail, headers={"WWW-Authenticate": challenge})


def _check_form(takes: frozenset[str]) -> None:
    """What is wrong with the request as such, before any model looks at it."""
    # One byte more than is taken: a body of unknown length is cut off at the limit, silently.
    request.max_content_length = BODY_BYTES_MAX + 1
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise ProblemError(Code.BAD_REQUEST, "a query key is given twice")
    if request.args and "query" not in takes:
        raise ProblemError(Code.BAD_REQUEST, "this takes no query")
    body = request.get_data()
    if len(body) > BODY_BYTES_MAX:
        raise of_status(413)
    if not body:
        return
    if "body" not in takes:
        raise ProblemError(Code.BAD_REQUEST, "this takes no body")
    if request.mimetype != "application/json":
        raise ProblemError(Code.NOT_JSON, "send application/json")
    if not isinstance(request.get_json(), dict):
        raise ProblemError(Code.BAD_REQUEST, "the body is not a JSON object")


def refuse_invalid(error: ValidationError) -> Response:
    """The 422 of a request that its model refuses; names fields and rules, never values."""
    errors = []
    for each in error.errors(include_input=False, include_url=False, include_context=False)[:20]:
        unknown = each["type"] == "extra_forbidden"
        place = each["loc"][:-1] if unknown else each["loc"]
        says = "a key that is not known here" if unknown else each["msg"]
        errors.append({"at": ".".join(map(str, place)), "says": says[:200]})
    missing = any(item["at"] == "Idempotency-Key" for item in errors)
    if missing:
        return ProblemError(
            Code.BAD_REQUEST,
            "send Idempotency-Key: 16 to 64 letters, digits, - and _ that stand for this request",
            errors=errors,
        ).response()
    return ProblemError(Code.INVALID, "the request is not valid", errors=errors).response()
