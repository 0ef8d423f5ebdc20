"""Doors that an operator opens by hand."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sibling_sql(__file__)
