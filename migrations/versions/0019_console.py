"""The console: operators, their passkeys and sessions, and policies that wait for a second one."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sibling_sql(__file__)
