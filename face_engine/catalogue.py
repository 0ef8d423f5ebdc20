"""Model packs as data: which networks, where from, under which licence.

Guarantees: a file is used only if its SHA-256 is the pack's. The model id is derived from the
hashes of the networks and the preprocessing, so embeddings of two packs never carry one id.
A ``pack.toml`` is read strictly: an unknown, missing or misplaced entry is refused by name.

The caller must still ask for the licences (:mod:`face_engine.licences`).
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import MISSING, dataclass, fields, replace
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from platformdirs import user_cache_path

from face_engine.errors import ModelFileError, PackFileError
from face_engine.types import EMBEDDING_DIMENSIONS_MAX, MODEL_ID_BYTES

FILE_BYTES_MAX = 256 * 1024 * 1024
PACK_FILE = "pack.toml"
PACK_BYTES_MAX = 64 * 1024
TEXT_MAX = 500
SIDE_PX_MAX = 4096
CHECKOUT = Path(__file__).parents[1]

_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """One file: inside an installed package, or in a models folder.

    ``converted`` is the SHA-256 of the network that it is converted to on first use, for the
    kinds that need that. ``folder`` is where a user's own ``pack.toml`` lies.
    """

    kind: str
    file: str
    sha256: str
    licence: str
    source: str
    package: str | None = None
    inside: str | None = None
    url: str | None = None
    converted: str | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        _check(_NAME.fullmatch(self.file), "file is the plain name of a file")
        hashes = [self.sha256, *([self.converted] if self.converted is not None else [])]
        _check(all(map(_HASH.fullmatch, hashes)), "a SHA-256 is 64 lower-case hex digits")
        _check(_NAME.fullmatch(self.licence), "licence is an SPDX identifier or another name")

    def find(self) -> Path:
        """Raises :class:`ModelFileError` where the file is not on this machine."""
        for path in self._places():
            if path.is_file():
                return path
        raise ModelFileError(f"{self.file} is not here: {self._wanted()}")

    def _wanted(self) -> str:
        if self.package:
            return f"pip install {self.package.replace('_', '-')}"
        if self.folder:
            return f"{PACK_FILE} expects it beside itself"
        return f"it comes from {self.source}"

    def _places(self) -> list[Path]:
        if self.folder:
            return [self.folder / self.file]
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
                content = file.read(FILE_BYTES_MAX + 1)
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

    def __post_init__(self) -> None:
        Weights.__post_init__(self)
        sides = (*self.looks_px, self.sure_px, self.view_px, self.face_px)
        _check(1 <= len(self.looks_px) <= 8, "looks_px has 1 to 8 sides")
        _check(list(self.looks_px) == sorted(set(self.looks_px)), "looks_px rises")
        _check(all(1 <= side <= SIDE_PX_MAX for side in sides), f"1 to {SIDE_PX_MAX} pixels")
        _check(self.view_px % 32 == 0, "view_px is a multiple of 32")
        _check(self.face_px < self.view_px, "face_px is less than view_px")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderWeights(Weights):
    """``mean`` and ``scale`` turn 0..255 RGB into the network's input: (x - mean) * scale."""

    alignment: str
    mean: float
    scale: float
    dimensions: int

    def __post_init__(self) -> None:
        Weights.__post_init__(self)
        _check(16 <= self.dimensions <= EMBEDDING_DIMENSIONS_MAX, "dimensions are 16 to 1024")
        _check(abs(self.mean) <= 1e6 and 0 < self.scale <= 1e6, "mean and scale are finite")


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
        look, embedder = self.detector, self.embedder
        what = "\n".join(
            f"{name}={value}"
            for name, value in (
                ("detector", f"{look.kind} {look.converted or look.sha256}"),
                ("closer look", f"{look.view_px} {look.face_px}"),
                ("embedder", f"{embedder.kind} {embedder.converted or embedder.sha256}"),
                ("alignment", embedder.alignment),
                ("preprocessing", f"{embedder.mean!r} {embedder.scale!r}"),
            )
        )
        return sha256(b"countenance/v1/model\n" + what.encode()).digest()[:MODEL_ID_BYTES]

    @property
    def weights(self) -> tuple[Weights, ...]:
        return (self.detector, self.embedder, *([self.passive] if self.passive else []))

    @property
    def licences(self) -> list[str]:
        return sorted({weights.licence for weights in self.weights})


