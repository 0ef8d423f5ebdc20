"""A lock on a real Mosquitto, with TLS and a password, that the test starts itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from terminal_client.drivers import mqtt
from terminal_client.drivers.channel import Answered, Fault, Input, Link, Release, Sensed, Signal
from terminal_client.drivers.mqtt import MqttChannel
from terminal_client.drivers.settings import MqttConfig
from terminal_client.errors import DriverError
from tests.drivers.broker import (
    BROKER,
    CONTACT,
    DISCOVERY,
    PASSWORD,
    Broker,
    LockPeer,
    make_broker,
    prepare_broker,
)
from tests.drivers.peers import until

pytestmark = pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mosquitto")
    prepare_broker(made)
    return made


@pytest.fixture
def broker(folder: Path) -> Iterator[Broker]:
    started = make_broker(folder)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def lock(broker: Broker) -> Iterator[LockPeer]:
    peer = LockPeer(broker)
    yield peer
    peer.close()


@dataclass
class Driven:
    channel: MqttChannel
    got: list[Signal] = field(default_factory=list)

    def turn(self) -> None:
        self.got += self.channel.signals(20)

    def until(self, *signals: Signal) -> None:
        until(lambda: all(each in self.got for each in signals), self.turn, within_s=20.0)


@pytest.fixture
def ours(broker: Broker) -> Iterator[Callable[..., Driven]]:
    opened: list[MqttChannel] = []

    def start(password: str = PASSWORD, **more: Any) -> Driven:
        values = {
            "host": "127.0.0.1", "port": broker.port, "ca_file": broker.ca_file, "user": "door",
            "discovery": DISCOVERY, "contact": CONTACT, **more,
        }  # fmt: skip
        opened.append(MqttChannel(MqttConfig(**values), password, "door-test"))
        return Driven(opened[-1])

    yield start
    for each in opened:
        each.close()


def test_a_lock_is_found_commanded_and_says_so(lock: LockPeer, ours: Callable[..., Driven]) -> None:
    door = ours()
    door.until(Link(True))
    until(lambda: lock.commands == ["LOCK"], door.turn)
    door.channel.release(Release(open_ms=2_000))
    door.channel.release(Release(open_ms=2_000))
    door.until(Answered(), Answered(Fault.BUSY))
    lock.says(CONTACT, "ON")
    door.until(Sensed(Input.CONTACT, True))
    door.channel.lock()
    until(lambda: lock.commands == ["LOCK", "UNLOCK", "LOCK"], door.turn)


def test_what_others_publish_opens_nothing_of_ours(
    lock: LockPeer, ours: Callable[..., Driven]
) -> None:
    """The state, a kept one too, and all topics that we read: none makes an answer or an order."""
    door = ours()
    door.until(Link(True))
    until(lambda: lock.commands == ["LOCK"], door.turn)
    door.got.clear()
    for topic in ("front/state", DISCOVERY + "/x", CONTACT):
        for payload in ("UNLOCK", "UNLOCKED", "OPEN", '{"state": "UNLOCKED"}'):
            lock.says(topic, payload)
    lock.says(CONTACT, "OFF")
    door.until(Sensed(Input.CONTACT, False))
    assert door.got == [Sensed(Input.CONTACT, False)]
    assert lock.commands == ["LOCK"]


def test_a_lock_that_does_not_answer_or_jams(
    lock: LockPeer, ours: Callable[..., Driven], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = ours()
    door.until(Link(True))
    lock.dead = True
    with monkeypatch.context() as hurried:
        hurried.setattr(mqtt, "ANSWER_MS", 200)
        door.channel.release(Release(open_ms=500))
        door.until(Answered(Fault.NO_ANSWER))
    lock.dead, lock.jams = False, True
    door.channel.release(Release(open_ms=500))
    door.until(Answered(Fault.JAMMED))


def test_a_broker_that_restarts(
    broker: Broker, lock: LockPeer, ours: Callable[..., Driven]
) -> None:
    door = ours()
    door.until(Link(True))
    broker.stop()
    door.until(Link(False, Fault.NOT_CONNECTED))
    door.channel.release(Release(open_ms=2_000))
    door.until(Answered(Fault.NOT_CONNECTED))
    door.got.clear()
    lock.commands.clear()
    broker.start()
    door.until(Link(True))
    until(lambda: "LOCK" in lock.commands, door.turn)
    assert "UNLOCK" not in lock.commands
    door.channel.release(Release(open_ms=2_000))
    door.until(Answered())


def test_a_lock_that_goes_offline_gets_nothing(lock: LockPeer, ours: Callable[..., Driven]) -> None:
    door = ours()
    door.until(Link(True))
    until(lambda: lock.commands == ["LOCK"], door.turn)
    lock.says("front/available", "offline", retain=True)
    door.until(Link(False, Fault.NOT_CONNECTED))
    lock.commands.clear()
    door.channel.release(Release(open_ms=2_000))
    door.until(Answered(Fault.NOT_CONNECTED))
    assert lock.commands == []


def test_the_broker_locks_for_a_terminal_that_died(
    lock: LockPeer, ours: Callable[..., Driven]
) -> None:
    door = ours()
    door.until(Link(True))
    door.channel.release(Release(open_ms=60_000))
    door.until(Answered())
    lock.commands.clear()
    door.channel._client.socket().close()
    until(lambda: "LOCK" in lock.commands, lambda: time.sleep(0.02), within_s=30.0)


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_a_broker_that_is_not_ours_is_no_link(
    lock: LockPeer, ours: Callable[..., Driven], wrong: str
) -> None:
    door = ours("wrong") if wrong == "password" else ours(ca_file=None)
    for _ in range(40):
        door.turn()
    door.channel.release(Release(open_ms=500))
    door.until(Answered(Fault.NOT_CONNECTED))
    assert door.got == [Answered(Fault.NOT_CONNECTED)]


def test_an_authority_that_is_none(broker: Broker, tmp_path: Path) -> None:
    config = MqttConfig(
        host="127.0.0.1", user="door", discovery="a", ca_file=str(tmp_path / "none")
    )
    with pytest.raises(DriverError, match="certificates"):
        MqttChannel(config, PASSWORD, "x")
