"""A door that is kept and in touch with the service, and decides alone while it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from countenance.commands.terminal_doorkeeping import keep_door
from face_engine.engine import Engine
from terminal_client.camera import Camera
from terminal_client.camera_source import open_camera
from terminal_client.config import Config
from terminal_client.device import Actuator, Device
from terminal_client.door import entry
from terminal_client.door_link import Health, Link
from terminal_client.door_report import DoorReport
from terminal_client.doorkeeper import Keeper
from terminal_client.drivers.settings import Driver, Lock
from terminal_client.enrolment import check_pin
from terminal_client.errors import DriverError, StorageError, Unreachable, UsageError
from terminal_client.exchange import COMPLETED, Ended, Word
from terminal_client.standalone import Desk, LoneTerminal, Standalone
from terminal_client.terminal import OnPrompt, Terminal
from wire.ids import AttemptId
from wire.messages import Decision, EntryContext

if TYPE_CHECKING:
    from countenance.commands.terminal_device import Options

PIN_WAIT_MS = 15_000
PATIENCE_S = 4.0
"""People wait before a door; beyond this it decides itself, or says that it cannot."""


@dataclass
class Gate:
    """``online`` asks the service, ``alone`` the door itself."""

    online: Terminal
    alone: LoneTerminal
    standalone: Standalone
    link: Link
    report: DoorReport
    camera: Camera
    context: EntryContext
    keeper: Keeper
    say: Callable[[str], None]
    has_keypad: bool
    camera_answers: bool = True
    lock_differs: bool = False

    def check(self) -> None:
        """Raises where a part of the door ended: a door that cannot tell what it does stops."""
        if self.link.lock_differs and not self.lock_differs:
            self.say("[red]the service has another kind of lock written down than terminal.toml[/]")
        self.lock_differs = self.link.lock_differs
        for failure in (self.link.failure, self.report.failure):
            if isinstance(failure, StorageError):
                raise failure
            if failure is not None:
                raise DriverError("the door's log or link stopped") from failure

    def attempt(self, claim: str, act: Actuator, on_prompt: OnPrompt) -> tuple[Ended, bool]:
        """One attempt, and whether the door decided it alone.

        Raises :class:`TerminalError` where there is no decision. An attempt that the service may
        have seen is never made again here: two would decide it.
        """
        if self.link.connected:
            try:
                if self.online.outbox.waiting():
                    self.online.reconcile()
                return self._online(claim, act, on_prompt), False
            except Unreachable:
                if self.online.outbox.waiting():
                    raise
        ended = self.alone.attempt(
            self.context, claim, self.camera, act=act, on_prompt=on_prompt, colours=False
        )
        return ended, True

    def _online(self, claim: str, act: Actuator, on_prompt: OnPrompt) -> Ended:
        def act_and_remember(decision: Decision) -> Word:
            word = act(decision)
            if word == COMPLETED:
                self.standalone.passed(decision.attempt, claim, self.context.direction)
            return word

        return self.online.attempt(
            self.context,
            claim,
            self.camera,
            pin=self._ask_pin if self.has_keypad else None,
            act=act_and_remember,
            on_prompt=on_prompt,
        )

    def _ask_pin(self) -> str:
        """Raises :class:`UsageError` where nothing, or no PIN, was typed in time."""
        self.say("  the PIN, ended by #")
        typed = self.keeper.ask_digits(PIN_WAIT_MS)
        if typed is None:
            raise UsageError("no PIN was typed")
        return check_pin(typed)


@contextmanager
def open_gate(
    options: Options, config: Config, device: Device, engine: Engine, camera: Camera | None = None
) -> Iterator[Gate]:
    """``camera``: instead of the configured one. Raises :class:`TerminalError`."""
    identity, keystore = device.identity, device.keystore
    context = entry(identity, config.door.direction)
    camera = camera or open_camera(config.camera, engine)
    parts: list[Gate] = []

    def health() -> Health:
        answers = parts[0].camera_answers if parts else True
        lock = config.door.lock
        wired = None if lock is None else lock is Lock.FAIL_SAFE
        return Health(camera=answers, lock=report.linked, fail_safe=wired)

    def release(attempt: AttemptId) -> None:
        keeper.release(attempt)

    with closing(Standalone(options.home, keystore, identity)) as standalone:
        link = Link(
            standalone,
            keystore,
            identity,
            device.transport,
            engine.model_id,
            health,
            release,
        )
        report = DoorReport(
            standalone,
            linked=config.door.driver is Driver.CONSOLE,
            is_offline=lambda: not link.connected,
            on_noted=link.wake,
        )
        with report, keep_door(options, config, device, report.take) as keeper, link:
            report.has_contact = keeper.has_contact
            online = Terminal(
                keystore,
                device.outbox,
                device.transport,
                engine,
                successor=Engine.open(config.successor) if config.successor else None,
                unix_ms=device.unix_ms,
                patience_s=PATIENCE_S,
            )
            alone = LoneTerminal(
                keystore,
                device.outbox,
                Desk(standalone, keystore, identity),
                engine,
                unix_ms=standalone.clock,
            )
            gate = Gate(
                online,
                alone,
                standalone,
                link,
                report,
                camera,
                context,
                keeper,
                options.report.say,
                has_keypad=config.door.driver is Driver.OSDP,
            )
            parts.append(gate)
            yield gate
