"""insightface's own packs (``insightface:buffalo_l``, ...), through the library's own loaders.

The only module that imports insightface, and nothing outside sees its types: its ``Face``
answers None to a misspelt name, and its loaders route networks by tensor shape. Guarantees:
nothing is fetched; the sessions have the threads and the provider that were chosen, or the pack
is refused; the liveness addon is used only if its SHA-256 is the library's.

The published packs are for non-commercial use: unless the folder holds a commercial
``MODEL.LICENSE`` that the library verifies, ``LICENCE`` must have been accepted by name. They
come without hashes, so the model id is made of those that are found: the caller must take them
from the place that it trusts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import onnxruntime
from insightface.addons import Liveness, ensure_addon
from insightface.app import FaceAnalysis
from insightface.app.common import Face as Theirs
from insightface.model_zoo.model_license import (
    STATUS_VERIFIED_COMMERCIAL,
    inspect_model_package_license,
)

from face_engine import licences
from face_engine.errors import ModelFileError
from face_engine.session import Runtime, open_session
from face_engine.types import MODEL_ID_BYTES, Embedding, Face, Pixels

LICENCE = "insightface-non-commercial"
FILES_MAX = 16
FACES_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightFacePack:
    name: str
    model_id: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    model: Any

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        boxes, points = self.model.detect(pixels, max_num=FACES_MAX)
        faces = [
            Face(
                box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                landmarks=np.asarray(five, np.float32).reshape(5, 2),
                score=float(box[4]),
            )
            for box, five in zip(boxes, points, strict=True)
        ]
        return tuple(sorted(faces, key=lambda face: -face.width * face.height))

    def look_closer(self, pixels: Pixels, face: Face) -> None:
        """The library has no second look."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """Aligned by the library: ``insightface.utils.face_align``, five points."""

    model: Any
    model_id: bytes

    def embed_many(self, seen: Sequence[tuple[Pixels, Face]]) -> list[Embedding]:
        return [self._embed(pixels, face) for pixels, face in seen]

    def _embed(self, pixels: Pixels, face: Face) -> Embedding:
        with _quiet():
            numbers = np.asarray(self.model.get(pixels, Theirs(kps=face.landmarks)), np.float32)
        return Embedding(vector=numbers / np.linalg.norm(numbers), model_id=self.model_id)


@dataclass(frozen=True, slots=True, eq=False)
class Passive:
    model: Any

    def live(self, pixels: Pixels, face: Face) -> float | None:
        """The addon's probability; None where the picture ends too near to the face."""
        with _quiet():
            score = self.model.predict(pixels, face.landmarks)["live_score"]
        return None if score is None else float(score)


def root() -> Path:
    """``COUNTENANCE_MODELS``/insightface, or the library's own folder."""
    chosen = os.environ.get("COUNTENANCE_MODELS")
    here = Path(chosen) / "insightface" if chosen else None
    return here if here is not None and here.is_dir() else Path.home() / ".insightface"


def find_folder(name: str) -> Path:
    """Raises :class:`ModelFileError` where the pack is not on this machine."""
    folder = root() / "models" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise ModelFileError(
            f"insightface's pack {name[:64]!r} is not here: unpack it as {root() / 'models'}/NAME"
        )
    return folder


def wanted_licences(folder: Path) -> list[str]:
    """Empty where the library verifies a commercial licence in the folder."""
    commercial = inspect_model_package_license(folder).status == STATUS_VERIFIED_COMMERCIAL
    return [] if commercial else [LICENCE]


def open_parts(
    name: str, runtime: Runtime
) -> tuple[InsightFacePack, Detector, Embedder, Passive | None]:
    """Raises :class:`face_engine.errors.EngineError`."""
    folder = find_folder(name)
    licences.require(f"insightface:{name}", wanted_licences(folder))
    providers = runtime.providers
    try:
        models = FaceAnalysis(
            str(folder),
            root=str(root()),
            allowed_modules=["detection", "recognition"],
            providers=providers,
            sess_options=runtime.options,
        )
        models.prepare(ctx_id=0)
        detector, embedder = models.models["detection"], models.models["recognition"]
        _require_obeyed([detector.session, embedder.session], runtime, providers)
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(f"insightface cannot open {folder}: {error!r:.200}") from error
    pack = InsightFacePack(name=f"insightface:{name}", model_id=_model_id(folder))
    return pack, Detector(detector), Embedder(embedder, pack.model_id), _open_passive(runtime)


def _open_passive(runtime: Runtime) -> Passive | None:
    try:
        path = ensure_addon("liveness", root=root(), download=False)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise ModelFileError("insightface's liveness addon is damaged (SHA-256)") from error
    session = open_session(path.read_bytes(), name=path.name, runtime=runtime)
    try:
        return Passive(Liveness(path, session=session))
    except RuntimeError as error:
        raise ModelFileError(f"{path.name} is not insightface's liveness network") from error


def _require_obeyed(
    sessions: Sequence[onnxruntime.InferenceSession], runtime: Runtime, providers: list[str]
) -> None:
    for session in sessions:
        threads = session.get_session_options().intra_op_num_threads
        if threads != runtime.threads or session.get_providers()[0] != providers[0]:
            raise ModelFileError("insightface did not take the threads and the provider chosen")


def _model_id(folder: Path) -> bytes:
    """Of every network in the folder: which of them the library takes is its own decision."""
    paths = sorted(folder.rglob("*.onnx"))[:FILES_MAX]
    hashes = [sha256(path.read_bytes()).hexdigest() for path in paths]
    what = "\n".join(["countenance/v1/model", "insightface", *hashes])
    return sha256(what.encode()).digest()[:MODEL_ID_BYTES]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the library's calls that its own dependencies deprecate."""
    with catch_warnings():
        simplefilter("ignore", FutureWarning)
        yield
