"""Photos of known people, embedded: what evaluations and calibrations are made from.

Guarantees: a picture that cannot be read, or shows no face, is named with its reason and never
ends the run; of several faces the largest counts. Pixels are not kept.

The caller must still bring folders in which nobody appears under two names.
Term: ISO/IEC 19795-1 (corpus, failure to enrol).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from face_engine.align import CHIPS, cut_chip
from face_engine.engine import Engine
from face_engine.pictures import PictureError, enlarge, read_picture
from face_engine.types import Embedding, Face, Pixels

PICTURES_MAX = 5_000
PAIRS_MAX = 1_000_000
GROUP_FILE = "group"
GROUP_CHARACTERS_MAX = 40
STAGES = ("detect", "align", "embed")


class CorpusError(Exception):
    """Folders or a list of pairs that cannot be evaluated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A file; ``person`` is an index; small pictures are enlarged ``upscale`` times."""

    path: Path
    person: int
    upscale: int = 1

    def read(self) -> Pixels:
        """Raises :class:`PictureError`."""
        pixels = read_picture(self.path)
        return enlarge(pixels, self.upscale) if self.upscale > 1 else pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A picture whose largest face was embedded; ``faces`` counts all that were seen."""

    picture: Picture
    face: Face
    faces: int
    embedding: Embedding


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    picture: Picture
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who is in which picture; ``groups``: the group of each person, or None."""

    people: tuple[str, ...]
    groups: tuple[str | None, ...]
    pictures: tuple[Picture, ...]

    def __add__(self, other: Roster) -> Roster:
        shift = len(self.people)
        moved = (replace(picture, person=picture.person + shift) for picture in other.pictures)
        return Roster(
            people=self.people + other.people,
            groups=self.groups + other.groups,
            pictures=(*self.pictures, *moved),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corpus:
    """``ms``: for each of ``STAGES`` the milliseconds of every sample."""

    roster: Roster
    samples: tuple[Sample, ...]
    missed: tuple[Missed, ...]
    ms: dict[str, tuple[float, ...]]

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(samples, dimensions); raises :class:`CorpusError` where there are none."""
        if not self.samples:
            raise CorpusError("no face was found in any picture")
        return np.stack([sample.embedding.vector for sample in self.samples])

    @property
    def owners(self) -> NDArray[np.int64]:
        """(samples,): whose picture each is."""
        return np.array([sample.picture.person for sample in self.samples], np.int64)

    @property
    def median_ms(self) -> dict[str, float]:
        return {stage: float(np.median(times)) for stage, times in self.ms.items() if times}


def list_people(roots: Iterable[Path], *, upscale: int = 1) -> Roster:
    """The folders of people in ``roots``; raises :class:`CorpusError`."""
    names: list[str] = []
    groups: list[str | None] = []
    pictures: list[Picture] = []
    for folder in (path for root in roots for path in sorted(root.iterdir()) if path.is_dir()):
        pictures += [
            Picture(path=path, person=len(names), upscale=upscale)
            for path in sorted(folder.iterdir())
            if path.is_file() and path.name != GROUP_FILE and not path.name.startswith(".")
        ]
        names.append(folder.name)
        groups.append(_group(folder))
    if len(pictures) > PICTURES_MAX:
        raise CorpusError(f"{len(pictures)} pictures: at most {PICTURES_MAX} at once")
    return Roster(people=tuple(names), groups=tuple(groups), pictures=tuple(pictures))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """``pairs``: (n, 2), indices of the roster's pictures; ``same``: (n,), of one person."""

    roster: Roster
    pairs: NDArray[np.int64]
    same: NDArray[np.bool_]


