"""Model packs as data: which networks, where from, under which licence.

Guarantees: a file is used only if its SHA-256 is the pack's. The model id is derived from the
hashes of the networks and the preprocessing, so embeddings of two packs never carry one id.

The caller must still accept the licences.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from face_engine.errors import ModelFileError
from face_engine.types import MODEL_ID_BYTES

FILE_BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One file: inside an installed package, or in a models folder."""

    kind: str
    file: str
    sha256: str
    licence: str
    source: str
    package: str | None = None
    inside: str | None = None
    url: str | None = None

    def find(self) -> Path:
        """Raises :class:`ModelFileError` where the file is not on this machine."""
        for path in self._places():
            if path.is_file():
                return path
        wanted = f"pip install {self.package}" if self.package else f"it comes from {self.source}"
        raise ModelFileError(f"{self.file} is not here: {wanted}")

    def _places(self) -> list[Path]:
        places = [folder / self.file for folder in model_folders()]
        spec = find_spec(self.package) if self.package else None
        if spec is not None and spec.origin is not None and self.inside is not None:
            places.append(Path(spec.origin).parent / self.inside)
        return places

    def read(self) -> bytes:
        """The file's bytes, if they are the pack's; raises :class:`ModelFileError`."""
        path = self.find()
        try:
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX)
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
        if sha256(content).hexdigest() != self.sha256:
            raise ModelFileError(
                f"{path} is not the file that the pack names (SHA-256 differs): "
                "it is damaged, half downloaded, or another version"
            )
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorWeights(Weights):
    """``looks_px``: longer sides at which the whole picture is looked at, smallest first;
    ``sure_px``: width from which on the network surely finds a face, in its input;
    the closer look at a face is a square of ``view_px`` in which it is ``face_px`` large."""

    looks_px: tuple[int, ...]
    sure_px: int
    view_px: int
    face_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderWeights(Weights):
    alignment: str
    mean: float
    scale: float
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    name: str
    about: str
    detector: DetectorWeights
    embedder: EmbedderWeights
    passive: Weights | None

    @property
    def model_id(self) -> bytes:
        """16 bytes, from everything that an embedding depends on."""
        what = "\n".join(
            f"{name}={value}"
            for name, value in (
                ("detector", f"{self.detector.kind} {self.detector.sha256}"),
                ("closer look", f"{self.detector.view_px} {self.detector.face_px}"),
                ("embedder", f"{self.embedder.kind} {self.embedder.sha256}"),
                ("alignment", self.embedder.alignment),
                ("preprocessing", f"{self.embedder.mean!r} {self.embedder.scale!r}"),
            )
        )
        return sha256(b"countenance/v1/model\n" + what.encode()).digest()[:MODEL_ID_BYTES]

    @property
    def weights(self) -> tuple[Weights, ...]:
        return (self.detector, self.embedder, *([self.passive] if self.passive else []))


def model_folders() -> list[Path]:
    """``COUNTENANCE_MODELS``, then the user's cache."""
    chosen = os.environ.get("COUNTENANCE_MODELS")
    return [*([Path(chosen)] if chosen else []), user_cache_path("countenance") / "models"]


def pack_names() -> list[str]:
    return sorted(
        path.name.removesuffix(".toml")
        for path in files("face_engine").joinpath("packs").iterdir()
        if path.name.endswith(".toml")
    )


def load_pack(name: str) -> Pack:
    """Raises :class:`ModelFileError` for a pack that does not exist."""
    if name not in pack_names():
        raise ModelFileError(f"no pack is called {name!r}: there are {', '.join(pack_names())}")
    text = files("face_engine").joinpath("packs", f"{name}.toml").read_text()
    fields_found: dict[str, Any] = tomllib.loads(text)
    passive = fields_found.get("passive")
    return Pack(
        name=fields_found["name"],
        about=fields_found["about"],
        detector=DetectorWeights(**fields_found["detector"]),
        embedder=EmbedderWeights(**fields_found["embedder"]),
        passive=Weights(**passive) if passive else None,
    )
