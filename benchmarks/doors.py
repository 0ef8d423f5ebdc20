"""What a door's bundle costs, and how soon a door decides, asking the service or alone.

    python -m benchmarks.doors [--json]

Service, database, door and this all run on one core. The people's references are stored as an
enrolment stores them, five each, the most that there may be, of made-up faces; one person is
rendered and enrolled as any customer is. A bundle is built by the service over HTTP, written and
opened by the door; what a process takes to start with it, and the memory, is told of a fresh
process. A decision is timed from the moment when the camera handed over the last frame that it
needs, until the lock is told: detection and embedding of that frame, evidence, its answer, what
is taken down on disk. Doors that ask and doors on their own take turns, ABBA.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click
import cv2
import numpy as np
import skimage.data
from rich.console import Console
from rich.table import Table

from access.rules import Grant
from access.schedule import Schedule, find_time_zone
from benchmarks.decisions import temporary_home
from benchmarks.processors import Used, read
from countenance.house import House
from countenance.output import emit_json
from countenance.stage import set_stage
from face_engine.catalogue import load_pack
from face_engine.engine import Engine
from face_engine.types import Embedding, Face, Frame, Pixels
from liveness.rig.presentation import live_customer
from service.access import places
from service.access.places import Failure
from service.clock import unix_ms
from service.enrolment import accounts
from service.enrolment.accounts import StoredReference
from service.verification.policy import default_policy
from service.verification.protection import Slot, new_data_key, protect
from terminal_client.camera import SimulatedCamera
from terminal_client.door import entry
from terminal_client.door_link import BUNDLE, Health, Link
from terminal_client.errors import UsageError
from terminal_client.exchange import COMPLETED, Word
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.standalone import BUNDLE_FILE, Desk, LoneTerminal, Standalone
from terminal_client.terminal import Terminal
from terminal_client.transport import HttpTransport, Reply
from wire.codec import MAX_MESSAGE_BYTES
from wire.ids import AccountId, DoorId
from wire.messages import REFERENCES_MAX, Decision, Direction, EnrolmentContext, TerminalKind

BUILT_S_MAX, BYTES_MAX, LOADED_S_MAX, DECIDED_MS_MAX = 5.0, 4_000_000, 1.0, 150.0
PACK, CLAIM = "pip", "badge:26-0a1b2c40"
ONLINE, ALONE = "asking the service", "alone"
FOREVER_MS = 2**50
BATCH = 250


@dataclass
class TimedWay:
    """The way to the service; ``took_s`` and ``bytes`` are of the last bundle."""

    http: HttpTransport
    took_s: float = 0.0
    size: int = 0

    def exchange(
        self, path: str, body: bytes, *, timeout_s: float, bytes_max: int = MAX_MESSAGE_BYTES
    ) -> Reply:
        began = time.perf_counter()
        reply = self.http.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if path == BUNDLE:
            self.took_s, self.size = time.perf_counter() - began, len(reply.body)
        return reply


class TimedCamera(SimulatedCamera):
    """When the newest frame was handed over, by the clock and in the process's own time."""

    last_ns = last_used_ns = 0

    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            self.last_ns, self.last_used_ns = time.perf_counter_ns(), time.process_time_ns()
            yield frame


@dataclass(frozen=True, slots=True)
class Person:
    pixels: Pixels
    face: Face

    def camera(self, seed: int) -> TimedCamera:
        return TimedCamera(live_customer(self.pixels, self.face, seed=seed))


