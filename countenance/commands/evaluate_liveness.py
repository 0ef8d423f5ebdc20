"""``countenance evaluate liveness``: how often attacks pass, and people fail."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from countenance import liveness_trial as trials
from countenance.arguments import as_json
from countenance.liveness_trial import HALVES, RECORDED, Settings, Task, Trial
from countenance.output import console, emit_json, err_console, fail, progress, write_document
from countenance.report.liveness import render
from face_engine.calibration import shipped
from face_engine.corpus import CorpusError, list_people
from face_engine.engine import Engine
from face_engine.errors import EngineError
from liveness.evaluate import LIVE, CueShares, Guessing
from liveness.rig.head import Portrait
from liveness.rig.presentation import frame_portrait
from liveness.rig.recording import RecordingError
from liveness.rig.species import GUESSED, MOVES_GUESSED, SPECIES
from liveness.types import Level

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
GUESSED_ATTEMPTS_MAX = 30
MISSING = 3
CUES_SHOWN = 2
LEVELS = [level.value for level in Level if level is not Level.NONE]


@click.command()
@click.option("--rig", is_flag=True, help="Rendered people and attacks.")
@click.option(
    "--people",
    multiple=True,
    type=FOLDER,
    help="Portraits: one folder of photos a person. Default: two people from pip packages.",
)
@click.option(
    "--half",
    type=click.Choice(HALVES),
    default="all",
    show_default=True,
    help="Which half of the people, whatever the seed: fit on one, test on the other.",
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of all draws.")
@click.option(
    "--attempts",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Of each species and of live people.",
)
@click.option("--species", multiple=True, help="Only these; several times. Default: all.")
@click.option(
    "--guess",
    default=0,
    type=click.IntRange(0, 10_000_000),
    metavar="N",
    help="An attacker who knows all but the nonce tries N times.",
)
@click.option("--no-colours", is_flag=True, help="The terminal's screen shows no colours.")
@click.option("--media", type=FOLDER, help="Recordings in live/ and one folder a species.")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    help="Default: standard; passive for recordings alone, which follow no plan.",
)
@click.option("--pack", default="pip", show_default=True, help="The model pack.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes. Default: one a core.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="An HTML file.")
@as_json
def liveness(
    rig: bool,
    people: tuple[Path, ...],
    half: str,
    seed: int,
    attempts: int,
    species: tuple[str, ...],
    guess: int,
    no_colours: bool,
    media: Path | None,
    level: str | None,
    pack: str,
    jobs: int | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Attack acceptance by species (APCER) and refusals of live people (BPCER)."""
    out = err_console if as_json else console
    if not rig and media is None:
        fail(
            "Nothing to present",
            why="neither --rig nor --media says what comes before the camera",
            todo="add --rig for rendered attempts, or --media DIR for recordings",
            exit_code=2,
        )
    settings = Settings(
        pack=pack,
        level=Level(level or ("standard" if rig else "passive")),
        seed=seed,
        colours=not no_colours,
    )
    tasks = list_tasks(_chosen(species, guess), attempts, guess) if rig else []
    engine = open_engine(pack)
    portraits = choose(engine, people, seed, half) if rig else []
    tasks += find_recordings(media) if media is not None else []
    with progress() as bar:
        task = bar.add_task("attempts", total=len(tasks))
        try:
            trial = trials.run(
                settings,
                portraits,
                tasks,
                guesses=guess if rig else 0,
                jobs=min(jobs or os.cpu_count() or 1, len(tasks)),
                tick=lambda: bar.advance(task),
            )
        except RecordingError as error:
            fail("A recording cannot be read", why=str(error), todo="remove it, or convert it")
        except BrokenProcessPool:
            fail(
                "The evaluation ended before its time",
                why="a process that renders and judges was ended, mostly for lack of memory",
                todo="--jobs 1",
            )
    show(trial, out)
    if report is not None:
        write_document(report, render(trial), out)
    if as_json:
        emit_json(trial.to_json())


def open_engine(pack: str) -> Engine:
    """Before any process is started: each opens the pack again."""
    try:
        engine = Engine.open(pack)
    except EngineError as error:
        fail(
            f"The pack {pack} cannot be used",
            why=str(error),
            todo="countenance models list",
            exit_code=MISSING,
        )
    if engine.model_id not in shipped():
        fail(
            f"The pack {pack} has no calibration",
            why="without one nothing says from where on two embeddings are one person's",
            todo="countenance calibrate",
            exit_code=MISSING,
        )
    return engine


