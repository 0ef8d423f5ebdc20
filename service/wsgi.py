"""What one worker process of :mod:`service.server` serves.

Apart from it, because prometheus_client decides when it is imported whether its figures are
shared between processes: the parent sets that up first, and imports none of this.
"""

from __future__ import annotations

import sys

from flask import Flask

from face_engine.calibration import shipped
from service.app import create_app
from service.authorize import Authorizer
from service.clock import unix_ms
from service.db import Database
from service.desk import Limits
from service.errors import Misconfigured
from service.http.logs import log_to
from service.operators.acts import Operations
from service.server import check_policy, open_keys
from service.settings import Settings


def wsgi() -> Flask:
    """The WSGI application of one worker process; the database's URL must be set."""
    settings = Settings.from_env()
    if settings.database_url is None:
        raise Misconfigured("COUNTENANCE_DATABASE_URL is not set")
    database = Database.open(settings.database_url, size=settings.pool_size)
    keys = open_keys(settings)
    check_policy(database, keys, production=settings.production)
    limits = Limits(
        per_minute=settings.challenges_per_minute,
        burst=max(20, settings.challenges_per_minute // 3),
    )
    log_to(sys.stderr)
    return create_app(
        Authorizer(database, keys, shipped(), unix_ms, limits=limits),
        database,
        Operations(database, keys),
    )