def list_pairs(path: Path, *, upscale: int = 1) -> Pairs:
    """Reads a CSV with the columns image_a, image_b (beside the CSV) and same_person (1 or 0).

    People are what the same-person pairs connect. Raises :class:`CorpusError`.
    """
    rows = _read_pairs(path)
    files = sorted({name for one, two, _ in rows for name in (one, two)})
    if len(files) > PICTURES_MAX:
        raise CorpusError(f"{path.name} names {len(files)} pictures: at most {PICTURES_MAX}")
    number = {name: index for index, name in enumerate(files)}
    pairs = np.array([(number[one], number[two]) for one, two, _ in rows], np.int64)
    same = np.array([label for _, _, label in rows], np.bool_)
    first, owners = _connect(len(files), pairs[same])
    if (owners[pairs[~same, 0]] == owners[pairs[~same, 1]]).any():
        raise CorpusError(f"{path.name} says of one pair that it is the same person, and is not")
    pictures = tuple(
        Picture(path=path.parent / name, person=int(owner), upscale=upscale)
        for name, owner in zip(files, owners, strict=True)
    )
    people = tuple(files[index] for index in first)
    groups = (None,) * len(people)
    roster = Roster(people=people, groups=groups, pictures=pictures)
    return Pairs(roster=roster, pairs=pairs, same=same)


def embed_roster(engine: Engine, roster: Roster, done: Callable[[], None] = lambda: None) -> Corpus:
    """Embeds every picture; calls ``done`` after each."""
    samples: list[Sample] = []
    missed: list[Missed] = []
    times: list[tuple[float, ...]] = []
    for picture in roster.pictures:
        try:
            sample, taken = _embed(engine, picture)
            samples.append(sample)
            times.append(taken)
        except PictureError as error:
            missed.append(Missed(picture=picture, why=str(error)))
        done()
    stages = zip(*times, strict=True) if times else ((),) * len(STAGES)
    return Corpus(
        roster=roster,
        samples=tuple(samples),
        missed=tuple(missed),
        ms=dict(zip(STAGES, stages, strict=True)),
    )


def digest(pictures: Iterable[Picture]) -> str:
    """SHA-256 over the names and contents of the files that could be opened, in order."""
    whole = sha256()
    for picture in pictures:
        if picture.path.is_file():
            whole.update(f"{picture.path.parent.name}/{picture.path.name}\n".encode())
            with picture.path.open("rb") as file:
                whole.update(sha256(file.read()).digest())
    return whole.hexdigest()


def _embed(engine: Engine, picture: Picture) -> tuple[Sample, tuple[float, ...]]:
    pixels = picture.read()
    started = perf_counter()
    faces = engine.detect(pixels)
    detected = perf_counter()
    if not faces:
        raise PictureError(f"no face was found in {picture.path.name}")
    cut_chip(pixels, faces[0], CHIPS[engine.pack.embedder.alignment])
    aligned = perf_counter()
    embedding = engine.embed(pixels, faces[0])
    align_s = aligned - detected
    # The embedder aligns for itself.
    embed_s = perf_counter() - aligned - align_s
    sample = Sample(picture=picture, face=faces[0], faces=len(faces), embedding=embedding)
    return sample, tuple(1000 * part for part in (detected - started, align_s, embed_s))


def _group(folder: Path) -> str | None:
    try:
        with (folder / GROUP_FILE).open(encoding="utf-8") as file:
            return file.read(GROUP_CHARACTERS_MAX).strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _read_pairs(path: Path) -> list[tuple[str, str, bool]]:
    rows: list[tuple[str, str, bool]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["same_person"] not in ("0", "1"):
                    raise CorpusError(f"{path.name}: same_person is 1 or 0")
                rows.append((row["image_a"], row["image_b"], row["same_person"] == "1"))
                if len(rows) > PAIRS_MAX:
                    raise CorpusError(f"{path.name} has more than {PAIRS_MAX:,} pairs")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path.name} cannot be read") from error
    except KeyError as error:
        raise CorpusError(f"{path.name} has no column {error}") from error
    if not rows or any(not one or not two or one == two for one, two, _ in rows):
        raise CorpusError(f"{path.name} has no pairs, or pairs without two pictures")
    return rows


def _connect(count: int, links: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of ``count`` things: the first of each connected part, and the part of each thing."""
    root = list(range(count))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for one, two in links:
        root[find(int(one))] = find(int(two))
    roots = [find(one) for one in range(count)]
    _, first, part = np.unique(roots, return_index=True, return_inverse=True)
    return first.astype(np.int64), part.astype(np.int64)