def download_folder() -> Path:
    """Where ``countenance models pull`` puts files: the user's cache."""
    return user_cache_path("countenance") / "models"


def model_folders() -> list[Path]:
    """``COUNTENANCE_MODELS``, the user's cache, and what lies beside a checkout."""
    chosen = os.environ.get("COUNTENANCE_MODELS")
    beside = CHECKOUT.parent / "shared" / "models" / "open"
    in_checkout = (CHECKOUT / "pyproject.toml").is_file()
    return [
        *([Path(chosen)] if chosen else []),
        download_folder(),
        *([beside] if in_checkout else []),
    ]


def pack_names() -> list[str]:
    return sorted(
        path.name.removesuffix(".toml")
        for path in files("face_engine").joinpath("packs").iterdir()
        if path.name.endswith(".toml")
    )


def load_pack(name: str) -> Pack:
    """A pack by its name, or by the path of a folder that holds ``pack.toml``.

    Raises :class:`ModelFileError` for a pack that does not exist, and :class:`PackFileError`.
    """
    if name in pack_names():
        return parse_pack(files("face_engine").joinpath("packs", f"{name}.toml").read_text())
    folder = Path(name)
    try:
        with (folder / PACK_FILE).open("rb") as file:
            content = file.read(PACK_BYTES_MAX + 1)
    except OSError as error:
        raise ModelFileError(
            f"no pack is called {name!r}: there are {', '.join(pack_names())}, "
            f"or a folder with {PACK_FILE}"
        ) from error
    try:
        text = content[: PACK_BYTES_MAX + 1].decode()
        _check(len(content) <= PACK_BYTES_MAX, "too long")
        return parse_pack(text, folder=folder.resolve())
    except (UnicodeDecodeError, PackFileError) as error:
        raise PackFileError(f"{folder / PACK_FILE}: {error}") from error


def parse_pack(text: str, *, folder: Path | None = None) -> Pack:
    """Raises :class:`PackFileError`, which names the entry that is wrong."""
    try:
        entries: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackFileError(f"not TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or brackets by the thousand.
        raise PackFileError("not TOML that can be read here") from error
    parts: dict[str, type[Weights]] = {
        "detector": DetectorWeights,
        "embedder": EmbedderWeights,
        "passive": Weights,
    }
    for name, kind in parts.items():
        if name in entries:
            _check(isinstance(entries[name], dict), f"{name} is a table")
            _check("folder" not in entries[name], f"{name} knows no 'folder'")
            part = _record(kind, entries[name], f"{name}: ")
            entries[name] = replace(part, folder=folder)
    pack = _record(Pack, {"passive": None, **entries}, "")
    _check(_NAME.fullmatch(pack.name), "name is made of letters, digits, '.', '_' and '-'")
    return pack


def _record(kind: type[T], entries: dict[str, Any], where: str) -> T:
    """``kind`` from ``entries``, whose names and types must be its fields'."""
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in sorted(set(entries) - set(known)):
        raise PackFileError(f"{where}unknown entry {name[:40]!r}")
    for name, field in known.items():
        if name not in entries and field.default is MISSING:
            raise PackFileError(f"{where}{name} is missing")
    values = {name: _value(hints[name], value, where + name) for name, value in entries.items()}
    try:
        return kind(**values)
    except PackFileError as error:
        raise PackFileError(f"{where}{error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if hint == tuple[int, ...]:
        _check(isinstance(value, list), f"{where} is a list")
        return tuple(_value(int, item, where) for item in value)
    wanted = tuple(get_args(hint)) or ((float, int) if hint is float else (hint,))
    _check(isinstance(value, wanted) and not isinstance(value, bool), f"{where} has a wrong type")
    if isinstance(value, str):
        _check(value.isprintable() and 0 < len(value) <= TEXT_MAX, f"{where} is one short line")
    return float(value) if hint is float else value


def _check(good: object, rule: str) -> None:
    if not good:
        raise PackFileError(rule)
