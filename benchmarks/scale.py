"""Decisions a second with a million accounts and ten million transfers, beside an empty database.

    python -m benchmarks.scale [--json]

Two services run at once, each with an embedded PostgreSQL of its own that fsyncs; one of these was
filled before (:mod:`benchmarks.fill`). 8 terminals pay at one of them and then at the other, by
turns: the order is ABBA, so that a drift hits both alike. What is told are medians, the ratio's
too. Both databases are removed at the end, and whatever interrupts it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import psycopg
from rich.console import Console

from benchmarks.decisions import Market, Measured, open_market, table, temporary_home, told
from benchmarks.fill import fill
from countenance.output import emit_json
from service.clock import unix_ms
from service.embedded import open_embedded
from service.ledger.check import totals
from service.migrate import migrate

TERMINALS = 8
CUSTOMERS = 32
BYTES_A_TRANSFER = 3000
EMPTY, FULL = "an empty database", "a full one"


@click.command()
@click.option("--accounts", default=1_000_000, show_default=True)
@click.option("--transfers", default=10_000_000, show_default=True)
@click.option("--payments", default=600, show_default=True, help="Of all terminals, each time.")
@click.option("--rounds", default=4, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(accounts: int, transfers: int, payments: int, rounds: int, as_json: bool) -> None:
    console = Console(stderr=as_json)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < transfers * BYTES_A_TRANSFER:
        raise click.ClickException(f"{transfers * BYTES_A_TRANSFER >> 30} GiB must be free")
    with temporary_home() as home:
        size = prepare(home / "full", accounts, transfers, console)
        with (
            open_market(home / "empty", tills=TERMINALS, customers=CUSTOMERS) as empty,
            open_market(home / "full", tills=TERMINALS, customers=CUSTOMERS) as full,
        ):
            done = [
                compare(empty, full, payments // TERMINALS, full_first=bool(number % 2))
                for number in range(rounds)
            ]
    ratio = median(each[FULL].rate.per_second / each[EMPTY].rate.per_second for each in done)
    console.print(f"{accounts} accounts and {transfers} transfers, {size / 2**30:.1f} GiB")
    console.print(table(done, limit=EMPTY))
    if as_json:
        emit_json(
            {
                "accounts": accounts,
                "transfers": transfers,
                "bytes": size,
                "ratio": round(ratio, 3),
                **{name: told(done, name, limit=EMPTY) for name in (EMPTY, FULL)},
            }
        )


def prepare(home: Path, accounts: int, transfers: int, console: Console) -> int:
    """Fills a database that does not fsync meanwhile; how many bytes it then has."""
    home.mkdir(mode=0o711)
    began = time.monotonic()
    with open_embedded(home, durable=False) as url:
        migrate(url)
        fill(url, accounts=accounts, transfers=transfers, now_ms=unix_ms(), tell=console.print)
        console.print(f"filled within {time.monotonic() - began:.0f} s")
        with psycopg.connect(url) as conn:
            found = totals(conn)
            assert sum(each.balance_minor for each in found) == 0, found
            row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    os.sync()
    return int(row[0])


def compare(empty: Market, full: Market, payments: int, *, full_first: bool) -> dict[str, Measured]:
    markets = {EMPTY: empty, FULL: full}
    order = (FULL, EMPTY) if full_first else (EMPTY, FULL)
    return {
        name: markets[name].measure(TERMINALS, payments, markets[name].customers) for name in order
    }


if __name__ == "__main__":
    main()
