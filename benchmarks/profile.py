"""Where a decision's processor time goes, inside the service.

    python -m benchmarks.profile [--json]

One thread of one process decides on evidence that was made before, without HTTP, against the
embedded PostgreSQL. Python's profiler takes about as long again as what it measures: the shares
tell, and the milliseconds are those of a run without it.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import click
from rich.console import Console
from rich.table import Table

from benchmarks.decisions import open_market, temporary_home
from countenance.output import emit_json
from face_engine.calibration import shipped
from service.authorize import Authorizer
from service.clock import unix_ms
from service.db import Database
from wire.envelope import Signed

WARM_UP = 30
# A function counts for the first part that names a piece of its file's path, or of itself.
PARTS = {
    "statements": ("psycopg", "burst.py", "db.py"),
    "1:1 comparison with its decoys": ("protection.py", "faces.py", "numpy", "HKDF", "AESGCM"),
    "HPKE": ("hpke",),
    "signatures, by cwt": ("cwt", "Ed25519", "ed25519"),
    "CBOR and messages": ("wire/", "cbor2", "dataclasses.py", "enum.py"),
}
REST = "the protocol's steps, and Python's own"


@click.command()
@click.option("--payments", default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(payments: int, as_json: bool) -> None:
    console = Console(stderr=as_json)
    with temporary_home() as home, open_market(home, tills=1, customers=1) as market:
        (customer,) = market.customers
        pieces = [market.prepare(0, customer).evidence for _ in range(WARM_UP + 2 * payments)]
        house = market.stage.house
        with closing(Database.open(house.url, size=1)) as database:
            authorizer = Authorizer(database, house.keys, shipped(), unix_ms)
            decide(authorizer, pieces[:WARM_UP])
            pieces = pieces[WARM_UP:]
            began = time.thread_time()
            decide(authorizer, pieces[:payments])
            took_ms = (time.thread_time() - began) * 1000 / payments
            profile = cProfile.Profile(time.thread_time)
            profile.runcall(decide, authorizer, pieces[payments:])
    found = shares(profile)
    table = Table("part", "share", "ms", title=f"{took_ms:.1f} ms of one processor a decision")
    for part, share in found.items():
        table.add_row(part, f"{share:.0%}", f"{share * took_ms:.2f}")
    console.print(table)
    if as_json:
        rounded = {part: round(share, 3) for part, share in found.items()}
        emit_json({"ms": round(took_ms, 2), "shares": rounded})


def decide(authorizer: Authorizer, pieces: Sequence[bytes]) -> None:
    for evidence in pieces:
        assert isinstance(authorizer.authorize(evidence), Signed)


def shares(profile: cProfile.Profile) -> dict[str, float]:
    """Each part's share of the time that functions spend in themselves, the largest first."""
    spent = Counter[str]()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[part_of(f"{file} {function}")] += own
    return {part: own / spent.total() for part, own in spent.most_common()}


def part_of(name: str) -> str:
    return next(
        (part for part, pieces in PARTS.items() if any(piece in name for piece in pieces)), REST
    )


if __name__ == "__main__":
    main()
