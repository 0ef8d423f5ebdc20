"""``countenance terminal door run | watch | status | key``: a door, on its own device."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice

import click
from rich.table import Table

from countenance.cli import explain_missing
from countenance.commands.terminal_device import CAMERA, PACK, Options, device_command
from countenance.commands.terminal_doorkeeping import keep_door, open_lock
from countenance.commands.terminal_gate import Gate, open_gate
from countenance.commands.terminal_report import Screen
from countenance.output import emit_json
from face_engine.engine import Engine
from terminal_client.config import Config
from terminal_client.door import entry
from terminal_client.drivers.channel import Link, Sensed
from terminal_client.drivers.settings import Driver, HttpConfig, MqttConfig, OsdpConfig
from terminal_client.errors import (
    CameraError,
    DriverError,
    NotTheService,
    Rejected,
    Unreachable,
    UsageError,
)
from terminal_client.exchange import COMPLETED, Word
from terminal_client.keystore import Keystore
from terminal_client.qr import read_claim
from wire.messages import Decision

CLAIM_WAIT_MS, CAMERA_WAIT_MS = 100, 2_000
QR_EVERY = 4
SAME_QR_MS = 10_000
STATUS_MS = 3_000
KEY_WAIT_MS = 30_000
KEY_BYTES_MAX = 256


@click.group()
def door() -> None:
    """Stand at a door: let people in, watch it, and keep its keys."""


@device_command(CAMERA, PACK)
def run(options: Options) -> None:
    """Let people in: a badge, a number or a QR code, then their face. Ends with SIGTERM."""
    config = options.config()
    with suppress(KeyboardInterrupt), options.device(config) as device:
        entry(device.identity, config.door.direction)
        engine = Engine.open(config.pack)
        with open_gate(options, config, device, engine) as gate:
            options.report.say("[green]✓[/] the door is kept")
            for claim in _claims(options, gate):
                _let_in(options, gate, claim)
                gate.keeper.drop_claims()


@device_command()
def watch(options: Options) -> None:
    """Show what the door does, and let nobody in: to check the wiring. Ends with Ctrl-C."""
    config = options.config()
    with (
        suppress(KeyboardInterrupt),
        options.device(config) as device,
        keep_door(options, config, device) as keeper,
    ):
        while True:
            if keeper.next_claim(CLAIM_WAIT_MS) is not None:
                options.report.say("  a badge or number was read")


@device_command()
def status(options: Options) -> None:
    """Whether the lock's side answers, and what its inputs say."""
    config = options.config()
    door, keystore = config.door, Keystore(options.home)
    channel = open_lock(options, config, keystore)
    linked, inputs = door.driver is Driver.CONSOLE, dict[str, bool]()
    try:
        ends = time.monotonic() + STATUS_MS / 1000
        while time.monotonic() < ends:
            for found in channel.signals(CLAIM_WAIT_MS):
                if isinstance(found, Link):
                    linked = found.up
                elif isinstance(found, Sensed):
                    inputs[found.input.value] = found.active
    finally:
        channel.close()
    values = {
        "driver": door.driver.value,
        "lock": door.lock.value if door.lock else None,
        "linked": linked,
        "inputs": inputs,
    }
    table = Table("what", "value")
    for name, value in values.items():
        table.add_row(name, str(value))
    options.report.out.print(table)
    if not linked:
        raise DriverError("the lock's side does not answer: wiring, speed, address, key?")
    options.report.finish({"outcome": "linked", **values})


@click.group()
def key() -> None:
    """The key or password between this terminal and the lock's side."""


@device_command(click.option("--new", is_flag=True, help="Make a new one, and show it once."))
def set_key(options: Options, new: bool) -> None:
    """Put in a key that the other side has, typed unseen or from COUNTENANCE_KEY_FD."""
    config, keystore = options.config(), Keystore(options.home)
    settings = config.door.settings
    with _explaining(config):
        if isinstance(settings, OsdpConfig):
            from terminal_client.drivers.osdp_keys import (  # noqa: PLC0415 (its extra)
                LineKeys,
                new_key,
            )

            _keep(options, new, new_key, LineKeys(keystore).propose)
        elif isinstance(settings, HttpConfig):
            from terminal_client.drivers import http_relay  # noqa: PLC0415

            def keep(raw: bytes) -> None:
                if len(raw) != http_relay.KEY_BYTES:
                    raise UsageError(f"the relay's key has {http_relay.KEY_BYTES} bytes, in hex")
                keystore.keep(http_relay.KEPT_AS, raw)

            _keep(options, new, lambda: os.urandom(http_relay.KEY_BYTES), keep)
        elif isinstance(settings, MqttConfig) and not new:
            from terminal_client.drivers import mqtt  # noqa: PLC0415

            keystore.keep(mqtt.KEPT_AS, _read_key("Password of the broker").encode())
        else:
            raise UsageError("this driver has no such key")
    options.report.say("[green]✓[/] kept")
    options.report.finish({"outcome": "kept"})


