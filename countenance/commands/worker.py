"""``countenance worker``."""

from __future__ import annotations

import os

import click

from countenance.house import open_database


@click.command()
@click.option("--beat/--no-beat", default=True, help="Also send the scheduled tasks.")
def worker(beat: bool) -> None:
    """Run the tasks: expire holds and challenges, sign checkpoints, check the ledger."""
    with open_database() as settings:
        # The Celery application reads the database's address when it is imported.
        from service.tasks.app import celery  # noqa: PLC0415

        settings.home.mkdir(mode=0o711, parents=True, exist_ok=True)
        schedule = settings.home / f"beat.{os.getpid()}"
        arguments = [
            "worker",
            "--concurrency=1",
            "--pool=prefork",
            f"--hostname=c{os.getpid()}@local",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=warning",
        ]
        celery.worker_main([*arguments, *(["--beat", f"--schedule={schedule}"] if beat else [])])
