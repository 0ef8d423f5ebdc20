"""The ``[door]`` table of ``terminal.toml``: which lock, and how it fails.

Guarantees: as :mod:`terminal_client.config`. A driver that moves a real lock must be told
whether the lock is fail-safe or fail-secure; there is no default for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from terminal_client.door import HELD_MS, OPEN_MS, DoorPolicy, Exit
from terminal_client.errors import UsageError
from wire.messages import Direction

if TYPE_CHECKING:
    from terminal_client.config import Table

OPEN_MS_MIN, OPEN_MS_MAX = 500, 60_000
HELD_MS_MIN, HELD_MS_MAX = 1_000, 3_600_000
BAUDS = (9600, 19200, 38400, 57600, 115200, 230400)
ADDRESS_MAX, PLACE_MAX, PIN_MAX = 126, 31, 53
NONE = -1
KEYPADS = ("badge", "card", "phone")

E = TypeVar("E", bound=Enum)


class Driver(Enum):
    CONSOLE = "console"
    OSDP = "osdp"
    OSDP_READER = "osdp-reader"
    MQTT = "mqtt"
    GPIO = "gpio"
    HTTP = "http"


class Lock(Enum):
    """What the lock does without power: fail-safe opens, fail-secure stays shut."""

    FAIL_SAFE = "fail-safe"
    FAIL_SECURE = "fail-secure"


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdpConfig:
    """``contact`` and ``exit`` are the reader's inputs, ``output`` its relay, counted from 0;
    ``keypad`` is the kind of claim that a typed number makes."""

    port: str
    baud: int = 9600
    address: int = 0
    output: int = 0
    contact: int | None = None
    exit: int | None = None
    keypad: str = "badge"

    @classmethod
    def take(cls, table: Table) -> OsdpConfig:
        config = cls(
            port=table.text("port", None),
            baud=table.number("baud", 9600, BAUDS[0], BAUDS[-1]),
            address=table.number("address", 0, 0, ADDRESS_MAX),
            output=table.number("output", 0, 0, PLACE_MAX),
            contact=_place(table, "contact", PLACE_MAX),
            exit=_place(table, "exit", PLACE_MAX),
            keypad=table.text("keypad", "badge"),
        )
        if config.baud not in BAUDS:
            raise UsageError(f"door.osdp.baud is one of {', '.join(map(str, BAUDS))}")
        if config.keypad not in KEYPADS:
            raise UsageError(f"door.osdp.keypad is one of {', '.join(KEYPADS)}")
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """``discovery`` is the topic under which the lock announces itself; ``contact``, if there
    is one, is a topic of ON (the door is open) and OFF."""

    host: str
    port: int = 8883
    ca_file: str | None = None
    user: str = ""
    discovery: str
    contact: str | None = None

    @classmethod
    def take(cls, table: Table) -> MqttConfig:
        return cls(
            host=table.text("host", None),
            port=table.number("port", 8883, 1, 65_535),
            ca_file=table.text("ca_file", "") or None,
            user=table.text("user", None),
            discovery=_topic(table, "discovery", None),
            contact=_topic(table, "contact", "") or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpioConfig:
    """Pins by their BCM numbers. ``active_high``: the relay is on while its pin is high. A
    contact or tamper switch that is closed to ground is at rest, an exit button is pressed."""

    relay: int
    active_high: bool = True
    contact: int | None = None
    exit: int | None = None
    tamper: int | None = None

    @classmethod
    def take(cls, table: Table) -> GpioConfig:
        config = cls(
            relay=table.number("relay", NONE, 0, PIN_MAX),
            active_high=table.take("active_high", bool, True),
            contact=_place(table, "contact", PIN_MAX),
            exit=_place(table, "exit", PIN_MAX),
            tamper=_place(table, "tamper", PIN_MAX),
        )
        pins = [config.relay, config.contact, config.exit, config.tamper]
        used = [pin for pin in pins if pin is not None]
        if len(used) != len(set(used)):
            raise UsageError("door.gpio names one pin twice")
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """``key_id`` says to the relay which of its keys is ours."""

    url: str = field(repr=False)
    ca_file: str | None = None
    key_id: str = "door"
    contact: bool = False

    @classmethod
    def take(cls, table: Table) -> HttpConfig:
        config = cls(
            url=table.text("url", None),
            ca_file=table.text("ca_file", "") or None,
            key_id=table.text("key_id", "door", longest=40),
            contact=table.take("contact", bool, False),
        )
        if urlsplit(config.url).username is not None:
            raise UsageError("door.http.url holds no user: the requests are signed")
        return config


Settings = OsdpConfig | MqttConfig | GpioConfig | HttpConfig
_TAKES: dict[Driver, Callable[[Table], Settings]] = {
    Driver.OSDP: OsdpConfig.take,
    Driver.OSDP_READER: OsdpConfig.take,
    Driver.MQTT: MqttConfig.take,
    Driver.GPIO: GpioConfig.take,
    Driver.HTTP: HttpConfig.take,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorConfig:
    driver: Driver = Driver.CONSOLE
    lock: Lock | None = None
    open_ms: int = OPEN_MS
    held_ms: int = HELD_MS
    direction: Direction = Direction.IN
    exit: Exit = Exit.EXPLAINS
    settings: Settings | None = None

    @property
    def policy(self) -> DoorPolicy:
        return DoorPolicy(open_ms=self.open_ms, held_ms=self.held_ms, exit=self.exit)

    @classmethod
    def take(cls, table: Table) -> DoorConfig:
        """Takes the whole table; raises :class:`UsageError`."""
        driver = _choice("door.driver", Driver, table.text("driver", Driver.CONSOLE.value))
        lock = table.text("lock", "")
        config = cls(
            driver=driver,
            lock=_choice("door.lock", Lock, lock) if lock else None,
            open_ms=table.number("open_ms", OPEN_MS, OPEN_MS_MIN, OPEN_MS_MAX),
            held_ms=table.number("held_ms", HELD_MS, HELD_MS_MIN, HELD_MS_MAX),
            direction=_direction(table.text("direction", "in")),
            exit=_choice("door.exit", Exit, table.text("exit", Exit.EXPLAINS.value)),
            settings=_settings(driver, table),
        )
        if config.lock is None and driver is not Driver.CONSOLE:
            raise UsageError("door.lock is missing: fail-safe or fail-secure, as the lock is built")
        table.close()
        return config


def _settings(driver: Driver, table: Table) -> Settings | None:
    """The driver's own table; tables of other drivers may stand there, unread."""
    tables = {name: table.table(name) for name in ("osdp", "mqtt", "gpio", "http")}
    if driver is Driver.CONSOLE:
        return None
    own = tables[driver.value.partition("-")[0]]
    settings = _TAKES[driver](own)
    own.close()
    return settings


def _place(table: Table, key: str, most: int) -> int | None:
    place = table.number(key, NONE, NONE, most)
    return None if place == NONE else place


def _topic(table: Table, key: str, default: str | None) -> str:
    topic = table.text(key, default)
    if any(each in topic for each in "+#\x00"):
        raise UsageError(f"door.mqtt.{key} is one topic, without wildcards")
    return topic


def _choice(key: str, kind: type[E], text: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{key} is {' or '.join(each.value for each in kind)}") from None


def _direction(text: str) -> Direction:
    try:
        return Direction[text.upper()]
    except KeyError:
        raise UsageError("door.direction is in or out") from None
