"""Holds the trial on folders of photos to its limits: no impostor, few genuine refusals.

    python -m benchmarks.people FACES

FACES holds ``people``, ``celebrities`` and ``orl``, each with one folder a person. Every trial
is one ``countenance demo --people``; prints one line a trial and exits 1 when one misses.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click

TRIAL_TIMEOUT_S = 300


@click.command()
@click.argument("faces", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(faces: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder)
        for name in ("people", "celebrities"):
            for person in sorted((faces / name).iterdir()):
                if person.is_dir():
                    (both / f"{name}-{person.name}").symlink_to(person.resolve())
        trials = [
            trial("people and celebrities", both, "open", 0.95),
            trial("people and celebrities", both, "pip", 0.80),
            trial("orl", faces / "orl", "open", 0.97, "--upscale", "3"),
        ]
    sys.exit(0 if all(trials) else 1)


def trial(name: str, people: Path, pack: str, genuine_min: float, *options: str) -> bool:
    command = [sys.executable, "-m", "countenance.cli", "demo", "--people", str(people)]
    command += ["--pack", pack, *options, "--headless", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=TRIAL_TIMEOUT_S, check=True)
    counts = json.loads(done.stdout.splitlines()[-1])
    approved, attempts = counts["genuine_approved"], counts["genuine_attempts"]
    impostors = counts["impostor_approved"]
    good = impostors == 0 and attempts > 0 and approved >= genuine_min * attempts
    print(
        f"{name}, pack {pack}: {approved} of {attempts} genuine (at least {genuine_min:.0%}), "
        f"{impostors} of {counts['impostor_attempts']} impostors (none): "
        f"{'met' if good else 'MISSED'}",
        flush=True,
    )
    return good


if __name__ == "__main__":
    main()
