"""The ledger: accounts, transfers, postings."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sibling_sql(__file__)
