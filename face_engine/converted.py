"""Networks that are made from a pack's file on first use, and kept.

Guarantees: a kept network is used only if its SHA-256 is the one that the pack names, so a
damaged or exchanged one is made anew; it is written whole or not at all; where the cache cannot
be written, or this machine's libraries make other bytes, the network is used from memory.
Converting loads ``onnx``; using a kept network does not.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from platformdirs import user_cache_path

from face_engine.catalogue import FILE_BYTES_MAX, Weights
from face_engine.errors import ModelFileError

CONVERTERS = {
    "centerface": "face_engine.centerface_convert",
    "dlib": "face_engine.dlib_convert",
    "dlib-int8": "face_engine.dlib_int8_convert",
}


def read_network(weights: Weights) -> bytes:
    """The ONNX network of a pack's file; raises :class:`ModelFileError`."""
    if weights.kind not in CONVERTERS:
        return weights.read()
    kept = _kept(weights)
    if kept is not None:
        return kept
    network = convert(weights)
    if sha256(network).hexdigest() == weights.converted:
        _keep(weights, network)
    return network


def convert(weights: Weights) -> bytes:
    """Makes the network from the pack's file; raises :class:`ModelFileError`."""
    raw = weights.read()
    try:
        module = import_module(CONVERTERS[weights.kind])
    except ModuleNotFoundError as error:
        raise ModelFileError(
            f"{weights.file} must be converted first: pip install 'countenance[models]'"
        ) from error
    network: bytes = module.convert(raw)
    return network


def kept_path(weights: Weights) -> Path:
    return user_cache_path("countenance") / "converted" / f"{weights.converted}.onnx"


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all; raises :class:`OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).replace(path)
        except OSError:
            Path(new.name).unlink(missing_ok=True)
            raise


def _kept(weights: Weights) -> bytes | None:
    try:
        with kept_path(weights).open("rb") as file:
            network = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        return None
    return network if sha256(network).hexdigest() == weights.converted else None


def _keep(weights: Weights, network: bytes) -> None:
    try:
        write_whole(kept_path(weights), network)
    except OSError:
        return
