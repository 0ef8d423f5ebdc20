"""The schema's history: Alembic counts the versions, the SQL beside each is written by hand."""
