"""How a door's lock was wired, as its terminal says with each beat."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sibling_sql(__file__)
