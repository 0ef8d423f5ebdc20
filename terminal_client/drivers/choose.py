"""Opens the driver that ``terminal.toml`` names, with its secret from the keystore."""

from __future__ import annotations

from collections.abc import Callable

from terminal_client.drivers.channel import Channel
from terminal_client.drivers.console import ConsoleChannel
from terminal_client.drivers.settings import (
    DoorConfig,
    Driver,
    GpioConfig,
    HttpConfig,
    MqttConfig,
    OsdpConfig,
)
from terminal_client.errors import DriverError
from terminal_client.keystore import Keystore


def open_channel(config: DoorConfig, keystore: Keystore, say: Callable[[str], None]) -> Channel:
    """``say``: where a lock that is only shown says what it does.

    Raises :class:`DriverError`, and :class:`ModuleNotFoundError` where an extra is missing.
    """
    settings, lock = config.settings, config.lock
    if settings is None or lock is None:
        return ConsoleChannel(say)
    match settings:
        case OsdpConfig():
            from terminal_client.drivers.osdp_keys import LineKeys  # noqa: PLC0415 (its extra)
            from terminal_client.drivers.osdp_panel import OsdpPanel  # noqa: PLC0415
            from terminal_client.drivers.osdp_reader import OsdpReader  # noqa: PLC0415

            keys = LineKeys(keystore)
            if config.driver is Driver.OSDP_READER:
                return OsdpReader(settings, keys)
            return OsdpPanel(settings, lock, keys)
        case MqttConfig():
            from terminal_client.drivers import mqtt  # noqa: PLC0415

            password = _secret(keystore, mqtt.KEPT_AS).decode()
            client_id = f"countenance-{keystore.public_key.hex()[:16]}"
            return mqtt.MqttChannel(settings, password, client_id)
        case GpioConfig():
            from terminal_client.drivers.gpio import GpioChannel  # noqa: PLC0415

            return GpioChannel(settings, lock)
        case HttpConfig():
            from terminal_client.drivers import http_relay  # noqa: PLC0415

            return http_relay.HttpRelay(settings, _secret(keystore, http_relay.KEPT_AS))


def _secret(keystore: Keystore, name: str) -> bytes:
    raw = keystore.secret(name)
    if raw is None:
        raise DriverError("the lock's secret is missing: countenance terminal door key set")
    return raw
