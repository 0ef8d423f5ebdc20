"""``countenance serve``."""

from __future__ import annotations

import os

import click

from countenance.house import open_database
from countenance.output import console
from service.audit.notes import verifier_key
from service.db import Database
from service.server import check_policy, open_keys
from service.server import serve as run_server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8440, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers",
    default=os.cpu_count,
    show_default="one a processor",
    type=click.IntRange(1, 64),
)
@click.option("--threads", default=3, show_default=True, type=click.IntRange(1, 64))
def serve(host: str, port: int, workers: int, threads: int) -> None:
    """Run the verification service. Put TLS in front of it beyond this machine."""
    with open_database() as settings:
        keys = open_keys(settings)
        database = Database.open(str(settings.database_url), size=2)
        try:
            check_policy(database, keys, production=settings.production)
        finally:
            database.close()
        console.print(f"listening on http://{host}:{port}", highlight=False)
        console.print(f"log key {verifier_key(keys.log)}", highlight=False, soft_wrap=True)
        run_server(settings.home, host=host, port=port, workers=workers, threads=threads)
