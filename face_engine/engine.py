"""The face engine: a pack, opened. Everything else uses faces through this.

Guarantees: what it returns is a value of :mod:`face_engine.types`; what is wrong with the
weights, their licence or the machine is one :class:`face_engine.errors.EngineError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from face_engine import licences
from face_engine.align import CHIPS
from face_engine.catalogue import DetectorWeights, Pack, load_pack
from face_engine.converted import read_network
from face_engine.detect import CenterFace, Detector, Looks, Network, YuNet
from face_engine.embed import Embedder
from face_engine.errors import PackFileError
from face_engine.passive import PassiveNetwork
from face_engine.session import Runtime, open_session
from face_engine.types import Embedding, Face, Pixels

INSIGHTFACE = "insightface:"


class Named(Protocol):
    """What an engine says about its pack."""

    @property
    def name(self) -> str: ...
    @property
    def model_id(self) -> bytes: ...


class Detects(Protocol):
    def detect(self, pixels: Pixels) -> tuple[Face, ...]: ...
    def look_closer(self, pixels: Pixels, face: Face) -> Face | None: ...


class Embeds(Protocol):
    def embed_many(self, seen: Sequence[tuple[Pixels, Face]]) -> list[Embedding]: ...


class Judges(Protocol):
    def live(self, pixels: Pixels, face: Face) -> float | None: ...


class Engine:
    """Not safe to share between threads that call it at once."""

    def __init__(
        self, pack: Named, detector: Detects, embedder: Embeds, passive: Judges | None
    ) -> None:
        self.pack = pack
        self._detector = detector
        self._embedder = embedder
        self._passive = passive

    @classmethod
    def open(cls, name: str = "pip", *, threads: int = 1, provider: str = "cpu") -> Engine:
        """Reads and checks the files of a pack: a name, a folder, or ``insightface:NAME``.

        Raises :class:`EngineError`.
        """
        runtime = Runtime(threads=threads, provider=provider)
        if name.startswith(INSIGHTFACE):
            from face_engine.insightface_pack import open_parts  # noqa: PLC0415  (heavy)

            return cls(*open_parts(name.removeprefix(INSIGHTFACE), runtime))
        pack = load_pack(name)
        licences.require(name, pack.licences)
        return cls(
            pack,
            _open_detector(pack.detector, runtime),
            _open_embedder(pack, runtime),
            _open_passive(pack, runtime),
        )

    @property
    def model_id(self) -> bytes:
        return self.pack.model_id

    @property
    def has_passive(self) -> bool:
        return self._passive is not None

    def warm_up(self) -> None:
        """Runs every network once, so that the first person does not wait."""
        pixels = np.zeros((480, 640, 3), np.uint8)
        landmarks = CHIPS["arcface"].landmarks.astype(np.float32)
        face = Face(box=(0.0, 0.0, 112.0, 112.0), landmarks=landmarks, score=1.0)
        self.detect(pixels)
        self._detector.look_closer(pixels, face)
        self.embed(pixels, face)
        self.passive(pixels, face)

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """All faces, largest first; ``pixels``: (height, width, 3) uint8, BGR.

        Raises :class:`ValueError` for anything else, as does whatever takes ``pixels`` here.
        """
        _require_pixels(pixels)
        return self._detector.detect(pixels)

    def follow(self, pixels: Pixels, face: Face) -> tuple[Face, ...]:
        """The one face near where the last frame had ``face``; all faces where none is there.

        Several times faster than :meth:`detect`, and blind to whoever else is in the picture:
        for a preview, and between looks at the whole, never for a frame that is embedded.
        """
        _require_pixels(pixels)
        near = self._detector.look_closer(pixels, face)
        return (near,) if near else self.detect(pixels)

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """Of the face as :meth:`detect` found it."""
        return self.embed_many([(pixels, face)])[0]

    def embed_many(self, seen: Sequence[tuple[Pixels, Face]]) -> list[Embedding]:
        """Of each (picture, face), in their order; in batches where the network takes them."""
        for pixels, _ in seen:
            _require_pixels(pixels)
        return self._embedder.embed_many(seen)

    def passive(self, pixels: Pixels, face: Face) -> float | None:
        """The probability that the face is live; None where the pack has no such network, or
        where too little of the picture lies around the face to say."""
        _require_pixels(pixels)
        return self._passive.live(pixels, face) if self._passive else None


def _require_pixels(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError("a picture is (height, width, 3) uint8 in BGR order")


def _open_detector(weights: DetectorWeights, runtime: Runtime) -> Detector:
    looks = Looks(
        sides_px=weights.looks_px,
        sure_px=weights.sure_px,
        view_px=weights.view_px,
        face_px=weights.face_px,
    )
    return Detector(_open_network(weights, runtime), looks)


def _open_network(weights: DetectorWeights, runtime: Runtime) -> Network:
    kinds: dict[str, type[CenterFace | YuNet]] = {"centerface": CenterFace, "yunet": YuNet}
    if weights.kind not in kinds:
        raise PackFileError(f"no detector is of the kind {weights.kind!r}: {', '.join(kinds)}")
    session = open_session(read_network(weights), name=weights.file, runtime=runtime)
    return kinds[weights.kind](session)


def _open_embedder(pack: Pack, runtime: Runtime) -> Embedder:
    weights = pack.embedder
    if weights.alignment not in CHIPS:
        raise PackFileError(f"no alignment is called {weights.alignment!r}: {', '.join(CHIPS)}")
    return Embedder(
        session=open_session(read_network(weights), name=weights.file, runtime=runtime),
        model_id=pack.model_id,
        alignment=weights.alignment,
        mean=weights.mean,
        scale=weights.scale,
    )


def _open_passive(pack: Pack, runtime: Runtime) -> PassiveNetwork | None:
    weights = pack.passive
    if weights is None:
        return None
    return PassiveNetwork(open_session(read_network(weights), name=weights.file, runtime=runtime))
