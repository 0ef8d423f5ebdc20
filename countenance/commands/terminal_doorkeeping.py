"""A kept door, for every command that needs one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from countenance.cli import explain_missing
from countenance.output import emit_json
from terminal_client.config import Config
from terminal_client.device import Device
from terminal_client.door import ALARMS, DoorEvent
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.channel import Channel
from terminal_client.drivers.choose import open_channel
from terminal_client.keystore import Keystore

if TYPE_CHECKING:
    from countenance.commands.terminal_device import Options


def open_lock(options: Options, config: Config, keystore: Keystore) -> Channel:
    """Raises :class:`DriverError`; a missing package leaves with its extra's name."""
    try:
        return open_channel(
            config.door, keystore, lambda text: options.report.say(f"  door: {text}")
        )
    except ModuleNotFoundError as missing:
        raise explain_missing(missing, f"the driver {config.door.driver.value}") from missing


@contextmanager
def keep_door(
    options: Options,
    config: Config,
    device: Device,
    take: Callable[[DoorEvent], None] = lambda _event: None,
) -> Iterator[Keeper]:
    """Its events are taken and shown as they come, and in JSON where that was asked for."""

    def show(event: DoorEvent) -> None:
        take(event)
        about = f" ({event.fault.value})" if event.fault else ""
        colour = "red" if event.happened in ALARMS else "dim"
        options.report.say(f"  [{colour}]door: {event.happened.value}{about}[/]")
        if options.report.as_json:
            emit_json(
                {
                    "door": event.happened.value,
                    "at_ms": event.at_ms,
                    "attempt": str(event.attempt) if event.attempt else None,
                    "fault": event.fault.value if event.fault else None,
                }
            )

    with (
        _terminated_as_interrupted(),
        Keeper(
            open_lock(options, config, device.keystore),
            config.door.policy,
            show,
            unix_ms=device.unix_ms,
        ) as keeper,
    ):
        yield keeper


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that the lock is left at rest."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
