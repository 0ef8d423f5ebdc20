"""The Flask application.

Guarantees: importing this loads neither OpenCV nor onnxruntime nor insightface; no answer
carries a traceback; a body longer than a message may be is refused unread.
"""

from __future__ import annotations

from flask import Flask, Response, current_app
from werkzeug.exceptions import HTTPException

from service.authorize import Authorizer
from service.db import Database
from service.errors import Unavailable
from service.http.terminal import terminal_api
from wire.codec import MAX_MESSAGE_BYTES


def create_app(authorizer: Authorizer, database: Database) -> Flask:
    app = Flask("countenance", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_MESSAGE_BYTES
    app.extensions["authorizer"] = authorizer
    app.extensions["database"] = database
    app.register_blueprint(terminal_api)
    app.add_url_rule("/healthz", view_func=_healthz)
    app.add_url_rule("/readyz", view_func=lambda: _readyz(database), endpoint="readyz")
    app.register_error_handler(Exception, _fail)
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


def _fail(error: Exception) -> Response:
    """Only the kind of an unforeseen error is logged: its text may hold what must not be."""
    if isinstance(error, HTTPException):
        return Response(f"{error.name}\n", error.code or 500, content_type="text/plain")
    current_app.logger.error("unforeseen %s", type(error).__name__)
    return Response("Internal Server Error\n", 500, content_type="text/plain")