def choose(
    engine: Engine, people: tuple[Path, ...], seed: int, half: str
) -> list[tuple[str, Portrait]]:
    if not people:
        return _samples(engine)
    try:
        portraits = trials.choose_portraits(engine, list_people(people), seed=seed, half=half)
    except CorpusError as error:
        fail("These photos cannot be used", why=str(error))
    if not portraits:
        fail(
            "There is nobody to present",
            why="no photo shows exactly one good face",
            todo="give --people a folder of one folder of photos a person",
        )
    return portraits


def _samples(engine: Engine) -> list[tuple[str, Portrait]]:
    try:
        from countenance.demo import sample_portraits  # noqa: PLC0415 (it needs the extra demo)
    except ModuleNotFoundError:
        fail(
            "There is nobody to present",
            why="this installation lacks the extra 'demo', which brings two portraits",
            todo="give --people DIR, or pip install 'countenance[demo]'",
            exit_code=MISSING,
        )
    samples = sample_portraits(engine)
    return [(name, frame_portrait(pixels, face)) for name, (pixels, face) in samples]


def _chosen(asked: tuple[str, ...], guess: int) -> list[str]:
    unknown = sorted(set(asked) - {*SPECIES, LIVE})
    if unknown:
        fail(
            f"No species is called {unknown[0]}",
            why=f"there are {', '.join([LIVE, *SPECIES])}",
            exit_code=2,
        )
    names = list(asked) or [LIVE, *SPECIES]
    return names + [name for name in RECORDED if guess and name not in names]


def list_tasks(names: list[str], attempts: int, guess: int) -> list[Task]:
    tasks = trials.rig_tasks(names, attempts)
    if guess:
        tasks += trials.rig_tasks(list(GUESSED), min(attempts, GUESSED_ATTEMPTS_MAX))
        tasks += trials.rig_tasks(list(MOVES_GUESSED), attempts)
    return tasks


def find_recordings(folder: Path) -> list[Task]:
    tasks = trials.media_tasks(folder)
    if not tasks:
        fail(
            f"{folder} holds no recording",
            why="recordings lie in folders: live/, and one a species of attack",
            todo="put .mp4 or .gif files, or folders of frames, into such folders",
        )
    return tasks


def show(trial: Trial, out: Console) -> None:
    """Worst species first."""
    evaluation, live = trial.evaluation, trial.evaluation.live
    cues = evaluation.cues()
    table = Table("attack", "accepted", "APCER", "at most", "cannot tell", "stopped by")
    for name, attacks in evaluation.species.items():
        colour = "green" if attacks.accepted == 0 else "red"
        table.add_row(
            name,
            f"[{colour}]{attacks.accepted}[/] of {attacks.attempts}",
            f"{attacks.apcer:.1%}",
            f"{attacks.apcer_upper95:.1%}",
            str(attacks.undecided),
            tell_cues(cues[name]),
        )
    if evaluation.species:
        out.print(table)
    if live.attempts:
        out.print(
            f"live people: {live.attempts} attempts, {live.rejected} called an attack "
            f"(BPCER {live.bpcer:.1%}, at most {live.bpcer_upper95:.1%}), "
            f"{live.undecided} could not be told",
            highlight=False,
        )
    if live.rejected + live.undecided:
        out.print(f"  stopped by {tell_cues(cues[LIVE])}", highlight=False)
    if evaluation.verdict_ms_p50 is not None:
        out.print(f"median time to verdict: {evaluation.verdict_ms_p50 / 1000:.1f} s")
    if trial.guessing is not None:
        out.print(tell_guessing(trial.guessing), highlight=False)
    out.print(
        "[dim]bounds: 95 %, Clopper-Pearson. Rendered attacks test the software; they are not an "
        "ISO 30107-3 test[/]",
        highlight=False,
    )


def tell_cues(cues: dict[str, CueShares]) -> str:
    """The cues that said attack most often; where none did, those that could not tell."""
    attack = sorted(cues, key=lambda name: -cues[name].attack)
    said = [f"{name} {cues[name].attack:.0%}" for name in attack if cues[name].attack]
    if said:
        return ", ".join(said[:CUES_SHOWN])
    unsure = sorted(cues, key=lambda name: -cues[name].undecided)
    return ", ".join(f"{name} unsure {cues[name].undecided:.0%}" for name in unsure[:CUES_SHOWN])


def tell_guessing(guessing: Guessing) -> str:
    return (
        f"guessing: {guessing.tries:,} tries at {guessing.plans:,} plans, "
        f"{guessing.matched} right, {guessing.moved} in their moves alone (of such "
        f"{guessing.moves.accepted} of {guessing.moves.attempts} passed); "
        f"{guessing.accepted:.2f} accepted, "
        f"guessing allows {guessing.allowed}"
    )
