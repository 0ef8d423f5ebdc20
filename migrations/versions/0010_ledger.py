"""The ledger: partial posts, refunds, house accounts, refusals that are kept, limits, checks."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    run_sibling_sql(__file__)
