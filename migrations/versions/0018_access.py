"""Sites, zones, groups, visitors, presence, alarms, duress PINs."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sibling_sql(__file__)
