"""``countenance terminal register | status | reconcile | enrol | pay | enter``.

Runs on the device; see :mod:`countenance.commands.terminal_report` for the exit codes. Every
attempt first settles what the last run left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from platformdirs import user_data_path
from rich.markup import escape
from rich.table import Table

from countenance.arguments import IdType, MoneyType, as_json
from countenance.commands.terminal_doorkeeping import keep_door
from countenance.commands.terminal_machine import machine_of
from countenance.commands.terminal_report import Report, Screen
from countenance.output import console, err_console
from face_engine.engine import Engine
from terminal_client.camera_source import open_camera
from terminal_client.card import attempt_by_card, check_card_claim
from terminal_client.checkout import payment, waiting_payment
from terminal_client.config import FILE_BYTES_MAX, Config, write_config
from terminal_client.device import Actuator, Device, left_over
from terminal_client.door import entry
from terminal_client.enrolment import CONSENT_TEXT, Consent, check_claim, check_pin, enrolment
from terminal_client.errors import (
    InUse,
    NotRegistered,
    NotTheService,
    Rejected,
    Unreachable,
    UsageError,
)
from terminal_client.exchange import Ended, Word
from terminal_client.keystore import Keystore
from terminal_client.outbox import Outbox
from terminal_client.terminal import Terminal, acted
from terminal_client.transport import HttpTransport
from wire.ids import AccountId, PaymentIntentId
from wire.messages import NO_BIOMETRICS, Context, Decision, Source, TerminalKind
from wire.money import Money

KINDS = [kind.name.lower() for kind in TerminalKind]
ENROLMENT = TerminalKind.ENROLMENT
PIN_BYTES_MAX = 64
OUTBOX = "outbox.db"


def default_home() -> Path:
    root = os.geteuid() == 0
    return Path("/var/lib/countenance-terminal") if root else user_data_path("countenance-terminal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed; what was not stands in ``terminal.toml``."""

    home: Path
    report: Report
    service: str | None
    ca_file: str | None
    camera: str | None = None
    pack: str | None = None
    claim: str | None = field(default=None, repr=False)

    @property
    def typed(self) -> dict[str, str]:
        names = ("service", "ca_file", "camera", "pack")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def config(self) -> Config:
        """Raises :class:`NotRegistered`, :class:`UsageError` or :class:`StorageError`."""
        found = Config.load(self.home)
        if found is None:
            raise NotRegistered(f"{self.home} holds no terminal.toml")
        return replace(found, **self.typed)  # type: ignore[arg-type]

    @contextmanager
    def device(self, config: Config) -> Iterator[Device]:
        """The opened device; the ways in which the service does not answer end here."""
        transport = HttpTransport(config.service, ca_file=config.ca_file)
        with Device(Keystore(self.home), Outbox(self.home / OUTBOX), transport) as device:
            try:
                yield device
            except (Unreachable, NotTheService) as error:
                self.report.unreachable(str(error), len(device.outbox.waiting()))
            except Rejected as error:
                self.report.clock(error, device.unix_ms())
                raise
            except KeyboardInterrupt:
                waiting = len(device.outbox.waiting())
                if waiting:
                    self.report.unreachable("it was not waited for", waiting)
                raise


