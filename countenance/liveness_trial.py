"""A trial of the liveness checks: people and attacks from the rig, and real recordings.

Guarantees: plans are drawn by the service's own rule from nonces of the seed; the same seed
gives the same results, whatever the number of processes. People are split by ``half``, so that
what is fitted on one half can be tested on the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import cv2

from face_engine.calibration import shipped
from face_engine.corpus import Roster
from face_engine.engine import Engine
from face_engine.pictures import PictureError
from face_engine.quality import PROBE, find_flaw
from face_engine.types import Frame
from liveness.challenge import Colour, Move, Plan, Step
from liveness.evaluate import (
    LIVE,
    Attacks,
    Evaluation,
    Guessing,
    Result,
    attempt,
    guess_plans,
    summarise,
    watch,
)
from liveness.rig.head import Portrait
from liveness.rig.presentation import frame_portrait
from liveness.rig.recording import Recording, is_recording
from liveness.rig.species import GUESSED, MOVES_GUESSED, SPECIES
from liveness.rig.species import LIVE as LIVE_SPECIES
from liveness.session import Progress
from liveness.types import Level
from wire.messages import Level as WireLevel
from wire.plan import draw_plan, plans_at

HALVES = ("all", "even", "odd")
SAME_PERSON_FMR = 1e-3
RECORDINGS_MAX = 10_000
# A file's frame times and repeats are the file's, not those of the camera that made it.
NOT_IN_A_FILE = frozenset({"injection"})
RECORDED = ("phone_recording", "tablet_recording", "virtual_recording")
PICTURE_SIZE = (320, 240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``colours``: whether the terminal's screen shows them."""

    pack: str
    level: Level
    seed: int
    colours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt: by ``index``, a species of the rig, or a recording of ``path``."""

    species: str
    index: int
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """``jpeg`` of a moment of a species' first attempt."""

    moment: str
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    task: Task
    result: Result
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Everything that is shown of it. ``people`` are those of the portraits."""

    settings: Settings
    people: tuple[str, ...]
    evaluation: Evaluation
    pictures: dict[str, tuple[Picture, ...]]
    guessing: Guessing | None

    def to_json(self) -> dict[str, object]:
        evaluation, live = self.evaluation, self.evaluation.live
        document: dict[str, object] = {
            "seed": self.settings.seed,
            "level": self.settings.level.value,
            "species": {
                name: {
                    "attempts": attacks.attempts,
                    "accepted": attacks.accepted,
                    "apcer": round(attacks.apcer, 6),
                    "apcer_upper95": round(attacks.apcer_upper95, 6),
                }
                for name, attacks in evaluation.species.items()
            },
            "live": {
                "attempts": live.attempts,
                "rejected": live.rejected,
                "undecided": live.undecided,
                "bpcer": round(live.bpcer, 6),
            },
            "verdict_ms_p50": evaluation.verdict_ms_p50,
        }
        if self.guessing is not None:
            document["guessing"] = {
                "tries": self.guessing.tries,
                "plans": self.guessing.plans,
                "matched": self.guessing.matched,
                "moves_matched": self.guessing.moved,
                "moves_accepted": self.guessing.moves.accepted,
                "moves_attempts": self.guessing.moves.attempts,
                "accepted": round(self.guessing.accepted, 6),
                "allowed": self.guessing.allowed,
            }
        return document


def choose_portraits(
    engine: Engine, roster: Roster, *, seed: int, half: str
) -> list[tuple[str, Portrait]]:
    """Of each person of the half the first photo with one good face, in an order by the seed.

    Who is in which half does not depend on the seed: a new seed shows nobody of the other half.
    """
    people = list(range(len(roster.people)))
    random.Random(0).shuffle(people)  # noqa: S311 (a split, not a secret)
    kept = people if half == "all" else people[HALVES.index(half) - 1 :: 2]
    random.Random(seed).shuffle(kept)  # noqa: S311 (an order, not a secret)
    chosen = []
    for person in kept:
        pictures = (picture for picture in roster.pictures if picture.person == person)
        for picture in pictures:
            try:
                pixels = picture.read()
            except PictureError:
                continue
            faces = engine.detect(pixels)
            if len(faces) == 1 and find_flaw(pixels, faces, PROBE) is None:
                chosen.append((roster.people[person], frame_portrait(pixels, faces[0])))
                break
    return chosen


def rig_tasks(names: Sequence[str], attempts: int) -> list[Task]:
    """``attempts`` of each species, alternating, so that the time left can be told."""
    return [Task(species=name, index=index) for index in range(attempts) for name in names]


def media_tasks(folder: Path) -> list[Task]:
    """The recordings in ``live`` and in one folder a species."""
    places = sorted(path for path in folder.iterdir() if path.is_dir())
    tasks = [
        Task(species=place.name, index=index, path=path)
        for place in places
        for index, path in enumerate(filter(is_recording, sorted(place.iterdir())))
    ]
    return tasks[:RECORDINGS_MAX]


def nonce(seed: int, species: str, index: int) -> bytes:
    return sha256(f"{seed} {species} {index}".encode()).digest()


def plan_of(drawn: bytes, settings: Settings) -> Plan:
    """The plan that the service would draw from this nonce."""
    plan = draw_plan(drawn, WireLevel[settings.level.name], colours=settings.colours)
    return Plan(
        tuple(Step(move=Move[step.move.name], hold_ms=step.hold_ms) for step in plan.steps),
        tuple(Colour[colour.name] for colour in plan.colours),
    )


@dataclass(slots=True)
class Bench:
    """One process's engine and portraits."""

    settings: Settings
    portraits: Sequence[Portrait]
    engine: Engine = field(init=False)
    same_person_min: float = field(init=False)

    def __post_init__(self) -> None:
        # One thread: the processes share the cores, and sums keep their order.
        cv2.setNumThreads(1)
        self.engine = Engine.open(self.settings.pack)
        calibration = shipped()[self.engine.model_id]
        self.same_person_min = calibration.threshold_for(SAME_PERSON_FMR)

    def run(self, task: Task) -> Done:
        return self._present(task) if task.path is None else self._play(task, task.path)

    def _present(self, task: Task) -> Done:
        drawn = nonce(self.settings.seed, task.species, task.index)
        species = {**SPECIES, **GUESSED, **MOVES_GUESSED, LIVE: LIVE_SPECIES}[task.species]
        portrait = self.portraits[task.index % len(self.portraits)]
        presentation = species.present(portrait, int.from_bytes(drawn[:6]))
        album = Album()
        result = attempt(
            task.species,
            presentation,
            self.engine,
            plan=plan_of(sha256(drawn).digest(), self.settings),
            level=self.settings.level,
            same_person_min=self.same_person_min,
            on_frame=album.look if task.index == 0 else lambda _frame, _progress: None,
        )
        return Done(task=task, result=result, pictures=album.pictures())

    def _play(self, task: Task, path: Path) -> Done:
        recording = Recording(path)
        try:
            result = watch(
                task.species,
                recording,
                self.engine,
                level=self.settings.level,
                same_person_min=self.same_person_min,
                assumed=NOT_IN_A_FILE,
            )
        finally:
            recording.close()
        return Done(task=task, result=result, pictures=())


