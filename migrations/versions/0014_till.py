"""Withdrawals that were handed out in part; the PIN's own lockout; the way without a face."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0014"
down_revision = "0010"


def upgrade() -> None:
    run_sibling_sql(__file__)
