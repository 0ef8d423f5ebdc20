"""Decisions a second over HTTP, beside what the same PostgreSQL commits alone.

    python -m benchmarks.decisions [--json]

The service runs as it ships: granian, embedded PostgreSQL with fsync. Its terminals make their
evidence first and then send it, one after the other each: all are threads of one process that
writes and reads sockets and verifies the answers afterwards. Limits on money are asked for, as
production must, and never reached. The limit: the very SQL statements of such an attempt, as
the service sent them, by the ``pgbench`` of the same PostgreSQL, prepared, with eight clients and
without any service; once as pgbench does it, each statement answered before the next, and once
all of an attempt in one round trip. Both share the processors with their clients. Everything is
done by turns and again, and what is told are medians of the rounds.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from threading import Barrier
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import click
import psycopg
from psycopg import ClientCursor
from rich.console import Console
from rich.table import Table

from benchmarks.processors import Reading, Used, read
from benchmarks.rate import Rate
from countenance.output import emit_json
from countenance.stage import Stage, set_stage, trial_policy
from face_engine.calibration import shipped
from service import policies
from service.authorize import Authorizer
from service.burst import Answer, Burst
from service.clock import unix_ms
from service.db import Database
from service.embedded import binaries
from service.ledger.limits import DAY_MS, Ceiling, Limits, Velocity
from terminal_client.outbox import ATTEMPT
from terminal_client.transport import CONTENT_TYPE, HttpTransport
from tests.processes.till import Mall, Prepared, Till
from wire import envelope
from wire.envelope import Signed
from wire.messages import Decision, Evidence, Level, TerminalKind

TERMINALS = (1, 8, 32)
CLIENTS = 8
START_MINOR = 10**9
TIMEOUT_S = 10.0
WAIT_MAX_S = 120
WARM_UP = 25
CHALLENGE_TTL_MS = 300_000
NEVER = Ceiling(transfer_minor=10**12, day_minor=10**13, month_minor=10**14)
LIMITS = Limits(
    account=NEVER,
    merchant=NEVER,
    terminal=NEVER,
    velocity=(
        Velocity(transfers=10**6, within_ms=600_000),
        Velocity(transfers=10**6, within_ms=DAY_MS),
    ),
)
SEPARATE, TOGETHER = "statement by statement", "an attempt in one round trip"
Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Recording:
    """The statements of one attempt; ``fresh`` are its values that no second attempt may have."""

    statements: list[Statement]
    fresh: tuple[bytes, ...]
    challenge: bytes

    def script(self, conn: psycopg.Connection[Any], *, pipelined: bool) -> str:
        """As a pgbench script, whose variable ``n`` makes the fresh values of its n-th attempt."""
        lines = ["BEGIN;"]
        render = ClientCursor(conn)
        for query, values in self.statements:
            text = render.mogrify(query, values)
            for value in self.fresh:
                text = text.replace(f"'\\x{value.hex()}'", numbered(value, ":n"))
            lines.append(" ".join(text.split()) + ";")
        lines.append("COMMIT;")
        if pipelined:
            lines = [r"\startpipeline", *lines, r"\endpipeline"]
        return "\n".join([r"\set n :n + 1", *lines, ""])

    def issue(self, conn: psycopg.Connection[Any], attempts: int) -> None:
        """A challenge for each attempt, which waits in the database."""
        conn.execute(
            f"""INSERT INTO challenges SELECT {numbered(self.challenge, "n")}, nonce, terminal_id,
            context, plan, level, pin_required, policy_version, issued_at_ms, expires_at_ms, NULL
            FROM challenges, generate_series(1, {attempts}) AS n WHERE challenge_id = %s""",
            (self.challenge,),
        )


def numbered(value: bytes, number: str) -> str:
    """SQL for another value of the same length for each number."""
    return f"('\\x{value[:-4].hex()}'::bytea || int4send({number}))"


@click.command()
@click.option("--payments", default=600, show_default=True, help="Of all terminals together.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--workers", default=None, type=int, help="Processes of the service.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(payments: int, rounds: int, workers: int | None, as_json: bool) -> None:
    console = Console(stderr=as_json)
    customers = rounds * max(TERMINALS)
    with (
        temporary_home() as home,
        open_market(home, workers=workers, customers=customers) as market,
    ):
        done = []
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds} …")
            done.append(market.round(number, payments))
    console.print(f"Python {sys.version.split()[0]}, {market.statements} statements an attempt")
    console.print(table(done))
    if as_json:
        emit_json(
            {
                "statements": market.statements,
                **{name: told(done, name) for name in done[0]},
            }
        )


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that the database's user may enter, too; nothing is left of it."""
    home = Path(tempfile.mkdtemp(prefix="countenance-bench-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def open_market(
    home: Path, *, workers: int | None = None, tills: int = max(TERMINALS), customers: int
) -> Iterator[Market]:
    """A service with its own database in ``home``, customers, and registered terminals."""
    for name in ("COUNTENANCE_DATABASE_URL", "COUNTENANCE_BROKER_URL"):
        os.environ.pop(name, None)
    with set_stage(home, level=Level.NONE, worker=False, workers=workers) as stage:
        policy = replace(
            trial_policy(Level.NONE),
            challenge_ttl_ms=CHALLENGE_TTL_MS,
            limits={"payment": LIMITS, "withdrawal": LIMITS},
        )
        with stage.house.database.transaction() as conn:
            policies.publish(conn, policy, stage.house.keys.signing, now_ms=unix_ms())
        yield Market.open(stage, home, tills=tills, customers=customers)


@dataclass(frozen=True, slots=True)
class Measured:
    rate: Rate
    used: Used

    def ms(self, name: str) -> float:
        """Of a processor, for each that was done."""
        return self.used.named[name] * 1000 / len(self.rate.latencies_ms)


Round = Mapping[str, Measured]


@dataclass
class Market:
    """Terminals of one merchant, and customers who pay at them."""

    stage: Stage
    home: Path
    mall: Mall
    tills: list[Till]
    customers: list[int]
    statements: int = 0

    @classmethod
    def open(cls, stage: Stage, home: Path, *, tills: int, customers: int) -> Market:
        mall, line = Mall(stage.house), HttpTransport(stage.url)
        station = mall.add_till(TerminalKind.ENROLMENT, line)
        for _ in range(customers):
            mall.enrol(station, START_MINOR)
        stores = [mall.add_till(TerminalKind.STORE, line) for _ in range(tills)]
        return cls(stage, home, mall, stores, list(mall.accounts))

    def round(self, number: int, payments: int) -> Round:
        """Everything once, with customers of its own."""
        width = max(TERMINALS)
        customers = self.customers[number * width :][:width]
        done = {}
        for terminals in TERMINALS:
            done[of(terminals)] = self.measure(terminals, payments // terminals, customers)
        for way in (SEPARATE, TOGETHER):
            recordings = [
                record(self.stage, self.prepare(till, customers[till])) for till in range(CLIENTS)
            ]
            self.statements = len(recordings[0].statements)
            done[way] = self.bench(recordings, payments // CLIENTS, pipelined=way is TOGETHER)
        return done

    def prepare(self, till: int, customer: int) -> Prepared:
        return self.tills[till].prepare(self.mall.payment(100, "order"), customer)

    def measure(self, terminals: int, payments: int, customers: Sequence[int]) -> Measured:
        """``payments`` of each terminal, after a few that open the service's connections.

        No two terminals have a customer in common.
        """
        work = [
            [
                self.prepare(till, customer).evidence
                for customer in islice(cycle(customers[till::terminals]), WARM_UP + payments)
            ]
            for till in range(terminals)
        ]
        readings: list[Reading] = []
        start = Barrier(terminals, lambda: readings.append(self.read()))
        with ThreadPoolExecutor(terminals) as threads:
            done = list(threads.map(lambda pieces: pay(self.stage.url, pieces, start), work))
        readings.append(self.read())
        for answer in (each for answers, _ in done for each in answers):
            assert envelope.parse(answer, Decision).message.approved
        return Measured(Rate.of([times for _, times in done]), Used.between(*readings))

    def bench(self, recordings: Sequence[Recording], attempts: int, *, pipelined: bool) -> Measured:
        """Each recording again and again, by a pgbench of its own."""
        url = self.stage.house.url
        scripts = [self.home / f"{number}.sql" for number in range(len(recordings))]
        for recording, script in zip(recordings, scripts, strict=True):
            with psycopg.connect(url) as conn:
                recording.issue(conn, attempts)
                script.write_text(recording.script(conn, pipelined=pipelined))
        before = self.read()
        with ThreadPoolExecutor(len(scripts)) as threads:
            done = list(threads.map(lambda script: replay(url, script, attempts), scripts))
        return Measured(Rate.of(done), Used.between(before, self.read()))

    def read(self) -> Reading:
        pid_file = self.stage.house.settings.home / "postgres" / "postmaster.pid"
        postgres = int(pid_file.read_text().split()[0])
        return read(
            {"service": self.stage.server.pid, "PostgreSQL": postgres, "clients": os.getpid()}
        )


def of(terminals: int) -> str:
    return f"{terminals} terminal{'s' * (terminals > 1)}"


def pay(url: str, pieces: Sequence[bytes], start: Barrier) -> tuple[list[bytes], list[float]]:
    """The answers over one connection; when it began, and when each was there.

    They are read and not looked at, so that the client takes little of the machine.
    """
    parts = urlsplit(url)
    head = f"POST {ATTEMPT} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    requests = [f"{head}Content-Length: {len(each)}\r\n\r\n".encode() + each for each in pieces]
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT_S) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers, times = [], [0.0]
        for number, request in enumerate(requests):
            if number == WARM_UP:
                start.wait(WAIT_MAX_S)
                times = [time.perf_counter()]
            line.sendall(request)
            answers.append(receive(line))
            times.append(time.perf_counter())
    return answers, times


def receive(line: socket.socket) -> bytes:
    """The body of an answer that has a Content-Length."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += line.recv(65536) or lost()
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 200"), lines[0]
    length = next(int(each[15:]) for each in lines if each.startswith(b"content-length:"))
    while len(body) < length:
        body += line.recv(65536) or lost()
    return body


def lost() -> bytes:
    raise ConnectionError("the service closed the connection")


@contextmanager
def recording() -> Iterator[list[Statement]]:
    """What bursts execute meanwhile."""
    execute, found = Burst.execute, []

    def keep(burst: Burst, query: str, params: Any = None) -> Answer:
        found.append((query, params or ()))
        return execute(burst, query, params)

    with patch.object(Burst, "execute", keep):
        yield found


def record(stage: Stage, prepared: Prepared) -> Recording:
    """What one approved attempt sends to the database between BEGIN and COMMIT."""
    with closing(Database.open(stage.house.url, size=1)) as database:
        authorizer = Authorizer(database, stage.house.keys, shipped(), unix_ms)
        with database.transaction() as conn:
            authorizer._policy(conn, policies.latest(conn, stage.house.keys.signing, now_ms=0)[0])
        with recording() as statements:
            answer = authorizer.authorize(prepared.evidence)
    begin, *between, commit = statements
    assert (begin[0], commit[0]) == ("BEGIN", "COMMIT")
    assert isinstance(answer, Signed)
    decision = answer.message
    assert decision.approved
    evidence = envelope.parse(prepared.evidence, Evidence).message
    return Recording(
        statements=between,
        fresh=(
            evidence.attempt.raw,
            evidence.challenge.raw,
            decision.evidence_digest,
            decision.leaf_hash,
        ),
        challenge=evidence.challenge.raw,
    )


def replay(url: str, script: Path, attempts: int) -> list[float]:
    """When it began, and when each attempt was done."""
    subprocess.run(
        [
            binaries() / "pgbench", "--no-vacuum", "--protocol=prepared", "--define=n=0",
            f"--transactions={attempts}", f"--file={script}", "--log", f"--log-prefix={script}",
            url,
        ],
        check=True, capture_output=True, timeout=WAIT_MAX_S,
    )  # fmt: skip
    (log,) = script.parent.glob(f"{script.name}.*")
    lines = [line.split() for line in log.read_text().splitlines()]
    log.unlink()
    ends = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
    return [ends[0] - int(lines[0][2]) / 1e6, *ends]


def ratio(done: Round, name: str, limit: str) -> float:
    """Of the limit in the same round."""
    return done[name].rate.per_second / done[limit].rate.per_second


def told(rounds: Sequence[Round], name: str, limit: str = SEPARATE) -> dict[str, float]:
    """Medians of the rounds; ``ms_of_…`` are a processor's."""

    def middle(number: Callable[[Round], float], digits: int = 2) -> float:
        return round(median(number(each) for each in rounds), digits)

    return {
        "per_second": middle(lambda each: each[name].rate.per_second, 1),
        "ms_p50": middle(lambda each: each[name].rate.quantile_ms(0.5)),
        "ms_p99": middle(lambda each: each[name].rate.quantile_ms(0.99)),
        "ratio": middle(lambda each: ratio(each, name, limit), 3),
        **{
            f"ms_of_{part}": middle(lambda each, part=part: each[name].ms(part))  # type: ignore[misc]
            for part in rounds[0][name].used.named
        },
        "elsewhere": middle(lambda each: each[name].used.rest / each[name].used.elapsed, 3),
        "stolen": middle(lambda each: each[name].used.stolen / each[name].used.elapsed, 3),
    }


def table(rounds: Sequence[Round], limit: str = SEPARATE) -> Table:
    parts = list(rounds[0][limit].used.named)
    heads = (
        "a second",
        "p50 ms",
        "p99 ms",
        "of the first" if limit != SEPARATE else "of the limit",
    )
    made = Table("", *heads, *parts, "others", "stolen")
    made.title = f"Medians. {', '.join(parts)}: ms of a processor for each; others: on this machine"
    for name in rounds[0]:
        row = told(rounds, name, limit)
        made.add_row(
            name,
            f"{row['per_second']:.0f}",
            f"{row['ms_p50']:.1f}",
            f"{row['ms_p99']:.1f}",
            f"{row['ratio']:.0%}",
            *(f"{row[f'ms_of_{part}']:.2f}" for part in parts),
            f"{row['elsewhere']:.0%}",
            f"{row['stolen']:.0%}",
        )
    return made


if __name__ == "__main__":
    main()
