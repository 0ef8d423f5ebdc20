"""A relay and switches on the pins of a single-board computer, through gpiozero.

A relay holds the lock's power: on for a fail-safe lock that is shut, off for a fail-secure one.

Guarantees: the relay is put to shut before anything else, and to off when the driver is closed.
Inputs count once they read the same twice, ``SETTLE_MS`` apart.

The caller must know that a pin keeps its level while a process is killed, until the kernel takes
the line back: docs/doors.md says what that leaves a lock as.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gpiozero import DigitalInputDevice, OutputDevice
from gpiozero.exc import BadPinFactory, GPIOZeroError
from gpiozero.pins import Factory

from terminal_client.drivers.channel import Answered, Input, LastSensed, Link, Release, Signal
from terminal_client.drivers.settings import GpioConfig, Lock
from terminal_client.errors import DriverError

SETTLE_MS = 10


class GpioChannel:
    open_ms_max = 60_000

    def __init__(
        self,
        config: GpioConfig,
        lock: Lock,
        *,
        pins: Factory | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """``pins``: gpiozero's factory; its own choice where there is none.

        Raises :class:`DriverError`.
        """
        self._shut = lock is Lock.FAIL_SAFE
        self._pause = pause
        self._signals: list[Signal] = [Link(True)]
        try:
            self._relay = OutputDevice(
                config.relay,
                active_high=config.active_high,
                initial_value=self._shut,
                pin_factory=pins,
            )
            # Switches go to ground; contact and tamper are closed at rest, so a cut wire alarms.
            self._inputs = {
                what: (DigitalInputDevice(pin, pull_up=True, pin_factory=pins), closed_at_rest)
                for what, pin, closed_at_rest in (
                    (Input.CONTACT, config.contact, True),
                    (Input.TAMPER, config.tamper, True),
                    (Input.EXIT, config.exit, False),
                )
                if pin is not None
            }
        except (GPIOZeroError, BadPinFactory, OSError, ValueError) as error:
            raise DriverError(f"the pins cannot be used: {type(error).__name__}") from error
        self._read: dict[Input, bool] = {}
        self._sensed = LastSensed()

    @property
    def has_contact(self) -> bool:
        return Input.CONTACT in self._inputs

    def release(self, _order: Release) -> None:
        self._relay.value = not self._shut
        self._signals.append(Answered())

    def lock(self) -> None:
        self._relay.value = self._shut

    def signals(self, wait_ms: int) -> list[Signal]:
        left_ms = wait_ms
        while True:
            self._look()
            if self._signals or left_ms <= 0:
                taken, self._signals = self._signals, []
                return taken
            self._pause(min(left_ms, SETTLE_MS) / 1000)
            left_ms -= SETTLE_MS

    def close(self) -> None:
        self._relay.off()
        for device in (self._relay, *(device for device, _ in self._inputs.values())):
            device.close()

    def _look(self) -> None:
        for what, (switch, closed_at_rest) in self._inputs.items():
            active = bool(switch.is_active) is not closed_at_rest
            settled, self._read[what] = active == self._read.get(what), active
            if settled:
                self._signals += self._sensed.change(what, active)
