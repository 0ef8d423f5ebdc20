"""API tokens: a public id for each, and its rate limit; pages of payments by merchant."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sibling_sql(__file__)
