"""Terminals, merchants, accounts, challenges, attempts, policies, API tokens."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sibling_sql(__file__)
