"""Payment intents, idempotency keys, events and webhooks, daily settlements."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sibling_sql(__file__)
