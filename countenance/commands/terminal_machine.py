"""The cash machine of a terminal's home: its dispenser and its journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from terminal_client.atm import CashMachine
from terminal_client.config import Config
from terminal_client.device import Device
from terminal_client.drivers.simulated_dispenser import SimulatedDispenser
from terminal_client.errors import UsageError
from terminal_client.journal import Journal
from wire.messages import TerminalKind

DISPENSER, JOURNAL = "dispenser.db", "journal"


@contextmanager
def machine_of(home: Path, config: Config, device: Device) -> Iterator[CashMachine | None]:
    """None on a terminal that is no ATM; raises :class:`UsageError` or :class:`StorageError`."""
    if device.identity.kind is not TerminalKind.ATM:
        yield None
        return
    if not config.notes:
        raise UsageError("terminal.toml names no notes: [atm] notes = {'50 EUR' = 100}")
    with closing(SimulatedDispenser(home / DISPENSER, config.notes)) as dispenser:
        machine = CashMachine(dispenser, Journal(home / JOURNAL), device.unix_ms)
        yield machine
