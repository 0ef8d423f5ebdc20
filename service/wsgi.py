"""What one worker process of :mod:`service.server` serves.

Apart from it, because prometheus_client decides when it is imported whether its figures are
shared between processes: the parent sets that up first, and imports none of this.
"""

from __future__ import annotations

import gc
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
from service.processors import open_processors
from service.server import check_policy, open_keys
from service.settings import Settings

GC_ALLOCATIONS = 50_000
SWITCH_S = 0.02


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
    processors = open_processors(settings)
    app = create_app(
        Authorizer(database, keys, shipped(), unix_ms, limits=limits, processors=processors),
        database,
        Operations(database, keys),
        processors=processors,
        stripe_webhook_secret=settings.stripe_webhook_secret,
        console_origin=settings.console_origin,
        liveness_report=settings.liveness_report,
        development=not settings.production,
    )
    # What lives as long as the process is not looked at again by each collection, and requests
    # leave next to no circles to collect.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)
    # A thread gives way where it waits for the database; to be made to in between costs a tenth.
    sys.setswitchinterval(SWITCH_S)
    return app
