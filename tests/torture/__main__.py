"""``make torture``: the long form, with progress and a table; exit code 1 for findings."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from countenance.output import emit_json
from tests.torture.run import Outcome, Plan, set_scene


@click.command()
@click.option("--payments", default=2000, show_default=True)
@click.option("--withdrawals", default=300, show_default=True)
@click.option("--kills", default=10, show_default=True, help="Of each part.")
@click.option("--outside/--no-outside", default=True, help="Money at a bank and at Stripe, too.")
@click.option("--seed", type=int, help="Of an earlier run, to have its faults again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
def main(
    payments: int, withdrawals: int, kills: int, outside: bool, seed: int | None, as_json: bool
) -> None:
    """Kill everything while terminals are at work, and prove that nothing was lost or doubled."""
    console = Console(stderr=as_json)
    plan = Plan(
        seed=secrets.randbelow(10**9) if seed is None else seed,
        payments=payments, withdrawals=withdrawals, kills=kills, hold_ttl_ms=60_000,
        outside=outside,
    )  # fmt: skip
    console.print(f"seed {plan.seed}", highlight=False)
    home = Path(tempfile.mkdtemp(prefix="countenance-torture-"))
    home.chmod(0o711)
    try:
        with set_scene(home, plan) as scene, bars(console) as shown:
            rows = {"attempts": shown.add_task("attempts", total=payments + withdrawals)}
            rows |= {
                part.name: shown.add_task(f"{part.name} struck", total=kills)
                for part in scene.parts
            }
            scene.on_done = lambda what: shown.advance(rows[what])
            outcome = scene.run()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    console.print(table(outcome))
    for finding in outcome.findings:
        console.print(f"[red]✗[/] {finding}", soft_wrap=True)
    if not outcome.findings:
        console.print("[green]✓[/] nothing was lost, nothing was done twice, and the log verifies")
    if as_json:
        emit_json({"seed": plan.seed, **vars(outcome)})
    sys.exit(1 if outcome.findings else 0)


def bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip


def table(outcome: Outcome) -> Table:
    made = Table("what", "how often", title=f"{outcome.attempts} attempts, {outcome.seconds:.0f} s")
    counts = {
        "struck": outcome.strikes,
        "ended by itself": outcome.revived,
        "network": outcome.network,
        "terminal": outcome.terminals,
        "decision": outcome.decided,
        "withdrawal": outcome.withdrawals,
    }
    for name, counted in counts.items():
        for what, number in counted.most_common():
            made.add_row(f"{name}: {what}", str(number))
    made.add_row("cash booked late by an operator", str(outcome.late_cash))
    return made


if __name__ == "__main__":
    main()
