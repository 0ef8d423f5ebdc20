"""Loggers whose lines are one JSON object each, with the level and the time (UTC).

The caller must still keep from them what must not be in a log.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog


def json_logger(logger: logging.Logger) -> Any:
    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    ).bind()
