"""The relay and the switches, on gpiozero's mock pins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpiozero.pins.mock import MockFactory

from terminal_client.drivers.channel import Answered, Input, Link, Release, Sensed, Signal
from terminal_client.drivers.gpio import GpioChannel
from terminal_client.drivers.settings import GpioConfig, Lock
from terminal_client.errors import DriverError

CONFIG = GpioConfig(relay=17, contact=27, exit=22, tamper=23)


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = MockFactory()
    for switch in (27, 23):
        factory.pin(switch)
    yield factory
    factory.close()


def channel(pins: MockFactory, lock: Lock = Lock.FAIL_SECURE, **more: object) -> GpioChannel:
    config = GpioConfig(relay=17, contact=27, exit=22, tamper=23, **more)  # type: ignore[arg-type]
    return GpioChannel(config, lock, pins=pins, pause=lambda _s: None)


def settled(found: GpioChannel) -> list[Signal]:
    return [signal for _ in range(4) for signal in found.signals(20)]


@pytest.mark.parametrize("active_high", [True, False])
@pytest.mark.parametrize(
    ("lock", "at_rest", "released"), [(Lock.FAIL_SECURE, 0, 1), (Lock.FAIL_SAFE, 1, 0)]
)
def test_the_relay_at_start_release_lock_and_stop(
    pins: MockFactory, lock: Lock, at_rest: int, released: int, active_high: bool
) -> None:
    """Stopped, the relay is off: a fail-secure lock is shut then, and a fail-safe one open."""
    coil = pins.pin(17)
    seen = [channel(pins, lock, active_high=active_high)]
    states = [coil.state]
    seen[0].release(Release(open_ms=500))
    states.append(coil.state)
    seen[0].lock()
    states.append(coil.state)
    seen[0].close()
    states.append(coil.state)
    wanted = [at_rest, released, at_rest, 0]
    assert states == [each if active_high else 1 - each for each in wanted]


def test_contact_exit_and_tamper(pins: MockFactory) -> None:
    opened = channel(pins)
    for switch in (27, 23):
        pins.pin(switch).drive_low()
    got = settled(opened)
    assert got == [Link(True), Sensed(Input.CONTACT, False)]
    pins.pin(27).drive_high()
    pins.pin(22).drive_low()
    assert set(settled(opened)) == {Sensed(Input.CONTACT, True), Sensed(Input.EXIT, True)}
    pins.pin(22).drive_high()
    pins.pin(23).drive_high()
    assert set(settled(opened)) == {Sensed(Input.EXIT, False), Sensed(Input.TAMPER, True)}
    opened.close()


def test_a_cut_wire_reads_as_an_open_door(pins: MockFactory) -> None:
    opened = channel(pins)
    assert Sensed(Input.CONTACT, True) in settled(opened)
    assert Sensed(Input.TAMPER, True) not in opened.signals(0)
    opened.close()


def test_a_flicker_is_no_signal(pins: MockFactory) -> None:
    opened = channel(pins)
    for switch in (27, 23):
        pins.pin(switch).drive_low()
    settled(opened)
    pins.pin(27).drive_high()
    opened.signals(0)
    pins.pin(27).drive_low()
    assert settled(opened) == []
    opened.close()


def test_a_pin_that_is_used_is_an_error(pins: MockFactory) -> None:
    opened = channel(pins)
    with pytest.raises(DriverError, match="GPIOPinInUse"):
        channel(pins)
    opened.close()


def test_a_release_is_answered(pins: MockFactory) -> None:
    opened = channel(pins)
    opened.signals(0)
    opened.release(Release(open_ms=500))
    assert Answered() in opened.signals(0)
    opened.close()
