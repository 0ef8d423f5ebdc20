"""The face engine: a pack, opened. Everything else uses faces through this.

Guarantee: what it returns is a value of :mod:`face_engine.types`; what is wrong with the
weights is one :class:`face_engine.errors.ModelFileError`.
"""

from __future__ import annotations

from face_engine.catalogue import DetectorWeights, Pack, load_pack
from face_engine.detect import CenterFace, Detector, Looks, Network, YuNet
from face_engine.dlib_convert import convert
from face_engine.embed import Embedder
from face_engine.errors import ModelFileError
from face_engine.passive import PassiveNetwork
from face_engine.session import open_session
from face_engine.types import Embedding, Face, Pixels


class Engine:
    """Not safe to share between threads that call it at once."""

    def __init__(
        self, pack: Pack, detector: Detector, embedder: Embedder, passive: PassiveNetwork | None
    ) -> None:
        self.pack = pack
        self._detector = detector
        self._embedder = embedder
        self._passive = passive

    @classmethod
    def open(cls, name: str = "pip", *, threads: int = 1) -> Engine:
        """Reads and checks the pack's files; raises :class:`ModelFileError`."""
        pack = load_pack(name)
        return cls(
            pack,
            _open_detector(pack, threads),
            _open_embedder(pack, threads),
            _open_passive(pack, threads),
        )

    @property
    def model_id(self) -> bytes:
        return self.pack.model_id

    @property
    def has_passive(self) -> bool:
        return self._passive is not None

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """All faces, largest first; ``pixels``: (height, width, 3) uint8, BGR."""
        return self._detector.detect(pixels)

    def embed(self, pixels: Pixels, face: Face) -> Embedding:
        """Of the face as :meth:`detect` found it."""
        return self._embedder.embed(pixels, face)

    def passive(self, pixels: Pixels, face: Face) -> float | None:
        """The probability that the face is live; None where the pack has no such network."""
        return self._passive.live(pixels, face) if self._passive else None


def _open_detector(pack: Pack, threads: int) -> Detector:
    weights = pack.detector
    looks = Looks(
        sides_px=tuple(weights.looks_px),
        sure_px=weights.sure_px,
        view_px=weights.view_px,
        face_px=weights.face_px,
    )
    return Detector(_open_network(weights, threads), looks)


def _open_network(weights: DetectorWeights, threads: int) -> Network:
    if weights.kind == "centerface":
        return CenterFace.open(weights.read(), name=weights.file, threads=threads)
    if weights.kind == "yunet":
        return YuNet(open_session(weights.read(), name=weights.file, threads=threads))
    raise ModelFileError(f"unknown kind of detector: {weights.kind}")


def _open_embedder(pack: Pack, threads: int) -> Embedder:
    weights, network = pack.embedder, pack.embedder.read()
    if weights.kind == "dlib":
        network = convert(network).SerializeToString()
    return Embedder(
        session=open_session(network, name=weights.file, threads=threads),
        model_id=pack.model_id,
        alignment=weights.alignment,
        mean=weights.mean,
        scale=weights.scale,
    )


def _open_passive(pack: Pack, threads: int) -> PassiveNetwork | None:
    weights = pack.passive
    if weights is None:
        return None
    return PassiveNetwork(open_session(weights.read(), name=weights.file, threads=threads))
