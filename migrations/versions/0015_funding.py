"""Funding sources: accounts at processors, what these have of our transfers, reservations."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sibling_sql(__file__)
