"""One JSON line for each request, on the logger ``countenance.http``.

Guarantees: a line holds the method, the route's template, the status, milliseconds and a
request id that the service made; never a path, query, header, body or address. Of an
unforeseen error only the type is logged: its text may hold what must not be.

The caller must still give the logger a handler: :func:`log_to` does.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any, TextIO

from flask import Flask, Response, g, request

from service.logs import json_logger

_LOGGER = logging.getLogger("countenance.http")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_log: Any = json_logger(_LOGGER)


def log_to(stream: TextIO) -> None:
    """Writes the lines to a stream, once however often it is called."""
    if not _LOGGER.handlers:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(message)s"))
        _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


def log_requests(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def log_unforeseen(error: Exception) -> None:
    _log.error("unforeseen", error=type(error).__name__, request_id=g.get("request_id", ""))


def _begin() -> None:
    g.request_id = secrets.token_hex(8)
    g.began_ns = time.perf_counter_ns()


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    _log.info(
        "request",
        method=request.method if request.method in _METHODS else "other",
        route=request.url_rule.rule if request.url_rule else "none",
        status=response.status_code,
        ms=round((time.perf_counter_ns() - g.began_ns) / 1e6, 1),
        request_id=g.request_id,
    )
    return response
