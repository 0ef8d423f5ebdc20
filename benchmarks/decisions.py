"""Decisions a second over HTTP, beside what the same PostgreSQL commits alone.

    python -m benchmarks.decisions [--json]

The service runs as it ships: granian, embedded PostgreSQL with fsync. Eight terminals, in
processes of their own, first make their evidence and then send it, one after the other each.
The limit: the very SQL statements of such an attempt, as psycopg sent them, replayed by eight
plain connections in processes of their own, each attempt in one round trip, without any
service. Both share this machine's processors with their clients.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, ClassVar

import click
import numpy as np
import psycopg
from psycopg import Cursor
from rich.console import Console
from rich.table import Table

from countenance.output import emit_json
from countenance.stage import Stage, set_stage, trial_policy
from face_engine.calibration import shipped
from service import policies
from service.authorize import Authorizer
from service.clock import unix_ms
from service.db import Database
from terminal_client.outbox import ATTEMPT
from terminal_client.transport import HttpTransport
from tests.processes.till import Mall, Prepared
from wire import envelope
from wire.messages import Decision, Evidence, Level, TerminalKind

TERMINALS = 8
START_MINOR = 10**9
TIMEOUT_S = 10.0
WAIT_MAX_S = 120
CHALLENGE_TTL_MS = 300_000
Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Rate:
    """``latencies_ms`` of all that was done in ``seconds``."""

    latencies_ms: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    def quantile_ms(self, part: float) -> float:
        return float(np.quantile(self.latencies_ms, part))


@dataclass(frozen=True, slots=True)
class Recording:
    """The statements of one attempt; ``fresh`` are its values that no second attempt may have."""

    statements: list[Statement]
    fresh: tuple[bytes, ...]
    challenge: bytes

    def again(self) -> tuple[bytes, list[Statement]]:
        """The challenge that is used up, and the statements of another attempt like it."""
        new = {value: os.urandom(len(value)) for value in self.fresh}
        changed = [
            (query, tuple(new.get(value, value) if isinstance(value, bytes) else value
                          for value in values))
            for query, values in self.statements
        ]  # fmt: skip
        return new[self.challenge], changed


@click.command()
@click.option("--payments", default=100, show_default=True, help="Of each terminal.")
@click.option("--workers", default=1, show_default=True, help="Processes of the service.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(payments: int, workers: int, as_json: bool) -> None:
    console = Console(stderr=as_json)
    home = Path(tempfile.mkdtemp(prefix="countenance-bench-"))
    home.chmod(0o711)
    for name in ("COUNTENANCE_DATABASE_URL", "COUNTENANCE_BROKER_URL"):
        os.environ.pop(name, None)
    try:
        with set_stage(home, level=Level.NONE, worker=False, workers=workers) as stage:
            policy = replace(trial_policy(Level.NONE), challenge_ttl_ms=CHALLENGE_TTL_MS)
            with stage.house.database.transaction() as conn:
                policies.publish(conn, policy, stage.house.keys.signing, now_ms=unix_ms())
            console.print(f"{TERMINALS} terminals make {payments} pieces of evidence each …")
            work, recordings = prepare(stage, payments)
            service = run(send_all, [(stage.url, each) for each in work])
            url = stage.house.url
            limit = run(replay_all, [(url, rounds(url, each, payments)) for each in recordings])
    finally:
        shutil.rmtree(home, ignore_errors=True)
    statements = len(recordings[0].statements)
    console.print(table(service, limit, statements))
    if as_json:
        emit_json(summary(service, limit, statements))


def prepare(stage: Stage, payments: int) -> tuple[list[list[bytes]], list[Recording]]:
    """Of each terminal: the evidence of its payments, and the statements of one more."""
    mall, line = Mall(stage.house), HttpTransport(stage.url)
    station = mall.add_till(TerminalKind.ENROLMENT, line)
    work, recordings = [], []
    for _ in range(TERMINALS):
        mall.enrol(station, START_MINOR)
        seed = list(mall.accounts)[-1]
        till = mall.add_till(TerminalKind.STORE, line)
        context = mall.payment(100, "order")
        recordings.append(record(stage, till.prepare(context, seed)))
        work.append([till.prepare(context, seed).evidence for _ in range(payments)])
    return work, recordings


class Recorder(Cursor[Any]):
    """Keeps what is executed."""

    statements: ClassVar[list[Statement]] = []

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        self.statements.append((query, tuple(params or ())))
        return super().execute(query, params, **options)


def record(stage: Stage, prepared: Prepared) -> Recording:
    """What one approved attempt sends to the database between BEGIN and COMMIT."""
    database = Database.open(stage.house.url, size=1)
    authorizer = Authorizer(database, stage.house.keys, shipped(), unix_ms)
    with database.transaction() as conn:
        conn.cursor_factory = Recorder
    Recorder.statements.clear()
    answer = authorizer.authorize(prepared.evidence)
    assert isinstance(answer, bytes)
    database.close()
    decision = envelope.parse(answer, Decision).message
    assert decision.approved
    evidence = envelope.parse(prepared.evidence, Evidence).message
    return Recording(
        statements=[(query, values) for query, values in Recorder.statements if query],
        fresh=(
            evidence.attempt.raw,
            evidence.challenge.raw,
            decision.evidence_digest,
            decision.leaf_hash,
        ),
        challenge=evidence.challenge.raw,
    )


def rounds(url: str, recording: Recording, payments: int) -> list[list[Statement]]:
    """As many attempts more, each with a challenge of its own that waits in the database."""
    made = [recording.again() for _ in range(payments)]
    copy = """INSERT INTO challenges SELECT %s, nonce, terminal_id, context, plan, level,
        pin_required, policy_version, issued_at_ms, expires_at_ms, NULL FROM challenges
        WHERE challenge_id = %s"""
    with psycopg.connect(url) as conn, conn.cursor() as cursor:
        cursor.executemany(copy, [(challenge, recording.challenge) for challenge, _ in made])
    return [statements for _, statements in made]


def send_all(url: str, pieces: list[bytes]) -> Iterator[None]:
    line = HttpTransport(url)
    for evidence in pieces:
        reply = line.exchange(ATTEMPT, evidence, timeout_s=TIMEOUT_S)
        assert envelope.parse(reply.body, Decision).message.approved
        yield


def replay_all(url: str, attempts: list[list[Statement]]) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as conn:
        for statements in attempts:
            with conn.pipeline(), conn.transaction():
                for query, values in statements:
                    conn.execute(query, values)
            yield


def run(work: Callable[..., Iterator[None]], shares: list[tuple[Any, ...]]) -> Rate:
    """Every share in a process of its own, all at once."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(shares))
    with ProcessPoolExecutor(len(shares), context, _take, (start,)) as processes:
        done = [processes.submit(timed, work, share) for share in shares]
        parts = [future.result(WAIT_MAX_S) for future in done]
    seconds = max(part[-1] for part in parts) - min(part[0] for part in parts)
    return Rate([float(took) * 1000 for part in parts for took in np.diff(part)], seconds)


