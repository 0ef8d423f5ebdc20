"""Makes the calibrations that ship with the packs, from folders of photos.

    python -m benchmarks.calibrate open --people DIR [--small DIR] > calibration.json

Every DIR holds one folder a person; ``--small`` is enlarged three times before detection.
All comparisons of different people count. The upper bound of the false match rate at each
threshold is the larger of two: the 95th percentile over 1,000 bootstrap samples of people
(comparisons that share a person are not independent; ISO/IEC 19795-1) of a generalized Pareto
fit to the scores' tail (Hosking and Wallis 1987, probability-weighted moments), and the rule
of three where no comparison reached the threshold. Rates below ``EXTRAPOLATION`` of one
comparison in all are not stated.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from face_engine.engine import Engine
from face_engine.pictures import PictureError, enlarge, read_picture

BOOTSTRAPS = 1000
TAIL = 0.02
EXTRAPOLATION = 0.2
SMALL_FACTOR = 3
STEP = 0.001
STATED_MAX = 0.01

Scores = NDArray[np.float64]


@click.command()
@click.argument("pack")
@click.option("--people", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--small", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seed", default=1)
def main(pack: str, people: tuple[Path, ...], small: tuple[Path, ...], seed: int) -> None:
    engine = Engine.open(pack, threads=2)
    vectors, owners, names = embed_all(engine, people, small)
    scores, first, second = impostors(vectors, owners)
    bounds = upper_bounds(scores, first, second, len(names), seed)
    best = 3 * EXTRAPOLATION / scores.size
    points = [
        (round(float(threshold), 4), float(f"{bound:.3g}"))
        for threshold, bound in bounds
        if bound >= best
    ]
    falling = [
        point
        for index, point in enumerate(points)
        if point[1] <= STATED_MAX and (not index or point[1] < points[index - 1][1])
    ]
    print(
        json.dumps(
            {
                "model_id": engine.model_id.hex(),
                "pack": pack,
                "dimensions": int(vectors.shape[1]),
                "provenance": "faces/orl, faces/people and faces/celebrities of the test "
                "material: ORL (Samaria & Harter 1994) and photos of public repositories; "
                "python -m benchmarks.calibrate",
                "people": len(names),
                "impostor_comparisons": int(scores.size),
                "points": falling,
            },
            indent=1,
        )
    )


def embed_all(
    engine: Engine, people: tuple[Path, ...], small: tuple[Path, ...]
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str]]:
    """(vectors, index of the owner of each, names)."""
    folders = [(folder, False) for root in people for folder in sorted(root.iterdir())]
    folders += [(folder, True) for root in small for folder in sorted(root.iterdir())]
    folders = [(folder, tiny) for folder, tiny in folders if folder.is_dir()]
    console = Console(stderr=True)
    vectors, owners, missed = [], [], 0
    for owner, (folder, tiny) in enumerate(track(folders, "embedding", console=console)):
        for path in sorted(folder.iterdir()):
            try:
                pixels = read_picture(path)
            except PictureError:
                continue
            pixels = enlarge(pixels, SMALL_FACTOR) if tiny else pixels
            faces = engine.detect(pixels)
            if not faces:
                missed += 1
                continue
            vectors.append(engine.embed(pixels, faces[0]).vector)
            owners.append(owner)
    console.print(f"{len(vectors)} faces of {len(folders)} people, {missed} pictures without one")
    return np.stack(vectors), np.array(owners), [folder.name for folder, _ in folders]


def impostors(
    vectors: NDArray[np.float32], owners: NDArray[np.int64]
) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Each comparison of two people's photos once: scores and the two people."""
    one, two = np.triu_indices(len(vectors), 1)
    different = owners[one] != owners[two]
    one, two = one[different], two[different]
    scores = np.einsum("ij,ij->i", vectors[one], vectors[two]).astype(np.float64)
    return scores, owners[one], owners[two]


def upper_bounds(
    scores: Scores, first: NDArray[np.int64], second: NDArray[np.int64], people: int, seed: int
) -> list[tuple[float, float]]:
    random = np.random.default_rng(seed)
    start = float(np.quantile(scores, 1 - TAIL))
    thresholds = np.arange(np.ceil(start / STEP) * STEP, 1.0, STEP)
    tail = scores > start
    rates = []
    for _ in range(BOOTSTRAPS):
        drawn = np.bincount(random.integers(0, people, people), minlength=people)
        weights = (drawn[first] * drawn[second]).astype(np.float64)
        total = weights.sum()
        rates.append(tail_rates(scores[tail] - start, weights[tail], total, thresholds - start))
    modelled = np.quantile(np.stack(rates), 0.95, axis=0)
    reached = np.array([(scores >= threshold).any() for threshold in thresholds])
    rule_of_three = np.where(reached, 0.0, 3.0 / scores.size * EXTRAPOLATION)
    falling = np.minimum.accumulate(np.maximum(modelled, rule_of_three))
    return list(zip(thresholds.tolist(), falling.tolist(), strict=True))


def tail_rates(over: Scores, weights: Scores, total: float, at: Scores) -> Scores:
    """P(score > start + at) by the fit to the weighted exceedances ``over``."""
    order = np.argsort(over)
    over, weights = over[order], weights[order]
    mass = weights.sum()
    above = 1 - (np.cumsum(weights) - weights / 2) / mass
    mean = float((over * weights).sum() / mass)
    moment = float((over * weights * above).sum() / mass)
    shape = mean / (mean - 2 * moment) - 2
    scale = 2 * mean * moment / (mean - 2 * moment)
    if abs(shape) < 1e-6:
        survival = np.exp(-at / scale)
    else:
        survival = np.clip(1 - shape * at / scale, 0, None) ** (1 / shape)
    return survival * mass / total


if __name__ == "__main__":
    main()
