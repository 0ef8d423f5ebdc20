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
from rich.progress import Progress

from countenance import demo as show
from countenance.arguments import as_json
from countenance.house import House
from countenance.output import console, emit_json, err_console, fail
from countenance.stage import set_stage
from countenance.yesterday import Yesterday
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
    # Whatever ends the demo ends its processes, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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

    def before(house: House) -> None:
        if stay and people is None:
            _yesterday(house, engine, home, out)

    with set_stage(home, level=level, worker=people is None, before=before) as stage:
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
        if stay and people is None:
            with shop.kiosks() as links:
                _tell(links, out)
        elif stay:
            _wait(out)
        return results


def _yesterday(house: House, engine: Engine, home: Path, out: Console) -> None:
    people = [portrait for _, portrait in show.sample_portraits(engine)]
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("a day passes …", total=None)
        day = Yesterday(house, engine, home / "terminals", people)
        day.pass_by(lambda done, of: progress.update(task, completed=done, total=of))
    out.print("a day has passed: the console has it")


def _tell(links: list[tuple[str, str]], out: Console) -> None:
    """Opens the first where there is a desktop, and prints all."""
    for name, link in links:
        out.print(f"  {name:27} {link}", highlight=False, soft_wrap=True)
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        click.launch(links[0][1])
    _wait(out)


def _wait(out: Console) -> None:
    out.print("running until Ctrl-C", highlight=False)
    with suppress(KeyboardInterrupt):
        signal.pause()
