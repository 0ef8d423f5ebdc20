"""A lock on an MQTT broker, as Home Assistant finds it: we command it, it says what it did.

The broker is trusted with the lock, which it could open by itself; that is why it is reached by
TLS and a password only. Nothing that arrives by MQTT opens our door: there is no topic that we
take commands from, and a contact's topic can only raise or clear alarms.

Guarantees: a release goes out at once or never: not while the broker is away, not kept by it
(not retained, QoS 0, and it expires on its way with the release). The broker itself sends LOCK
where this terminal is lost (its last will). Where the lock does not say *unlocked* anew in time,
the release counts as not taken.

The caller must have put the password in (``countenance terminal door key set``), and give this
terminal alone the right to write to the lock's command topic.
"""

from __future__ import annotations

import queue
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from terminal_client.drivers.channel import (
    ANSWER_MS,
    SIGNALS_MAX,
    Answered,
    Fault,
    Input,
    Link,
    Release,
    Sensed,
    Signal,
)
from terminal_client.drivers.mqtt_lock import LockTopics
from terminal_client.drivers.settings import MqttConfig
from terminal_client.errors import DriverError

KEEPALIVE_S, RECONNECT_S_MAX = 10, 30
PAYLOAD_BYTES_MAX = 64
MESSAGES_MAX = 256
KEPT_AS = "mqtt"

_Arrived = tuple[str, bytes, bool] | bool


class MqttChannel:
    open_ms_max = 60_000

    def __init__(
        self,
        config: MqttConfig,
        password: str,
        client_id: str,
        *,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        """Raises :class:`DriverError`; a broker that is away now is waited for."""
        self._config, self._now_ms = config, monotonic_ms
        self._arrived: queue.Queue[_Arrived] = queue.Queue(maxsize=MESSAGES_MAX)
        self._lock: LockTopics | None = None
        self._connected = self._available = self._up = False
        self._answer_by_ms: int | None = None
        self._signals: list[Signal] = []
        self._client_id, self._password = client_id, password
        try:
            self._tls = ssl.create_default_context(cafile=config.ca_file)
        except OSError as error:
            raise DriverError(f"{config.ca_file} holds no certificates to trust") from error
        self._client = self._connect()

    @property
    def has_contact(self) -> bool:
        return self._config.contact is not None

    def release(self, order: Release) -> None:
        if not self._up or self._lock is None:
            self._signals.append(Answered(Fault.NOT_CONNECTED))
        elif self._answer_by_ms is not None:
            self._signals.append(Answered(Fault.BUSY))
        else:
            expiry_s = max(1, order.open_ms // 1000)
            if self._publish(self._lock.command, self._lock.unlock, expiry_s):
                self._answer_by_ms = self._now_ms() + ANSWER_MS
            else:
                self._signals.append(Answered(Fault.NOT_CONNECTED))

    def lock(self) -> None:
        if self._lock is not None:
            self._publish(self._lock.command, self._lock.lock, None)

    def signals(self, wait_ms: int) -> list[Signal]:
        with suppress(queue.Empty):
            self._take(self._arrived.get(timeout=0 if self._signals else wait_ms / 1000))
            while len(self._signals) < SIGNALS_MAX:
                self._take(self._arrived.get_nowait())
        if self._answer_by_ms is not None and self._now_ms() >= self._answer_by_ms:
            self._answer(Fault.NO_ANSWER)
        taken, self._signals = self._signals, []
        return taken

    def close(self) -> None:
        self.lock()
        with suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()

    def _connect(self) -> Client:
        """A client with the will that the lock, once it is known, calls for."""
        client = Client(
            CallbackAPIVersion.VERSION2, self._client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        client.tls_set_context(self._tls)
        client.username_pw_set(self._config.user, self._password)
        client.reconnect_delay_set(1, RECONNECT_S_MAX)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        if self._lock is not None:
            client.will_set(self._lock.command, self._lock.lock)
        client.connect_async(self._config.host, self._config.port, KEEPALIVE_S, clean_start=True)
        client.loop_start()
        return client

    def _on_connect(self, client: Client, _user: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            return
        topics = [self._config.discovery, self._config.contact]
        if self._lock is not None:
            topics += [self._lock.state, self._lock.availability]
        client.subscribe([(topic, 0) for topic in topics if topic is not None])
        self._put(True)

    def _on_disconnect(self, *_: object) -> None:
        self._put(False)

    def _on_message(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        self._put((message.topic, bytes(message.payload), message.retain))

    def _put(self, arrived: _Arrived) -> None:
        """A broker that floods loses messages, never the connection's end."""
        while True:
            try:
                return self._arrived.put_nowait(arrived)
            except queue.Full:
                with suppress(queue.Empty):
                    self._arrived.get_nowait()

    def _take(self, arrived: _Arrived) -> None:
        if isinstance(arrived, bool):
            self._connected = arrived
            self._available = arrived and self._lock is not None and not self._lock.availability
            self._link()
            return
        topic, payload, kept = arrived
        if topic == self._config.discovery:
            self._discover(LockTopics.parse(payload))
            return
        text = payload[:PAYLOAD_BYTES_MAX].decode("utf-8", "replace")
        if topic == self._config.contact and text in ("ON", "OFF"):
            self._signals.append(Sensed(Input.CONTACT, text == "ON"))
        elif self._lock is not None and topic == self._lock.availability:
            self._available = text == self._lock.available
            self._link()
        elif self._lock is not None and topic == self._lock.state and not kept:
            if text == self._lock.unlocked:
                self._answer(None)
            elif text == self._lock.jammed:
                self._answer(Fault.JAMMED)

    def _discover(self, lock: LockTopics | None) -> None:
        """A lock that is new, or moved, is connected to anew: the will goes with a connection."""
        if lock == self._lock:
            return
        self._lock, self._available, self._connected = lock, False, False
        self._link()
        self._client.on_message = self._client.on_connect = self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()
        self._client = self._connect()

    def _link(self) -> None:
        up = self._connected and self._available and self._lock is not None
        if up == self._up:
            return
        self._up = up
        if up:
            self.lock()
        else:
            self._answer(Fault.NOT_CONNECTED)
        self._signals.append(Link(up, None if up else Fault.NOT_CONNECTED))

    def _answer(self, fault: Fault | None) -> None:
        if self._answer_by_ms is not None:
            self._answer_by_ms = None
            self._signals.append(Answered(fault))

    def _publish(self, topic: str, payload: str, expiry_s: int | None) -> bool:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        if not self._client.is_connected():
            return False
        sent = self._client.publish(topic, payload, qos=0, retain=False, properties=properties)
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
