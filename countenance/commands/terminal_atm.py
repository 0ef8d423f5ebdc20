"""``countenance terminal withdraw | load | atm report``: a machine that hands out cash."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click
from rich.table import Table

from countenance.commands.terminal_device import (
    CAMERA,
    CLAIM,
    MONEY,
    NO_FACE,
    PACK,
    Options,
    device_command,
    take_attempt,
)
from countenance.commands.terminal_machine import JOURNAL, machine_of
from countenance.output import fail
from terminal_client.atm import withdrawal
from terminal_client.atm_report import DayReport, report_of
from terminal_client.errors import UsageError
from terminal_client.journal import day_of_file, files_in, verify_journal
from wire.money import Money


@device_command(MONEY, CLAIM, CAMERA, PACK, NO_FACE)
def withdraw(options: Options, money: Money, no_face: bool) -> None:
    """Give cash: countenance terminal withdraw '80 EUR'."""
    config = options.config()
    with options.device(config) as device, machine_of(options.home, config, device) as machine:
        if machine is None or config.currency != money.currency:
            raise UsageError(f"this terminal gives no {money.currency}: see atm.notes")
        context = withdrawal(device.identity, money, machine.dispenser.at_hand())
        take_attempt(
            options,
            config,
            device,
            context,
            act=machine.dispense,
            settle=machine.settle,
            done=f"{money} dispensed",
            no_face=no_face,
        )


@device_command()
def load(options: Options) -> None:
    """Say that the cassettes hold what terminal.toml says: after they were filled."""
    config = options.config()
    with options.device(config) as device, machine_of(options.home, config, device) as machine:
        if machine is None:
            raise UsageError("only an ATM has a cassette")
        machine.load(config.notes)
    for value, number in config.notes.items():
        money = Money(amount_minor=value, currency=str(config.currency))
        options.report.say(f"[green]✓[/] {number} x {money}")
    options.report.finish({"outcome": "loaded", "notes": config.notes})


@click.group()
def atm() -> None:
    """A cash machine's own books."""


DAY = click.argument("day", type=click.DateTime(["%Y-%m-%d"]), required=False)


def report_day(home: Path, day: date | None) -> tuple[date, DayReport, list[Path]]:
    """The day's report (default: the newest), from the whole journal's verified chain.

    Raises :class:`UsageError` for a day without a journal, or :class:`StorageError`.
    """
    files = files_in(home / JOURNAL)
    if not files:
        raise UsageError(f"{home / JOURNAL} holds no journal")
    wanted = day or day_of_file(files[-1])
    lines, used = [], []
    for path, entries in verify_journal(files):
        if day_of_file(path) == wanted:
            used.append(path)
            lines += [(f"{path.name}:{number}", entry) for number, entry in enumerate(entries, 2)]
    if not used:
        raise UsageError(f"the journal has no {wanted}")
    return wanted, report_of(lines), used


@device_command(DAY)
def report(options: Options, day: datetime | None) -> None:
    """What the machine handed out on a DAY (2026-11-25; default: the newest). Asks nobody.

    The journal's files that it names go to the service's machine: countenance ledger atm.
    """
    currency = options.config().currency or ""
    wanted, found, files = report_day(options.home, day.date() if day else None)
    table = Table(
        "note", "loaded", "handed out", "taken back", "in the cassettes", title=str(wanted)
    )
    at_hand = found.at_hand or {}
    for value in sorted({*at_hand, *found.notes_given, *found.notes_loaded}, reverse=True):
        counts = (found.notes_loaded, found.notes_given, found.notes_retracted, at_hand)
        name = str(Money(amount_minor=value, currency=currency)) if currency else str(value)
        table.add_row(name, *(str(each.get(value, 0)) for each in counts))
    options.report.out.print(table)
    options.report.say(
        f"{found.ordered} orders, {found.given_minor} minor units handed out; "
        + ", ".join(str(path) for path in files)
    )
    values: dict[str, object] = {
        "outcome": "mismatch" if found.findings else "reported",
        "day": str(wanted),
        "orders": found.ordered,
        "given_minor": found.given_minor,
        "notes_given": {str(value): number for value, number in found.notes_given.items()},
        "notes_retracted": {str(value): n for value, n in found.notes_retracted.items()},
        "at_hand": {str(value): number for value, number in at_hand.items()},
        "files": [str(path) for path in files],
        "findings": [{"line": place, "what": what} for place, what in found.findings],
    }
    for place, what in found.findings:
        options.report.say(f"[red]✗[/] {place}: {what}")
    options.report.finish(values)
    if found.findings:
        place, what = found.findings[0]
        fail("The journal does not add up", why=f"{place}: {what}", todo="count the notes")


atm.add_command(report)
