"""The Flask application: the terminals' endpoints, and the JSON API of operators.

Guarantees: importing this loads neither OpenCV nor onnxruntime nor insightface; no answer
carries a traceback; a body longer than a message may be is refused unread; what goes wrong
under ``/api`` is a problem (RFC 9457).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from flask import Flask, Response, current_app, request
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service.authorize import Authorizer
from service.clock import unix_ms
from service.console.app import serve_console, show_problem
from service.db import Database
from service.errors import Unavailable
from service.funding.processor import Processors
from service.http import (
    accounts,
    alarms,
    audit,
    doors,
    merchants,
    payments,
    places,
    settlements,
    terminals,
    webhooks,
)
from service.http.api import json_api, refuse_invalid
from service.http.document import INFO, SECURITY, serve_document
from service.http.events import event_api
from service.http.logs import log_requests, log_unforeseen
from service.http.metrics import CONTENT_TYPE, Metrics
from service.http.models import Problem
from service.http.problems import ProblemError, of_status
from service.http.strict_json import StrictJson
from service.http.terminal import terminal_api
from service.ledger.check import last_check
from service.ledger.sources import count_due
from service.me import app as customers
from service.operators.acts import Operations
from service.operators.door_records import list_health
from service.population import count_exceeded
from service.terminals.health import Summary
from wire.codec import MAX_MESSAGE_BYTES

VIEWS = (
    accounts,
    alarms,
    audit,
    doors,
    merchants,
    payments,
    places,
    settlements,
    terminals,
    webhooks,
)


def create_app(
    authorizer: Authorizer,
    database: Database,
    operations: Operations | None = None,
    *,
    processors: Processors | None = None,
    stripe_webhook_secret: str | None = None,
    console_origin: str | None = None,
    liveness_report: Path | None = None,
    development: bool = False,
) -> Flask:
    """Without ``operations`` it serves terminals only: there is no ``/api``; without the secret
    it takes no events. With ``console_origin``, which browsers know it by, there are ``/console``
    and ``/me``.
    In development merchants' webhooks may be on this machine.
    """
    metrics = Metrics()
    app = OpenAPI(
        "countenance",
        static_folder=None,
        doc_ui=False,
        info=INFO,
        security_schemes=SECURITY,
        validation_error_model=Problem,
        validation_error_callback=refuse_invalid,
    )
    app.json = StrictJson(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_MESSAGE_BYTES
    app.extensions.update(authorizer=authorizer, metrics=metrics, operations=operations)
    app.extensions.update(processors=processors or {}, development=development)
    log_requests(app)
    app.register_blueprint(terminal_api)
    if stripe_webhook_secret is not None:
        app.extensions.update(stripe_webhook_secret=stripe_webhook_secret, events=database)
        app.register_blueprint(event_api)
    if operations is not None:
        app.register_api(json_api)
        serve_document(app)
        if console_origin is not None:
            serve_console(app, console_origin, liveness_report=liveness_report)
            customers.serve_me(app)
    app.add_url_rule("/healthz", view_func=_healthz)
    app.add_url_rule("/readyz", view_func=lambda: _readyz(database), endpoint="readyz")
    app.add_url_rule("/metrics", view_func=lambda: _metrics(metrics, database), endpoint="metrics")
    app.register_error_handler(Exception, _fail)
    app.after_request(_never_store)
    return app


def _healthz() -> Response:
    return Response("alive\n", content_type="text/plain")


def _readyz(database: Database) -> Response:
    try:
        with database.transaction() as conn:
            conn.execute("SELECT 1 FROM policies LIMIT 1")
    except Unavailable:
        return Response("the database does not answer\n", 503, content_type="text/plain")
    return Response("ready\n", content_type="text/plain")


def _metrics(metrics: Metrics, database: Database) -> Response:
    exceeded, checked, due, doors = None, None, None, None
    with suppress(Unavailable), database.transaction() as conn:
        exceeded, checked = count_exceeded(conn, now_ms=unix_ms()), last_check(conn)
        due = count_due(conn, now_ms=unix_ms())
        doors = Summary.of(list_health(conn), unix_ms())
    return Response(metrics.render(exceeded, checked, due, doors), content_type=CONTENT_TYPE)


def _never_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _fail(error: Exception) -> Response:
    """Only the kind of an unforeseen error is logged: its text may hold what must not be."""
    if isinstance(error, ProblemError):
        return error.response()
    status = 500
    if isinstance(error, HTTPException):
        status = error.code or 500
    elif isinstance(error, Unavailable):
        status = 503
        metrics: Metrics = current_app.extensions["metrics"]
        metrics.unavailable.inc()
    else:
        log_unforeseen(error)
    if "relying_party" in current_app.extensions:
        if request.path.startswith("/console"):
            return show_problem(status)
        if f"{request.path}/".startswith("/me/"):
            return customers.show_problem(status)
    if not request.path.startswith("/api/"):
        return _plain(error, status)
    response = of_status(status).response()
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _plain(error: Exception, status: int) -> Response:
    name = error.name if isinstance(error, HTTPException) else "Internal Server Error"
    return Response(f"{name}\n", status, content_type="text/plain")
