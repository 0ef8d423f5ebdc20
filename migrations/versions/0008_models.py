"""References of one account under several models, up to five each."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sibling_sql(__file__)
