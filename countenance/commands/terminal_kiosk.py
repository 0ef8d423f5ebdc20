"""``countenance terminal kiosk``: this terminal's screen, as pages on the loopback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import click

from countenance.commands.terminal_device import (
    CAMERA,
    PACK,
    Options,
    consent_of,
    device_command,
)
from countenance.commands.terminal_gate import open_gate
from countenance.commands.terminal_machine import machine_of
from countenance.commands.terminal_till import PAYMENTS
from face_engine.engine import Engine
from terminal_client.camera import Camera
from terminal_client.camera_source import open_camera
from terminal_client.config import Config
from terminal_client.device import Device
from terminal_client.errors import UsageError
from terminal_client.kiosk.browser_camera import BROWSER, BrowserCamera
from terminal_client.kiosk.cash import CashPoint
from terminal_client.kiosk.cashier import Cashier
from terminal_client.kiosk.checkout import Checkout
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.joining import Desk
from terminal_client.kiosk.line import Line
from terminal_client.kiosk.part import Part
from terminal_client.kiosk.passage import Passage
from terminal_client.kiosk.server import KioskServer
from terminal_client.kiosk.web import Sides
from terminal_client.kiosk.words import shipped_consent
from terminal_client.loopback import LoopbackServer
from terminal_client.payments import PaymentBook
from terminal_client.terminal import Terminal
from terminal_client.till_http import create_till_app
from texts import LANGUAGES
from wire.messages import TerminalKind


@device_command(
    click.option("--port", type=click.IntRange(1024, 65_535), help="On 127.0.0.1."), CAMERA, PACK
)
def kiosk(options: Options, port: int | None) -> None:
    """Serve the screen: open the page that it names in Chromium, full screen. Ends with SIGTERM.

    A store's kiosk takes the payments of its cashier's page, and of a till: docs/kiosk.md.
    """
    config = options.config()
    if config.kiosk_language not in LANGUAGES:
        raise UsageError(f"kiosk.language is one of {', '.join(LANGUAGES)}")
    engine = Engine.open(config.pack)
    with (
        options.device(config) as device,
        Line(device.transport) as line,
        _camera(config, engine) as camera,
    ):
        feed, own = Feed(camera), camera if isinstance(camera, BrowserCamera) else None
        serve = {
            TerminalKind.STORE: _store,
            TerminalKind.ATM: _cash,
            TerminalKind.DOOR: _door,
            TerminalKind.ENROLMENT: _desk,
        }[device.identity.kind]
        with serve(Setting(options, config, device, engine, line, feed)) as part:
            part.screen.own_language(config.kiosk_language)
            sides = Sides(
                screen=part.screen,
                feed=feed,
                cashier=part.cashier,
                camera_url=own.url if own else None,
            )
            with KioskServer(sides, port or config.kiosk_port) as server:
                if own is not None:
                    own.is_own = server.is_own
                _tell(options, server)
                signal.signal(signal.SIGTERM, lambda *_: part.stop())
                with suppress(KeyboardInterrupt):
                    part.run()


@dataclass(frozen=True)
class Setting:
    """What every kind is made from."""

    options: Options
    config: Config
    device: Device
    engine: Engine
    line: Line
    feed: Feed

    @property
    def name(self) -> str:
        return self.config.kiosk_name

    def terminal(self) -> Terminal:
        device, successor = self.device, self.config.successor
        return Terminal(
            device.keystore,
            device.outbox,
            device.transport,
            self.engine,
            has_colours=self.config.kiosk_colours,
            successor=Engine.open(successor) if successor else None,
            unix_ms=device.unix_ms,
        )


@contextmanager
def _camera(config: Config, engine: Engine) -> Iterator[Camera]:
    if config.camera != BROWSER:
        yield open_camera(config.camera, engine)
        return
    with BrowserCamera() as camera:
        yield camera


@contextmanager
def _store(setting: Setting) -> Iterator[Part]:
    config, device = setting.config, setting.device
    with closing(PaymentBook(setting.options.home / PAYMENTS)) as book:
        checkout = Checkout(setting.name, setting.terminal(), setting.feed, book, setting.line)
        till = checkout.till
        cashier = Cashier(till, setting.name, config.keypad_currency)
        api = LoopbackServer(create_till_app(till, device.keystore.till_token()), config.till_port)
        api.start()
        try:
            yield Part(screen=checkout.screen, run=till.run, stop=till.stop, cashier=cashier)
        finally:
            api.stop()


@contextmanager
def _cash(setting: Setting) -> Iterator[Part]:
    config = setting.config
    with machine_of(setting.options.home, config, setting.device) as machine:
        if machine is None or config.currency is None:
            raise UsageError("terminal.toml names no notes: [atm] notes = {'50 EUR' = 100}")
        terminal, currency = setting.terminal(), config.currency
        point = CashPoint(setting.name, terminal, setting.feed, machine, currency, setting.line)
        yield Part(screen=point.host.screen, run=point.run, stop=point.host.stop)


@contextmanager
def _door(setting: Setting) -> Iterator[Part]:
    opened = (setting.options, setting.config, setting.device, setting.engine, setting.feed)
    with open_gate(*opened) as gate:

        def note(answers: bool) -> None:
            gate.camera_answers = answers

        passage = Passage(
            setting.name,
            gate.online,
            setting.feed,
            gate,
            gate.keeper,
            gate.context,
            setting.line,
            check=gate.check,
            on_camera=note,
        )
        yield Part(screen=passage.screen, run=passage.run, stop=passage.host.stop)


@contextmanager
def _desk(setting: Setting) -> Iterator[Part]:
    config, terminal = setting.config, setting.terminal()
    if not set(config.consent_files) <= set(LANGUAGES):
        raise UsageError(f"enrolment.consent_files are of {', '.join(LANGUAGES)}")
    own = bool(config.consent_files)
    consent = consent_of(config) if own else shipped_consent(config.consent_version)
    desk = Desk(setting.name, terminal, setting.feed, consent, setting.line)
    yield Part(screen=desk.host.screen, run=desk.run, stop=desk.host.stop)


def _tell(options: Options, server: KioskServer) -> None:
    options.report.say(f"[green]✓[/] the screen:  {server.url}")
    if server.cashier_url:
        options.report.say(f"[green]✓[/] the cashier: {server.cashier_url}")
    options.report.say(f"  chromium --kiosk {server.write_opener(options.home)}")
