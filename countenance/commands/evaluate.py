"""``countenance evaluate``: what a pack is worth, on photos of known people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from countenance import flaws
from countenance import trial as trials
from countenance.arguments import as_json
from countenance.commands.evaluate_liveness import liveness
from countenance.flaws import Flaws
from countenance.output import console, emit_json, err_console, fail, progress, write_document
from countenance.report.faces import render
from countenance.trial import Trial
from face_engine.corpus import (
    Corpus,
    CorpusError,
    Missed,
    Roster,
    embed_roster,
    list_pairs,
    list_people,
)
from face_engine.engine import Engine
from face_engine.errors import ModelFileError
from face_engine.evaluation import Rate, Support

MISSED_SHOWN = 10
RESAMPLING = "resampling the people"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def evaluate() -> None:
    """Measure a pack on photos of known people, and its liveness checks on attacks."""


evaluate.add_command(liveness)


@evaluate.command()
@click.option("--people", multiple=True, type=FOLDER, help="One folder of photos a person.")
@click.option(
    "--pairs",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV of image_a, image_b, same_person.",
)
@click.option("--pack", default="pip", show_default=True, help="The model pack.")
@click.option("--upscale", default=1, type=click.IntRange(1, 8), help="For small pictures.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--seed", default=1, show_default=True, help="Of the bootstrap.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="An HTML file.")
@as_json
def faces(
    people: tuple[Path, ...],
    pairs: Path | None,
    pack: str,
    upscale: int,
    threads: int,
    seed: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """False match and false non-match rates, with their bounds."""
    out = err_console if as_json else console
    if bool(people) == bool(pairs):
        fail("Which photos?", why="one of --people and --pairs says it", exit_code=2)
    engine = open_engine(pack, threads)
    try:
        if pairs is not None:
            listed = list_pairs(pairs, upscale=upscale)
            corpus = embed(engine, listed.roster)
            with err_console.status(RESAMPLING):
                trial = trials.run_pairs(engine, corpus, listed, seed=seed)
        else:
            corpus = embed(engine, list_people(people, upscale=upscale))
            with err_console.status(RESAMPLING):
                trial = trials.run_people(engine, corpus, seed=seed)
    except CorpusError as error:
        fail("These photos cannot be evaluated", why=str(error), todo="see docs/evaluation.md")
    show(trial, out)
    if report is not None:
        write_document(report, render(trial), out)
    if as_json:
        emit_json(trial.to_json())


@evaluate.command()
@click.option("--people", multiple=True, type=FOLDER, help="One folder of photos a person.")
@click.option("--small", multiple=True, type=FOLDER, help="The same, photos to be enlarged.")
@click.option("--upscale", default=3, show_default=True, type=click.IntRange(2, 8))
@click.option("--photos", default=2, show_default=True, type=click.IntRange(1), help="A person.")
@click.option("--pack", default="pip", show_default=True, help="The model pack.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
@as_json
def quality(
    people: tuple[Path, ...],
    small: tuple[Path, ...],
    upscale: int,
    photos: int,
    pack: str,
    threads: int,
    as_json: bool,
) -> None:
    """What flaws of a picture cost in matches, and which are refused before they do."""
    out = err_console if as_json else console
    engine = open_engine(pack, threads)
    try:
        corpus = embed(engine, list_people(people) + list_people(small, upscale=upscale))
        chosen = flaws.chosen(corpus, photos)
        if not chosen:
            fail("There is nothing to compare", why="it takes two photos of one person")
        with progress() as bar:
            task = bar.add_task("photos made worse", total=len(chosen) * flaws.steps())
            found = flaws.measure(engine, corpus, photos, lambda: bar.advance(task))
    except CorpusError as error:
        fail("These photos cannot be evaluated", why=str(error), todo="see docs/evaluation.md")
    _show_flaws(found, out)
    if as_json:
        emit_json(asdict(found))


def _show_flaws(found: Flaws, out: Console) -> None:
    table = Table(
        "flaw", "level", "measure", "faces", "score", "FNMR", "enrolment refuses", "probe refuses"
    )
    for row in found.rows:
        table.add_row(
            row.name,
            row.level,
            "" if row.measure is None else f"{row.measure:.2f}",
            f"{row.found:.0%}",
            "" if row.score is None else f"{row.score:.3f}",
            f"{row.fnmr:.0%}",
            f"{row.refused_enrolment:.0%}",
            f"{row.refused_probe:.0%}",
        )
    out.print(table)
    out.print(
        f"FNMR at the shipped threshold {found.threshold:.4f}; rank correlation of quality and "
        f"match score {found.rank_correlation:.2f}; {found.assess_ms:.2f} ms a frame",
        highlight=False,
    )


def open_engine(pack: str, threads: int) -> Engine:
    try:
        return Engine.open(pack, threads=threads)
    except ModelFileError as error:
        fail(f"The pack {pack} cannot be used", why=str(error), todo="countenance models list")


def embed(engine: Engine, roster: Roster) -> Corpus:
    """With a progress bar; names the pictures that showed no face or could not be read."""
    with progress() as bar:
        task = bar.add_task("faces to embeddings", total=len(roster.pictures))
        corpus = embed_roster(engine, roster, lambda: bar.advance(task))
    _name_missed(corpus.missed)
    return corpus


def _name_missed(missed: tuple[Missed, ...]) -> None:
    for one in missed[:MISSED_SHOWN]:
        err_console.print(
            f"[yellow]![/] {one.picture.path.parent.name}: {one.why}", highlight=False
        )
    if len(missed) > MISSED_SHOWN:
        err_console.print(f"[yellow]![/] and {len(missed) - MISSED_SHOWN} more")


def show(trial: Trial, out: Console) -> None:
    corpus, evaluation = trial.corpus, trial.evaluation
    out.print(
        f"pack {trial.engine.pack.name}: {len(corpus.samples)} faces in "
        f"{len(corpus.roster.pictures)} pictures of {len(corpus.roster.people)} people; "
        f"{len(trial.genuine):,} genuine and {len(trial.impostor):,} impostor comparisons",
        highlight=False,
    )
    table = Table("FMR at most", "threshold", "FMR measured", "FNMR", "the data say")
    for point in evaluation.points:
        table.add_row(
            f"{point.fmr_asked:.0e}",
            f"{point.threshold:.4f}",
            percent(point.fmr),
            percent(point.fnmr),
            point.support.value,
            style="dim" if point.support is Support.NONE else None,
        )
    out.print(table)
    if trial.working is not None:
        working = trial.working
        out.print(
            f"at the shipped threshold {working.threshold:.4f} (FMR {working.fmr_asked:g}): "
            f"FMR {percent(working.fmr)}, FNMR {percent(working.fnmr)}",
            highlight=False,
        )
    for group in trial.groups:
        rates = [percent(rate) if rate else "none" for rate in (group.fmr, group.fnmr)]
        out.print(
            f"  group {group.name}: {group.people} people, FMR {rates[0]}, FNMR {rates[1]}",
            highlight=False,
            markup=False,
        )
    times = ", ".join(f"{stage} {ms:.1f}" for stage, ms in corpus.median_ms.items())
    out.print(f"equal error rate {evaluation.eer:.2%}; median ms: {times}", highlight=False)


def percent(rate: Rate) -> str:
    """A rate with its 95 % interval."""
    return f"{rate.value:.3%} ({rate.low:.3%} to {rate.high:.3%})"