@dataclass
class Bench:
    house: House
    url: str
    home: Path
    engine: Engine
    person: Person
    server: int

    @property
    def parts(self) -> dict[str, int]:
        """The first processes of what a bundle is made by."""
        pid_file = self.house.settings.home / "postgres" / "postmaster.pid"
        return {"service": self.server, "PostgreSQL": int(pid_file.read_text().split()[0])}

    def fill(self, people: int, door: DoorId) -> None:
        """People as an enrolment by face leaves them, who are granted at the door."""
        random, made, keys = np.random.default_rng(1), 0, self.house.keys
        consent, pack = default_policy().consent_version, load_pack(PACK)
        while made < people:
            number = min(BATCH, people - made)
            with self.house.database.transaction() as conn:
                for seed in range(made, made + number):
                    account, data_key = AccountId.new(), new_data_key()
                    vectors = random.normal(size=(REFERENCES_MAX, pack.embedder.dimensions))
                    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                    slots = [
                        Slot(account=account, model_id=pack.model_id, version=version)
                        for version in range(1, REFERENCES_MAX + 1)
                    ]
                    accounts.create(
                        conn,
                        account,
                        claim_hash=keys.claim_hash(f"card:{seed}"),
                        blinded=keys.blind(f"card:{seed}"),
                        consent_version=consent,
                        wrapped_key=keys.wrap(data_key, account),
                        holder_mode=False,
                        pin_hash=None,
                        references=[
                            StoredReference(
                                slot=slot,
                                ciphertext=protect(
                                    Embedding(
                                        vector=vector.astype(np.float32), model_id=pack.model_id
                                    ),
                                    slot,
                                    data_key=data_key,
                                    holder_share=None,
                                    transform_key=keys.transforms,
                                ),
                            )
                            for slot, vector in zip(slots, vectors, strict=True)
                        ],
                        now_ms=unix_ms(),
                    )
                    places.set_grant(conn, account, door, always())
            made += number

    def terminal(self, kind: TerminalKind, door: DoorId | None = None) -> Terminal:
        name = kind.name.lower()
        _, code = self.house.operations.add_terminal(kind, name, door=door)
        home = self.home / name
        terminal = Terminal(
            Keystore(home), Outbox(home / "outbox.db"), HttpTransport(self.url), self.engine
        )
        terminal.register(code, kind)
        return terminal

    def enrol(self) -> AccountId:
        account = AccountId.new()
        context = EnrolmentContext(
            account=account, consent_version=default_policy().consent_version
        )
        with self.terminal(TerminalKind.ENROLMENT) as station:
            ended = station.attempt(context, CLAIM, self.person.camera(1), pin="2468")
        if not ended.approved:
            raise UsageError(f"the rendered customer was not enrolled: {ended}")
        return account


def always() -> Grant:
    return Grant(
        schedule=Schedule.parse("Mon-Fri 06:00-20:00; Sat-Sun 00:00-24:00; Mon-Fri 20:00-06:00"),
        time_zone=find_time_zone("UTC"),
        valid_from_ms=0,
        valid_until_ms=FOREVER_MS,
    )


@click.command()
@click.option("--people", default=5_000, show_default=True)
@click.option("--entries", default=20, show_default=True, help="Of each way.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option("--load", type=click.Path(path_type=Path), hidden=True)
def main(people: int, entries: int, as_json: bool, load: Path | None) -> None:
    if load is not None:
        emit_json(start_with_bundle(load))
        return
    console = Console(stderr=as_json)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    cv2.setNumThreads(1)
    with temporary_home() as home, ExitStack() as stack:
        stage = stack.enter_context(set_stage(home / "service", level=None, worker=False))
        engine = Engine.open(PACK)
        pixels = np.asarray(cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR), np.uint8)
        person = Person(pixels, engine.detect(pixels)[0])
        bench = Bench(stage.house, stage.url, home, engine, person, stage.server.pid)
        door = stage.house.operations.add_door("Front", None, Failure.SECURE)
        console.print(f"{people} people are being enrolled …")
        bench.fill(people - 1, door)
        account = bench.enrol()
        with stage.house.database.transaction() as conn:
            places.set_grant(conn, account, door, always())
        figures = measure(bench, door, entries)
    console.print(table(figures))
    if as_json:
        emit_json(figures)
    if any(met == MISSED for *_, met in rows(figures)):
        sys.exit(1)


