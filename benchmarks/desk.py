"""What the passive network says of a recording of a desk: a person, and attacks held up beside him.

    python -m benchmarks.desk ../shared/videos/live_print_replay_desk.gif [--pack open]

The recording is a GIF of 256 colours, which no camera is; the parts are those of its description.
Of each part: the network's medians over the frames, for the face that it takes for least and for
most alive. A person is in every part, so the second should be high throughout, and the first low
where something is held up.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from face_engine.engine import Engine
from liveness.rig.recording import Recording

PARTS = {
    "live": ((0, 11), (26, 29), (46, 53), (66, 69)),
    "a phone that replays himself": ((30, 33), (36, 45)),
    "a printed photo": ((54, 65),),
    "a phone that shows somebody": ((70, 75),),
    "a phone that shows four faces": ((78, 84),),
}


@click.command()
@click.argument("gif", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pack", default="open", show_default=True)
def main(gif: Path, pack: str) -> None:
    engine, recording = Engine.open(pack), Recording(gif)
    scores, at_ms = [], 0
    while (next_ms := recording.next_ms(at_ms)) is not None:
        at_ms = next_ms
        pixels = recording.frame(at_ms).pixels
        found = [engine.passive(pixels, face) for face in engine.detect(pixels)]
        scores.append([score for score in found if score is not None])
    table = Table("part", "frames", "least alive", "most alive", title=f"{gif.name}, pack {pack}")
    for part, spans in PARTS.items():
        seen = [each for first, last in spans for each in scores[first : last + 1] if each]
        least, most = (median(choose(each) for each in seen) for choose in (min, max))
        table.add_row(part, str(len(seen)), f"{least:.2f}", f"{most:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
