"""``countenance migrate``."""

from __future__ import annotations

import click

from countenance.house import open_database
from countenance.output import console


@click.command()
def migrate() -> None:
    """Bring the database schema up to date; every other command does so, too."""
    with open_database():
        console.print("[green]✓[/] the schema is up to date")