@device_command()
def install(options: Options) -> None:
    """OSDP: give a factory-new reader its first key, or take one from the panel. On the bench."""
    config, keystore = options.config(), Keystore(options.home)
    settings, lock = config.door.settings, config.door.lock
    if not isinstance(settings, OsdpConfig) or lock is None:
        raise UsageError("only an OSDP line has its key installed over itself")
    with _explaining(config):
        from terminal_client.drivers import osdp_install  # noqa: PLC0415 (its extra)
        from terminal_client.drivers.osdp_keys import LineKeys  # noqa: PLC0415

        options.report.say(
            "[yellow]the key goes over the line under OSDP's default key: nobody may listen now[/]"
        )
        keys = LineKeys(keystore)
        if config.door.driver is Driver.OSDP:
            done = osdp_install.install_as_panel(settings, lock, keys, KEY_WAIT_MS)
        else:
            done = osdp_install.install_as_reader(settings, keys, KEY_WAIT_MS)
    if not done:
        raise DriverError("no key was installed: is the other side in its installation mode?")
    options.report.say("[green]✓[/] installed, and the secure channel stands")
    options.report.finish({"outcome": "installed"})


@device_command()
def rotate(options: Options) -> None:
    """OSDP: give the reader a new key. Of a panel's reader the panel does it."""
    config, keystore = options.config(), Keystore(options.home)
    settings, lock = config.door.settings, config.door.lock
    if config.door.driver is not Driver.OSDP or not isinstance(settings, OsdpConfig) or not lock:
        raise UsageError("only the panel of an OSDP line rotates its key")
    with _explaining(config):
        from terminal_client.drivers.osdp_keys import LineKeys  # noqa: PLC0415 (its extra)
        from terminal_client.drivers.osdp_panel import OsdpPanel  # noqa: PLC0415

        panel = OsdpPanel(settings, lock, LineKeys(keystore))
        try:
            done = panel.rotate(KEY_WAIT_MS)
        finally:
            panel.close()
    if not done:
        raise DriverError("the reader did not take the new key; the line goes on with either")
    options.report.say("[green]✓[/] rotated, and the secure channel stands")
    options.report.finish({"outcome": "rotated"})


for _command in (run, watch, status):
    door.add_command(_command)
door.add_command(key)
key.add_command(set_key, "set")
key.add_command(install)
key.add_command(rotate)


@contextmanager
def _explaining(config: Config) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise explain_missing(missing, f"the driver {config.door.driver.value}") from missing


def _claims(options: Options, gate: Gate) -> Iterator[str]:
    """Each person who says who they are, for ever; a QR code left in view says it once."""
    last, again_at, camera, keeper = "", 0.0, gate.camera, gate.keeper
    while True:
        gate.check()
        try:
            for pixels in (frame.pixels for frame in islice(camera.frames(), 0, None, QR_EVERY)):
                gate.camera_answers = True
                gate.check()
                claim = keeper.next_claim(0)
                if claim is not None:
                    break
                seen = read_claim(pixels)
                if seen is not None and (seen != last or time.monotonic() >= again_at):
                    claim = seen
                if seen is not None:
                    last, again_at = seen, time.monotonic() + SAME_QR_MS / 1000
                if claim is not None:
                    break
            else:
                claim = keeper.next_claim(CLAIM_WAIT_MS)
        except CameraError as error:
            gate.camera_answers = False
            options.report.say(f"[red]camera:[/] {error}")
            claim = keeper.next_claim(CAMERA_WAIT_MS)
        if claim is not None:
            yield claim


def _let_in(options: Options, gate: Gate, claim: str) -> None:
    """One attempt; what goes wrong with one person does not end the door."""
    report, words = options.report, list[Word]()

    def act(decision: Decision) -> Word:
        words.append(gate.keeper.admit(decision, claim))
        return words[-1]

    screen = Screen(report.out)
    try:
        ended, alone = gate.attempt(claim, act, screen.show)
    except (Unreachable, NotTheService, Rejected, CameraError, UsageError) as error:
        screen.close()
        report.say(f"[red]no entry:[/] {error}")
        outcome: dict[str, object] = {"outcome": "failed", "error": type(error).__name__}
    else:
        screen.close()
        done = COMPLETED in words
        text = "entered" if done else f"no entry: {ended.reason or ended.ending.value}"
        report.say(f"[{'green' if done else 'yellow'}]{text}[/]{' (alone)' if alone else ''}")
        outcome = {
            "outcome": ended.ending.value,
            "reason": ended.reason,
            "attempt": str(ended.decision.attempt) if ended.decision else None,
            "completed": done,
            "alone": alone,
        }
    if report.as_json:
        emit_json(outcome)


def _keep(
    options: Options,
    new: bool,
    make: Callable[[], bytes],
    keep: Callable[[bytes], object],
) -> None:
    if new:
        raw = make()
        keep(raw)
        options.report.out.print(f"  {raw.hex()}  (shown once: put it into the other side)")
        return
    try:
        raw = bytes.fromhex(_read_key("Key, in hex"))
    except ValueError:
        raise UsageError("a key is typed in hexadecimal digits") from None
    keep(raw)


def _read_key(what: str) -> str:
    descriptor = os.environ.get("COUNTENANCE_KEY_FD")
    if descriptor is None:
        return str(click.prompt(what, hide_input=True, err=True)).strip()
    try:
        return os.read(int(descriptor), KEY_BYTES_MAX).decode("ascii").strip()
    except (ValueError, OSError) as error:
        raise UsageError("COUNTENANCE_KEY_FD is no file descriptor that can be read") from error
