"""Where a terminal stands; checks of the enrolled population's false match rate."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sibling_sql(__file__)
