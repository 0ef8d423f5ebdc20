"""Doors on their own: bundles, how doors are, what they decided."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0021"
down_revision = "0019"


def upgrade() -> None:
    run_sibling_sql(__file__)