def _take(start: Barrier) -> None:
    global _start  # noqa: PLW0603 (a barrier reaches a process only when it is made)
    _start = start


def timed(work: Callable[..., Iterator[None]], share: tuple[Any, ...]) -> list[float]:
    """When it began, and when each piece of work was done."""
    _start.wait(WAIT_MAX_S)
    return [time.perf_counter(), *(time.perf_counter() for _ in work(*share))]


def summary(service: Rate, limit: Rate, statements: int) -> dict[str, object]:
    return {
        "terminals": TERMINALS,
        "decisions_per_second": round(service.per_second, 1),
        "decision_ms_p50": round(service.quantile_ms(0.5), 2),
        "decision_ms_p99": round(service.quantile_ms(0.99), 2),
        "statements": statements,
        "limit_per_second": round(limit.per_second, 1),
        "limit_ms_p50": round(limit.quantile_ms(0.5), 2),
        "limit_ms_p99": round(limit.quantile_ms(0.99), 2),
        "ratio": round(service.per_second / limit.per_second, 3),
    }


def table(service: Rate, limit: Rate, statements: int) -> Table:
    made = Table("what", "a second", "p50 ms", "p99 ms", "of the limit")
    for name, rate in (
        (f"decisions over HTTP, {TERMINALS} terminals", service),
        (f"PostgreSQL alone, the same {statements} statements and a commit", limit),
    ):
        made.add_row(
            name,
            f"{rate.per_second:.0f}",
            f"{rate.quantile_ms(0.5):.1f}",
            f"{rate.quantile_ms(0.99):.1f}",
            f"{rate.per_second / limit.per_second:.0%}",
        )
    return made


if __name__ == "__main__":
    main()
