"""What a version's Python file does: run the SQL file of the same name."""

from __future__ import annotations

from pathlib import Path

from alembic import op


def run_sibling_sql(version_file: str) -> None:
    """Executes the whole file as it stands: ``%`` and ``:`` have no special meaning in it."""
    statements = Path(version_file).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
