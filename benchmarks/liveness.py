"""What a liveness check costs, beside the camera's frame interval.

    python -m benchmarks.liveness [--pack open]

Renders one genuine attempt at the level standard, then feeds its frames again to a fresh session
on one core, and counts processor time, so that a busy machine does not matter. Prints the median
and the 95th percentile of each part of a frame, and what the verdict takes after the last frame;
exits 1 when the passive verdict on a frame takes more than ``FRAME_MS_MAX`` at the median, or the
verdict after the last frame more than ``VERDICT_MS_MAX``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click
import cv2
import numpy as np
import skimage.data
from rich.table import Table

from countenance.output import console
from face_engine.engine import Engine
from face_engine.quality import PROBE, find_flaw
from liveness.challenge import Colour, Move, Plan, Step
from liveness.rig.presentation import live_customer
from liveness.session import LivenessSession
from liveness.texture import TextureTracker
from liveness.types import Level, Observation

FRAME_MS_MAX, VERDICT_MS_MAX = 15.0, 250.0
INTERVAL_MS = 1000 / 30
RUNS = 5
SEED = 1

T = TypeVar("T")


@click.command()
@click.option("--pack", default="pip", show_default=True, help="The model pack.")
def main(pack: str) -> None:
    cv2.setNumThreads(1)
    engine = Engine.open(pack)
    frames = record(engine)
    times: dict[str, list[float]] = {"passive: network and texture": [], "all cues": []}
    texture = TextureTracker()
    session, answers = new_session(), []
    for seen in frames:
        start = time.process_time()
        if seen.faces and seen.pixels is not None:
            engine.passive(seen.pixels, seen.faces[0])
            texture.observe(seen.pixels, seen.faces[0])
            texture.cue()
        times["passive: network and texture"].append(since_ms(start))
        _, took_ms = timed(lambda seen=seen: session.observe(seen))
        times["all cues"].append(took_ms)
    for _ in range(RUNS):
        verdict, took_ms = timed(session.verdict)
        answers.append(took_ms)
    table = Table("part", "median", "95 %", "of a frame at 30 fps")
    for name, taken in times.items():
        middle, high = np.median(taken), np.percentile(taken, 95)
        table.add_row(name, f"{middle:.1f} ms", f"{high:.1f} ms", f"{middle / INTERVAL_MS:.0%}")
    last = times["all cues"][-1] + max(answers)
    table.add_row("verdict after the last frame", f"{last:.0f} ms", "", f"{last / INTERVAL_MS:.1f}")
    console.print(table)
    console.print(f"{len(frames)} frames, pack {pack}: {verdict.outcome}")
    passive = float(np.median(times["passive: network and texture"]))
    sys.exit(passive > FRAME_MS_MAX or last > VERDICT_MS_MAX)


def new_session() -> LivenessSession:
    colours = (Colour.WHITE, Colour.GREEN, Colour.BLACK, Colour.ROSE, Colour.BLUE, Colour.WHITE)
    plan = Plan(
        (Step(move=Move.LEFT, hold_ms=500), Step(move=Move.UP, hold_ms=500)),
        (*colours, Colour.ROSE, Colour.GREEN),
    )
    return LivenessSession(plan, Level.STANDARD, -1.0)


def record(engine: Engine) -> list[Observation]:
    """The frames of one attempt that ends by itself, looked at."""
    pixels = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    customer = live_customer(pixels, engine.detect(pixels)[0], seed=SEED)
    session, seen, at_ms = new_session(), [], 1_000
    finished = False
    while not finished:
        frame = customer.frame(at_ms)
        faces = engine.detect(frame.pixels)
        good = find_flaw(frame.pixels, faces, PROBE) is None
        seen.append(
            Observation(
                captured_at_ms=at_ms,
                faces=faces,
                pixels=frame.pixels,
                passive=engine.passive(frame.pixels, faces[0]) if faces else None,
                embedding=engine.embed(frame.pixels, faces[0])
                if good and session.wants_embedding
                else None,
            )
        )
        progress = session.observe(seen[-1])
        customer.follow(progress.move, at_ms, progress.colour)
        at_ms, finished = customer.next_ms(at_ms), progress.finished
    return seen


def since_ms(start: float) -> float:
    return 1000 * (time.process_time() - start)


def timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.process_time()
    result = call()
    return result, since_ms(start)


if __name__ == "__main__":
    main()
