"""What a rendered frame costs on one core, by species.

    python -m benchmarks.rig

CPU time of this process, so that other work on the machine counts little; a display that plays
a recording renders two frames for each. Prints one line a species beside ``LIMIT_MS``.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import skimage.data

from face_engine.engine import Engine
from liveness.challenge import Colour, Move
from liveness.rig.head import Portrait
from liveness.rig.presentation import frame_portrait
from liveness.rig.species import LIVE, SPECIES, Species

LIMIT_MS = 8.0
FRAMES = 90
SEEDS = range(4)
ASKED = (None, Move.LEFT, Move.CLOSER)


def main() -> None:
    cv2.setNumThreads(1)
    pixels = np.asarray(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)
    portrait = frame_portrait(pixels, Engine.open("pip").detect(pixels)[0])
    for species in (LIVE, *SPECIES.values()):
        ms = float(np.mean([frame_ms(species, portrait, seed) for seed in SEEDS]))
        print(f"{species.name:18} {ms:5.1f} ms a frame, {ms / LIMIT_MS:.1f} of {LIMIT_MS:.0f} ms")


def frame_ms(species: Species, portrait: Portrait, seed: int) -> float:
    presentation = species.present(portrait, seed)
    at_ms, started = 0, 0.0
    for number in range(-5, FRAMES):
        if number == 0:
            started = time.process_time()
        asked = ASKED[max(number, 0) * len(ASKED) // FRAMES]
        presentation.follow(asked, at_ms, Colour.GREEN if asked is Move.CLOSER else None)
        at_ms = presentation.next_ms(at_ms) or at_ms + 1
        presentation.frame(at_ms)
    return (time.process_time() - started) / FRAMES * 1000


if __name__ == "__main__":
    main()