def device_command(*more: Callable[[Any], Any]) -> Callable[[Callable[..., None]], click.Command]:
    """A command that gets :class:`Options` first; ``more``: its own arguments."""
    decorators = (
        *more,
        click.option("--home", type=click.Path(path_type=Path), default=default_home,
                     envvar="COUNTENANCE_TERMINAL_HOME", help="The terminal's own folder."),
        click.option("--service", help="The service's https URL."),
        click.option("--ca-file", help="PEM file of the certificates to trust."),
        as_json,
    )  # fmt: skip

    def decorate(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def run(
            home: Path, service: str | None, ca_file: str | None, as_json: bool, **values: Any
        ) -> None:
            report = Report(err_console if as_json else console, as_json=as_json)
            chosen = {name: values.pop(name, None) for name in ("camera", "pack", "claim")}
            options = Options(home=home, report=report, service=service, ca_file=ca_file, **chosen)
            with report.translating():
                function(options, **values)

        command: Any = run
        for decorator in reversed(decorators):
            command = decorator(command)
        return click.command()(command)

    return decorate


CAMERA = click.option(
    "--camera", help="0 (device), rtsp://…, a video, a folder of pictures, simulated:PHOTO."
)
PACK = click.option("--pack", help="The model pack.")
CLAIM = click.option("--claim", help="card:…, phone:…, qr:… or badge:…; asked for if missing.")
NO_FACE = click.option("--no-face", is_flag=True, help="By card, code or badge, and PIN.")
MONEY = click.argument("money", metavar="AMOUNT", type=MoneyType())


@device_command(
    click.argument("code"),
    click.option("--kind", type=click.Choice(KINDS), required=True),
    CAMERA,
    PACK,
)
def register(options: Options, code: str, kind: str) -> None:
    """Make this device a terminal, with the CODE that an operator gave out."""
    config = Config.load(options.home)
    if config is None and options.service is None:
        raise UsageError("give the service's address: --service https://…")
    config = replace(config or Config(service=""), **options.typed)  # type: ignore[arg-type]
    with options.device(config) as device:
        if device.keystore.identity is not None:
            known = device.identity.terminal
            raise UsageError(f"this home is {known} already: choose another --home")
        write_config(options.home, config)
        identity = device.register(code, TerminalKind[kind.upper()])
        if identity.kind is TerminalKind.STORE:
            device.keystore.till_token()
    options.report.say(f"[green]✓[/] {identity.terminal} ({kind})")
    options.report.say(f"  settings: {escape(str(options.home / 'terminal.toml'))}")
    options.report.finish({"outcome": "registered", "terminal": str(identity.terminal)})


@device_command()
def status(options: Options) -> None:
    """Who this terminal is, and what waits to be sent. Asks nobody."""
    config, keystore = options.config(), Keystore(options.home)
    identity = keystore.identity
    if identity is None:
        raise NotRegistered("there is no identity yet")
    values = {
        "terminal": str(identity.terminal),
        "kind": identity.kind.name.lower(),
        "merchant": str(identity.merchant) if identity.merchant else None,
        "door": str(identity.door) if identity.door else None,
        "service": config.service,
        "camera": _without_password(config.camera),
        "pack": config.pack,
        "waiting": _waiting(options.home),
    }
    table = Table("what", "value")
    for name, value in values.items():
        if value is not None:
            table.add_row(name, escape(str(value)))
    options.report.out.print(table)
    options.report.finish({"outcome": "registered", **values})


def _waiting(home: Path) -> int | str:
    try:
        with closing(Outbox(home / OUTBOX)) as outbox:
            return len(outbox.waiting())
    except InUse:
        return "in use"


def _without_password(camera: str) -> str:
    return camera.replace(urlsplit(camera).netloc.rpartition("@")[0] + "@", "", 1)


@device_command()
def reconcile(options: Options) -> None:
    """Settle what the last run left: ask for lost decisions, deliver confirmations."""
    config = options.config()
    with options.device(config) as device, machine_of(options.home, config, device) as machine:
        learned = device.reconcile(machine.settle if machine else left_over)
    _tell(options.report, learned)
    options.report.say("[green]✓[/] nothing waits")
    options.report.finish(
        {"outcome": "settled", "settled": {str(each.attempt): each.approved for each in learned}}
    )


@device_command(MONEY, click.option("--order", required=True), CLAIM, CAMERA, PACK, NO_FACE)
def pay(options: Options, money: Money, order: str, no_face: bool) -> None:
    """Take a payment: countenance terminal pay '12.50 EUR' --order A-1."""
    config = options.config()
    with options.device(config) as device:
        context = payment(device.identity, money, order)
        done = f"{money} paid"
        take_attempt(options, config, device, context, done=done, no_face=no_face)


@device_command(
    click.argument("intent", required=False, type=IdType(PaymentIntentId)),
    CLAIM,
    CAMERA,
    PACK,
    NO_FACE,
)
def take(options: Options, intent: PaymentIntentId | None, no_face: bool) -> None:
    """Take the payment INTENT (pay_…), or without it the oldest that waits for this terminal."""
    config = options.config()
    with options.device(config) as device:
        context = waiting_payment(device, intent)
        if context is None:
            raise UsageError("no payment waits for this terminal")
        options.report.say(f"[bold]{context.money}[/] for order {escape(context.order)}")
        done = f"{context.money} paid"
        take_attempt(options, config, device, context, done=done, no_face=no_face)


@device_command(CLAIM, CAMERA, PACK, NO_FACE)
def enter(options: Options, no_face: bool) -> None:
    """Open the door that this terminal stands at, for one person."""
    config = options.config()
    with options.device(config) as device:
        context = entry(device.identity, config.door.direction)
        claimed = replace(options, claim=claim_of(options))
        with keep_door(options, config, device) as keeper:

            def act(decision: Decision) -> Word:
                return keeper.admit(decision, claimed.claim)

            done = "the door is open"
            take_attempt(claimed, config, device, context, act=act, done=done, no_face=no_face)


@device_command(
    click.option("--agreed", is_flag=True, help="The customer has signed the consent text."),
    CLAIM,
    CAMERA,
    PACK,
    click.option("--no-face", is_flag=True, help="Card or code and PIN; no consent is needed."),
)
def enrol(options: Options, agreed: bool, no_face: bool) -> None:
    """Enrol a customer, who agrees first."""
    config = options.config()
    account = AccountId.new()
    done = f"{account} is enrolled"
    with options.device(config) as device:
        if no_face:
            context = enrolment(device.identity, account, NO_BIOMETRICS)
            take_attempt(options, config, device, context, done=done, no_face=True)
            return
        consent = consent_of(config)
        language = consent.language(config.kiosk_language)
        context = enrolment(device.identity, account, consent.named(language))
        text = escape(consent.texts[language])
        options.report.say(f"[bold]Consent {escape(consent.named(language))}[/]\n{text}")
        if not agreed and not click.confirm("Does the customer agree?", err=True):
            raise UsageError("no consent, no face: enrol --no-face takes a card or code and a PIN")
        take_attempt(options, config, device, context, done=done)


def consent_of(config: Config) -> Consent:
    """Raises :class:`UsageError` for a file that cannot be read."""
    texts = {language: _read_text(path) for language, path in config.consent_files.items()}
    return Consent(version=config.consent_version, texts=texts or {"en": CONSENT_TEXT})


def _read_text(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(FILE_BYTES_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read") from error


def take_attempt(
    options: Options,
    config: Config,
    device: Device,
    context: Context,
    *,
    done: str,
    act: Actuator = acted,
    settle: Actuator = left_over,
    no_face: bool = False,
) -> None:
    """Settles, captures, decides, acts and reports."""
    _tell(options.report, device.reconcile(settle))
    words: list[Word] = []

    def act_and_note(decision: Decision) -> Word:
        words.append(act(decision))
        return words[-1]

    take = _by_card if no_face else _by_face
    ended, source = take(options, config, device, context, act_and_note)
    waiting = len(device.outbox.waiting())
    options.report.ended(ended, words[0] if words else None, source, waiting, done)


def _by_card(
    options: Options, _config: Config, device: Device, context: Context, act: Actuator
) -> tuple[Ended, None]:
    """No camera is opened."""
    claim, twice = check_card_claim(claim_of(options)), device.identity.kind is ENROLMENT
    return attempt_by_card(device, context, claim, lambda: read_pin(twice=twice), act=act), None


def _by_face(
    options: Options, config: Config, device: Device, context: Context, act: Actuator
) -> tuple[Ended, Source]:
    engine = Engine.open(config.pack)
    camera = open_camera(config.camera, engine)
    claim = claim_of(options)
    screen = Screen(options.report.out)

    def ask_pin() -> str:
        screen.close()
        return read_pin(twice=False)

    pin = read_pin(twice=True) if device.identity.kind is ENROLMENT else ask_pin
    terminal = Terminal(
        device.keystore,
        device.outbox,
        device.transport,
        engine,
        successor=Engine.open(config.successor) if config.successor else None,
        unix_ms=device.unix_ms,
    )
    try:
        ended = terminal.attempt(context, claim, camera, pin=pin, act=act, on_prompt=screen.show)
    finally:
        screen.close()
    return ended, camera.source


def _tell(report: Report, learned: list[Decision]) -> None:
    for decision in learned:
        said = "approved" if decision.approved else f"denied ({decision.reason})"
        report.say(f"[yellow]settled from last time:[/] {decision.attempt} was {said}")


def claim_of(options: Options) -> str:
    """From ``--claim``, or typed unseen."""
    if options.claim is not None:
        return check_claim(options.claim)
    return str(click.prompt("Claim", hide_input=True, err=True, value_proc=_typed(check_claim)))


def read_pin(*, twice: bool) -> str:
    """From the file descriptor that ``COUNTENANCE_PIN_FD`` names, or typed unseen."""
    descriptor = os.environ.get("COUNTENANCE_PIN_FD")
    if descriptor is None:
        return str(
            click.prompt(
                "PIN",
                hide_input=True,
                confirmation_prompt=twice,
                err=True,
                value_proc=_typed(check_pin),
            )
        )
    try:
        raw = os.read(int(descriptor), PIN_BYTES_MAX)
    except (ValueError, OSError) as error:
        raise UsageError("COUNTENANCE_PIN_FD is no file descriptor that can be read") from error
    return check_pin(raw.decode("ascii", "replace").strip())


def _typed(check: Callable[[str], str]) -> Callable[[str], str]:
    """For prompts: what is typed wrongly is asked for again."""

    def convert(text: str) -> str:
        try:
            return check(text.strip())
        except UsageError as error:
            raise click.UsageError(str(error)) from error

    return convert
