"""``countenance demo``."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from countenance import demo as show
from countenance.arguments import as_json
from countenance.output import console, emit_json, err_console, fail
from countenance.stage import set_stage
from face_engine.engine import Engine
from face_engine.errors import EngineError
from wire.messages import Level


@click.command()
@click.option("--headless", is_flag=True, help="End when the work is done.")
@click.option("--pack", default="pip", show_default=True, help="The model pack.")
@click.option(
    "--people",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of one folder of photos a person: everybody against everybody.",
)
@click.option("--upscale", default=1, type=click.IntRange(1, 8), help="For small pictures.")
@as_json
def demo(headless: bool, pack: str, people: Path | None, upscale: int, as_json: bool) -> None:
    """The whole system on this machine, on real photos."""
    out = err_console if as_json else console
    if os.environ.get("COUNTENANCE_MODE") == "production":
        fail("The demo does not run in production", why="it accepts simulated cameras")
    try:
        engine = Engine.open(pack)
    except EngineError as error:
        fail(f"The pack {pack} cannot be used", why=str(error), todo="countenance models list")
    # A new home each time: the demo is no place to keep anything.
    home = Path(tempfile.mkdtemp(prefix="countenance-demo-"))
    home.chmod(0o711)
    for name in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(f"COUNTENANCE_{name}", None)
        os.environ.pop(f"COUNTENANCE_{name}_FILE", None)
    try:
        results = _run(engine, home, people, upscale, out, stay=not headless)
        if as_json:
            emit_json(results)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if people is None and not show.as_expected(results):
        fail("Not everything went as expected", todo="see the table above")


def _run(
    engine: Engine, home: Path, people: Path | None, upscale: int, out: Console, *, stay: bool
) -> dict[str, object]:
    out.print("starting PostgreSQL, the service and its worker …")
    level = Level.NONE if people else None
    with set_stage(home, level=level, worker=people is None) as stage:
        out.print(f"the service runs on {stage.url}", highlight=False)
        shop = show.Shop(stage, engine, home / "terminals")
        try:
            if people is None:
                results = show.MainJob(shop, out).run()
            else:
                out.print("[yellow]photos are stills: liveness is off in this trial[/]")
                results = show.PeopleTrial(shop, out, upscale).run(people)
        finally:
            shop.close()
        out.print(show.table_of(results))
        if stay:
            out.print(f"running on {stage.url}/readyz until Ctrl-C", highlight=False)
            with suppress(KeyboardInterrupt):
                signal.pause()
        return results
