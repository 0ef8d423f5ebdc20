"""Customers' own pages: links, passkeys, sessions, who paused an account, what proves its end."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sibling_sql(__file__)
