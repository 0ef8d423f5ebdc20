"""Doors, grants, entries."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sibling_sql(__file__)
