"""The camera that a terminal is pinned to."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sibling_sql(__file__)