def measure(bench: Bench, door: DoorId, entries: int) -> dict[str, Any]:
    terminal = bench.terminal(TerminalKind.DOOR, door)
    keystore, identity = terminal.keystore, terminal.identity
    home = bench.home / "door"
    way = TimedWay(HttpTransport(bench.url))
    with terminal, closing(Standalone(home, keystore, identity)) as standalone:
        link = Link(
            standalone,
            keystore,
            identity,
            way,
            bench.engine.model_id,
            lambda: Health(camera=True, lock=True),
        )
        before = read(bench.parts)
        link.turn()
        used = Used.between(before, read(bench.parts)).named
        if standalone.bundle is None:
            raise UsageError(f"the door has no bundle: {standalone.fault}")
        alone = LoneTerminal(
            keystore,
            terminal.outbox,
            Desk(standalone, keystore, identity),
            bench.engine,
            unix_ms=standalone.clock,
        )
        took = decide(bench, {ONLINE: terminal, ALONE: alone}, entries)
    loaded = subprocess.run(
        [sys.executable, "-m", "benchmarks.doors", "--load", str(home)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return {
        "built_s": round(way.took_s, 2),
        "built_processor_s": round(sum(used.values()), 2),
        "bytes": way.size,
        **json.loads(loaded.stdout.splitlines()[-1]),
        "decided_ms": {name: told(each) for name, each in took.items()},
        "alone_to_asking": round(middle(took[ALONE]) / middle(took[ONLINE]), 2),
    }


def told(took: list[tuple[float, float]]) -> dict[str, float]:
    clock = [each for each, _ in took]
    return {
        "median": round(median(clock), 1),
        "p95": round(quantiles(clock, n=20, method="inclusive")[-1], 1),
        "longest": round(max(clock), 1),
        "processor": round(median(used for _, used in took), 1),
    }


def middle(took: list[tuple[float, float]]) -> float:
    return median(clock for clock, _ in took)


def decide(
    bench: Bench, ways: dict[str, Terminal], entries: int
) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds from the last frame to the order to the lock, by the clock and of the door's
    processor time; the first of each way do not count."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(entries + 1):
        for name in (ONLINE, ALONE) if number % 2 else (ALONE, ONLINE):
            terminal, camera = ways[name], bench.person.camera(10 + number)
            commanded = list[tuple[float, float]]()

            def act(
                _: Decision,
                camera: TimedCamera = camera,
                commanded: list[tuple[float, float]] = commanded,
            ) -> Word:
                clock_ns = time.perf_counter_ns() - camera.last_ns
                commanded.append(
                    (clock_ns / 1e6, (time.process_time_ns() - camera.last_used_ns) / 1e6)
                )
                return COMPLETED

            context = entry(terminal.identity, Direction.IN)
            ended = terminal.attempt(context, CLAIM, camera, act=act, colours=False)
            if not commanded:
                raise UsageError(f"the rendered customer was not let in, {name}: {ended.reason}")
            if number:
                took[name] += commanded
    return took


def start_with_bundle(home: Path) -> dict[str, Any]:
    """Of a door's process that starts with a bundle on its disk, as against one without."""
    keystore = Keystore(home)
    identity = keystore.identity
    if identity is None:
        raise UsageError("not a door's home")
    bundle, aside = home / BUNDLE_FILE, home / "aside"
    bundle.rename(aside)
    without = timed(lambda: Standalone(home, keystore, identity).close())
    aside.rename(bundle)
    before_kib = resident_kib()
    began, used = time.perf_counter(), time.process_time()
    with closing(Standalone(home, keystore, identity)) as standalone:
        loaded_s, used_s = time.perf_counter() - began, time.process_time() - used
        if standalone.fault is not None:
            raise UsageError(f"the bundle was not taken: {standalone.fault.name}")
        after_kib = resident_kib()
    return {
        "loaded_s": round(loaded_s, 3),
        "loaded_processor_s": round(used_s, 3),
        "started_without_s": round(without, 3),
        "memory_mib": round((after_kib - before_kib) / 1024, 1),
    }


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def resident_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("Linux tells how much memory a process has")


MET, WAITED, MISSED = "met", "met, but for waiting", "MISSED"


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """What, by the clock, of the processor, the limit, and whether that is met.

    Where other work has the core meanwhile, the clock tells of that; who does the work itself
    takes so much of the processor, and no longer where it has it alone.
    """
    built, size, loaded = figures["built_s"], figures["bytes"], figures["loaded_s"]
    parts = (
        ("built, and brought over HTTP", built, figures["built_processor_s"], BUILT_S_MAX),
        ("loaded by the door", loaded, figures["loaded_processor_s"], LOADED_S_MAX),
    )
    found = [
        (what, f"{clock} s", f"{used} s", f"{limit} s", _met(clock, used, limit))
        for what, clock, used, limit in parts
    ]
    small = MET if size <= BYTES_MAX else MISSED
    found.append(("size", f"{size / 1e6:.2f} MB", "", f"{BYTES_MAX / 1e6:.0f} MB", small))
    found.append(("memory of a door for it", f"{figures['memory_mib']} MiB", "", "", ""))
    for name, each in figures["decided_ms"].items():
        clock = f"{each['median']} ms, 95 %: {each['p95']}, longest {each['longest']}"
        met = _met(each["p95"], each["processor"], DECIDED_MS_MAX)
        limit, used = f"{DECIDED_MS_MAX:.0f} ms", f"{each['processor']} ms, the door's"
        found.append((f"decided, {name}", clock, used, limit, met))
    return [*found, ("alone to asking, medians", f"{figures['alone_to_asking']}", "", "", "")]


def _met(clock: float, used: float, limit: float) -> str:
    if clock <= limit:
        return MET
    return WAITED if used <= limit else MISSED


def table(figures: dict[str, Any]) -> Table:
    shown = Table("what", "by the clock", "processor", "at most", "")
    for row in rows(figures):
        shown.add_row(*row)
    return shown


if __name__ == "__main__":
    main()