class Album:
    """Keeps a frame of each part of an attempt: before it, a move, and a colour."""

    def __init__(self) -> None:
        self._kept: dict[str, Frame] = {}

    def look(self, frame: Frame, progress: Progress) -> None:
        """``progress`` is what the screen showed after this frame."""
        if progress.move is not None:
            self._kept[f"asked: {progress.move.value}"] = frame
        elif progress.colour is None and len(self._kept) <= 1:
            self._kept["before"] = frame
        elif progress.colour is not None:
            self._kept["the screen's colours"] = frame

    def pictures(self) -> tuple[Picture, ...]:
        return tuple(Picture(moment=at, jpeg=_pack(frame)) for at, frame in self._kept.items())


def _pack(frame: Frame) -> bytes:
    small = cv2.resize(frame.pixels, PICTURE_SIZE, interpolation=cv2.INTER_AREA)
    packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
    return packed.tobytes()


def run(
    settings: Settings,
    portraits: Sequence[tuple[str, Portrait]],
    tasks: Sequence[Task],
    *,
    guesses: int,
    jobs: int,
    tick: Callable[[], None],
) -> Trial:
    """Carries out ``tasks``; ``tick`` is called after each."""
    faces = [portrait for _, portrait in portraits]
    done = sorted(
        _carry_out(settings, faces, tasks, jobs, tick),
        key=lambda one: (one.task.species, one.task.index),
    )
    guesses_made = {**GUESSED, **MOVES_GUESSED}
    evaluation = summarise(one.result for one in done if one.task.species not in guesses_made)
    guessed = summarise(one.result for one in done if one.task.species in guesses_made)
    return Trial(
        settings=settings,
        people=tuple(name for name, _ in portraits),
        evaluation=evaluation,
        pictures={one.task.species: one.pictures for one in done if one.pictures},
        guessing=_guess(settings, evaluation, guessed, guesses) if guesses else None,
    )


def _carry_out(
    settings: Settings,
    portraits: Sequence[Portrait],
    tasks: Sequence[Task],
    jobs: int,
    tick: Callable[[], None],
) -> Iterator[Done]:
    if jobs == 1:
        bench = Bench(settings, portraits)
        for task in tasks:
            yield bench.run(task)
            tick()
        return
    with ProcessPoolExecutor(
        jobs, get_context("spawn"), initializer=_open_bench, initargs=(settings, portraits)
    ) as pool:
        futures = [pool.submit(_run_in_bench, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
                tick()
        finally:
            pool.shutdown(cancel_futures=True)


_benches: list[Bench] = []


def _open_bench(settings: Settings, portraits: Sequence[Portrait]) -> None:
    _benches.append(Bench(settings, portraits))


def _run_in_bench(task: Task) -> Done:
    return _benches[0].run(task)


def _guess(settings: Settings, evaluation: Evaluation, guessed: Evaluation, tries: int) -> Guessing:
    """The best presentations of a guessed plan, of its moves alone, and of another."""

    def draw(index: int) -> Plan:
        return plan_of(nonce(settings.seed, "guess", index), settings)

    matched, moved = guess_plans(draw, tries)
    return Guessing(
        tries=tries,
        matched=matched,
        moved=moved,
        plans=plans_at(WireLevel[settings.level.name], colours=settings.colours),
        right=_most_accepted(guessed, GUESSED),
        moves=_most_accepted(guessed, MOVES_GUESSED),
        wrong=_most_accepted(evaluation, RECORDED),
    )


def _most_accepted(evaluation: Evaluation, names: Iterable[str]) -> Attacks:
    attacks = [evaluation.species[name] for name in names if name in evaluation.species]
    return max(attacks, key=lambda each: each.apcer)
