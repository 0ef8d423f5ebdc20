"""The message queue in this database, for one machine: pgmq's SQL, and the queue.

The queue is made here because two workers that make it at once lose one another.
"""

from __future__ import annotations

from alembic import op
from pgmq.install import get_embedded_install_sql

revision = "0005"
down_revision = "0004"

QUEUE = "countenance"


def upgrade() -> None:
    connection = op.get_bind()
    unescaped = {"no_parameters": True}
    connection.exec_driver_sql(get_embedded_install_sql(), execution_options=unescaped)
    connection.exec_driver_sql(f"SELECT pgmq.create('{QUEUE}')", execution_options=unescaped)
