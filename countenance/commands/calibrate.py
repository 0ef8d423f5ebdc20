"""``countenance calibrate``: from photos of known people to a pack's calibration."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click
from rich.table import Table

from countenance.arguments import as_json
from countenance.commands.evaluate import FOLDER, embed, open_engine
from countenance.output import console, emit_json, err_console, fail
from face_engine.calibrate import TooFewPeopleError
from face_engine.calibrate import calibrate as fit
from face_engine.calibration import Calibration
from face_engine.corpus import Corpus, CorpusError, Roster, digest, list_people
from face_engine.evaluation import BOOTSTRAPS, compare_all

SHOWN = (1e-2, 1e-3, 1e-4, 1e-5)


@click.command()
@click.argument("pack")
@click.option("--people", multiple=True, type=FOLDER, help="One folder of photos a person.")
@click.option("--small", multiple=True, type=FOLDER, help="The same, photos to be enlarged.")
@click.option("--upscale", default=3, show_default=True, type=click.IntRange(2, 8))
@click.option("--source", default="", help="What the photos are, for the provenance.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--seed", default=1, show_default=True, help="Of the bootstrap.")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@as_json
def calibrate(
    pack: str,
    people: tuple[Path, ...],
    small: tuple[Path, ...],
    upscale: int,
    source: str,
    threads: int,
    seed: int,
    output: Path,
    as_json: bool,
) -> None:
    """Make PACK's calibration: from a false match rate to a threshold.

    Nobody may appear under two names. The same photos give the same file.
    """
    engine = open_engine(pack, threads)
    try:
        roster = list_people(people) + list_people(small, upscale=upscale)
        corpus = embed(engine, roster)
        _, impostor = compare_all(corpus.vectors, corpus.owners)
        calibration = fit(
            impostor,
            model_id=engine.model_id,
            pack=pack,
            dimensions=corpus.vectors.shape[1],
            provenance=_provenance(corpus, source, seed),
            seed=seed,
        )
        output.write_text(calibration.to_document(), encoding="utf-8")
    except (CorpusError, TooFewPeopleError) as error:
        fail("These photos make no calibration", why=str(error), todo="see docs/evaluation.md")
    except OSError as error:
        fail(f"{output} cannot be written", why=error.strerror or "", todo="choose another file")
    _show(calibration, output, as_json=as_json)


def _provenance(corpus: Corpus, source: str, seed: int) -> str:
    roster: Roster = corpus.roster
    described = source or "photos that are not described"
    return (
        f"{described}; {len(corpus.samples)} faces in {len(roster.pictures)} pictures, SHA-256 of "
        f"names and contents {digest(roster.pictures)}; {BOOTSTRAPS} bootstraps over people, seed "
        f"{seed}; countenance {version('countenance')}, onnxruntime {version('onnxruntime')}"
    )


def _show(calibration: Calibration, output: Path, *, as_json: bool) -> None:
    out = err_console if as_json else console
    rates = [fmr for fmr in SHOWN if fmr >= calibration.fmr_min]
    table = Table("FMR, 95 % upper bound", "threshold", "by")
    for fmr in rates:
        by = "counting" if fmr >= calibration.counted_fmr_min else "a fitted tail"
        table.add_row(f"{fmr:g}", f"{calibration.threshold_for(fmr):.4f}", by)
    out.print(table)
    out.print(
        f"[green]✓[/] {output}: {calibration.impostor_comparisons:,} comparisons of "
        f"{calibration.people} people; lower than {calibration.fmr_min:.2g} is refused",
        highlight=False,
    )
    if as_json:
        thresholds = {f"{fmr:g}": calibration.threshold_for(fmr) for fmr in rates}
        emit_json({"output": str(output), "threshold_at_fmr": thresholds})
