"""The audit log: entries, tree nodes, checkpoints."""

from __future__ import annotations

from migrations.sql import run_sibling_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sibling_sql(__file__)
