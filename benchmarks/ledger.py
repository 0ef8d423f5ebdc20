"""Payments a second of the ledger alone: one hot merchant beside as many merchants as terminals.

    python -m benchmarks.ledger [--json]

Each terminal is a process with one connection, one customer and the service's own statements
and pipeline, on the embedded PostgreSQL with fsync; the limits are asked for and never reached.
The same is done with everybody paying one merchant and with everybody paying another, twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.rate import Rate, run
from countenance.output import emit_json
from service.clock import unix_ms
from service.embedded import open_embedded
from service.ledger import store
from service.ledger.limits import Ceiling, Limits
from service.migrate import migrate
from wire.ids import AccountId, MerchantId, TerminalId, TransferId
from wire.money import Money

TERMINALS = (1, 8, 32)
START_MINOR = 10**12
CENT = Money(amount_minor=1, currency="EUR")
NEVER = Ceiling(day_minor=10**14)
LIMITS = Limits(account=NEVER, merchant=NEVER, terminal=NEVER)


@click.command()
@click.option("--payments", default=100, show_default=True, help="Of each terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(payments: int, as_json: bool) -> None:
    console = Console(stderr=as_json)
    home = Path(tempfile.mkdtemp(prefix="countenance-bench-"))
    home.chmod(0o711)
    try:
        with open_embedded(home) as url:
            migrate(url)
            rates = {terminals: both(url, terminals, payments) for terminals in TERMINALS}
    finally:
        shutil.rmtree(home, ignore_errors=True)
    console.print(table(rates))
    if as_json:
        emit_json({str(terminals): summary(*pair) for terminals, pair in rates.items()})


def both(url: str, terminals: int, payments: int) -> tuple[Rate, Rate]:
    """The spread rate and the hot one; in the order ABBA, so that a drift hits both alike."""
    order = (False, True, True, False)
    done = [(hot, pay(url, terminals, payments, hot=hot)) for hot in order]
    return sum_of([rate for hot, rate in done if not hot]), sum_of(
        [rate for hot, rate in done if hot]
    )


def sum_of(rates: list[Rate]) -> Rate:
    latencies_ms = [each for rate in rates for each in rate.latencies_ms]
    return Rate(latencies_ms, sum(rate.seconds for rate in rates))


def pay(url: str, terminals: int, payments: int, *, hot: bool) -> Rate:
    """Everybody at once; to one merchant, or each to another."""
    merchants = [MerchantId.new()] * terminals if hot else [
        MerchantId.new() for _ in range(terminals)
    ]  # fmt: skip
    accounts = [AccountId.new() for _ in range(terminals)]
    with psycopg.connect(url) as conn:
        for account, merchant in zip(accounts, merchants, strict=True):
            store.open_wallet(conn, account, CENT.currency)
            store.open_merchant(conn, merchant, CENT.currency)
            money = Money(amount_minor=START_MINOR, currency=CENT.currency)
            store.top_up(
                conn, transfer=TransferId.new(), account=account, money=money, now_ms=unix_ms()
            )
    shares = [
        (url, account.raw, merchant.raw, payments)
        for account, merchant in zip(accounts, merchants, strict=True)
    ]
    return run(pay_all, shares)


def pay_all(url: str, account: bytes, merchant: bytes, payments: int) -> Iterator[None]:
    terminal = TerminalId(os.urandom(16))
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(payments):
            with conn.transaction(), conn.pipeline():
                denial = store.pay(
                    conn,
                    transfer=TransferId.new(),
                    account=AccountId(account),
                    merchant=MerchantId(merchant),
                    money=CENT,
                    now_ms=unix_ms(),
                    terminal=terminal,
                    limits=LIMITS,
                )
                assert denial is None
            yield


def summary(spread: Rate, hot: Rate) -> dict[str, float]:
    return {
        "spread_per_second": round(spread.per_second, 1),
        "spread_ms_p99": round(spread.quantile_ms(0.99), 2),
        "hot_per_second": round(hot.per_second, 1),
        "hot_ms_p99": round(hot.quantile_ms(0.99), 2),
        "ratio": round(hot.per_second / spread.per_second, 3),
    }


def table(rates: dict[int, tuple[Rate, Rate]]) -> Table:
    made = Table("terminals", "merchants", "a second", "p50 ms", "p99 ms", "of the spread rate")
    for terminals, (spread, hot) in rates.items():
        for name, rate in (("one each", spread), ("one hot", hot)):
            made.add_row(
                str(terminals),
                name,
                f"{rate.per_second:.0f}",
                f"{rate.quantile_ms(0.5):.1f}",
                f"{rate.quantile_ms(0.99):.1f}",
                f"{rate.per_second / spread.per_second:.0%}",
            )
    return made


if __name__ == "__main__":
    main()
