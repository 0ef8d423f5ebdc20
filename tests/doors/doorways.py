"""Doors as processes, each with the hardware of its driver, and people before them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import osdp_sys

from terminal_client.badge import Badge
from terminal_client.device import Device
from terminal_client.door_log import FILE_NAME, DoorLog
from terminal_client.drivers import mqtt
from terminal_client.drivers.osdp_keys import LineKeys, new_key
from terminal_client.drivers.osdp_panel import ON_FOR
from terminal_client.keystore import Identity, Keystore, write_whole
from terminal_client.outbox import Outbox
from terminal_client.transport import HttpTransport
from tests.doors.cables import Cable
from tests.doors.process import SCENE, SKEW
from tests.drivers.broker import CONTACT, DISCOVERY, PASSWORD, Broker, LockPeer
from tests.drivers.line import TappedLine
from tests.drivers.peers import PanelPeer, ReaderPeer
from wire.messages import TerminalKind

START_S, OUTCOME_S, STOP_S = 120.0, 60.0, 60.0
AGAIN_S = 4.0
SETTLE_S = 0.15
OPEN_MS = 1_500
BADGE_BITS = 26


class Hardware:
    """A lock with what belongs to it; ``settings`` are those of ``terminal.toml``. Where codes are
    read before the camera, the same one twice in a row counts as one that stayed there."""

    driver, settings = "", ""
    has_contact = reads_codes = True

    def claim(self, seed: int) -> str:
        raise NotImplementedError

    def prepare(self, keystore: Keystore) -> None:
        raise NotImplementedError

    def ask(self, seed: int) -> str | None:
        """Somebody says who they are at the reader; else the code to hold before the camera."""
        return self.claim(seed)

    def face_door(self) -> None:
        """The door's side of the line is there."""

    def close(self) -> None:
        raise NotImplementedError


class Strike(ReaderPeer):
    """Somebody pulls the door as soon as the relay lets it go, while ``pulled``."""

    pulled = True

    def __init__(self, port: str, key: bytes) -> None:
        self.released = threading.Event()
        super().__init__(port, key)

    def _commanded(self, command: dict[str, Any]) -> tuple[int, None]:
        answer = super()._commanded(command)
        if command["command"] == osdp_sys.CMD_OUTPUT and command["control_code"] == ON_FOR:
            self.released.set()
            if self.pulled:
                self._later += [lambda: self._inputs(1), lambda: self._inputs(0)]
        return answer

    def _inputs(self, contact: int) -> None:
        kind = osdp_sys.STATUS_REPORT_INPUT
        event = {"event": osdp_sys.EVENT_STATUS, "type": kind, "report": bytes([contact, 0])}
        self.side.submit_event(event)


class OwnReader(Hardware):
    """A keypad reader with relay and contact on an OSDP line that is ours."""

    driver, reads_codes = "osdp", False

    def __init__(self) -> None:
        self.line, self._key = TappedLine(), new_key()
        self.settings = (
            f'[door.osdp]\nport = "{self.line.panel_port}"\ncontact = 0\nkeypad = "card"\n'
        )
        self.peer = Strike(self.line.reader_port, self._key)
        self.peer.start()
        self.peer.senses(0, 0)

    def claim(self, seed: int) -> str:
        return f"card:{seed}"

    def prepare(self, keystore: Keystore) -> None:
        LineKeys(keystore).proved(self._key)

    def ask(self, seed: int) -> None:
        self.peer.types(f"{seed}#".encode())

    def close(self) -> None:
        self.peer.close()
        self.line.close()


class TheirPanel(Hardware):
    """Somebody's OSDP panel, to which our door is a reader: badges as QR codes."""

    driver, has_contact = "osdp-reader", False

    def __init__(self) -> None:
        self.line, self._key = TappedLine(), new_key()
        self.settings = f'[door.osdp]\nport = "{self.line.reader_port}"\n'
        self._peer: PanelPeer | None = None

    def claim(self, seed: int) -> str:
        return Badge.read(BADGE_BITS, (seed << 6).to_bytes(4, "big")).claim

    def prepare(self, keystore: Keystore) -> None:
        LineKeys(keystore).proved(self._key)

    def face_door(self) -> None:
        # A panel of libosdp's that finds nobody tries again after minutes only.
        if self._peer is None:
            self._peer = PanelPeer(self.line.panel_port, self._key)
            self._peer.start()

    def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self.line.close()


class PulledLock(LockPeer):
    def _obey(self, client: Any, user: Any, message: Any) -> None:
        super()._obey(client, user, message)
        if self.commands[-1] == "UNLOCK":
            client.publish(CONTACT, "ON")
            client.publish(CONTACT, "OFF")


class BrokersLock(Hardware):
    """A lock on Mosquitto, with a contact; codes are held before the camera."""

    driver = "mqtt"

    def __init__(self, broker: Broker) -> None:
        self.settings = (
            f'[door.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nuser = "door"\n'
            f'ca_file = "{broker.ca_file}"\ndiscovery = "{DISCOVERY}"\ncontact = "{CONTACT}"\n'
        )
        self.peer = PulledLock(broker)
        self.peer.says(CONTACT, "OFF", retain=True)

    def claim(self, seed: int) -> str:
        return f"qr:{seed}"

    def prepare(self, keystore: Keystore) -> None:
        keystore.keep(mqtt.KEPT_AS, PASSWORD.encode())

    def close(self) -> None:
        self.peer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One time that somebody stood there. ``face`` is the seed of the face that came."""

    seed: int
    face: int
    told: Mapping[str, Any]

    @property
    def attempt(self) -> str | None:
        return self.told.get("attempt")

    @property
    def alone(self) -> bool:
        return bool(self.told.get("alone"))


@dataclass
class Doorway:
    name: str
    home: Path
    cable: Cable
    hardware: Hardware
    skew_ms: int = 0
    visits: list[Visit] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lost: int = 0
    _process: subprocess.Popen[str] | None = None
    _told: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)
    _reader: threading.Thread | None = None

    @property
    def identity(self) -> Identity:
        found = Keystore(self.home).identity
        assert found is not None
        return found

    @property
    def scene(self) -> Path:
        return self.home / "scene.json"

    def register(self, code: str, service: str) -> None:
        keystore = Keystore(self.home)
        transport = HttpTransport(service)
        with Device(keystore, Outbox(self.home / "outbox.db"), transport) as device:
            device.register(code, TerminalKind.DOOR)
        self.hardware.prepare(keystore)
        (self.home / "terminal.toml").write_text(
            f'service = "{self.cable.url}"\ncamera = "0"\n[door]\n'
            f'driver = "{self.hardware.driver}"\nlock = "fail-secure"\nopen_ms = {OPEN_MS}\n'
            + self.hardware.settings
        )

    def start(self) -> None:
        self._stand(0, None)
        command = [sys.executable, "-m", "tests.doors.process"]
        command += ["terminal", "door", "run", "--home", str(self.home), "--json"]
        environment = os.environ | {SCENE: str(self.scene), SKEW: str(self.skew_ms)}
        with (self.home / "stderr").open("w") as errors:
            self._process = subprocess.Popen(
                [*self.cable.prefix, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True, env=environment, start_new_session=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        self._wait_until_kept()
        self.hardware.face_door()
        self._wait(lambda told: told.get("door") == "link_restored", START_S)

    def _wait_until_kept(self) -> None:
        ends = time.monotonic() + START_S
        while "the door is kept" not in (self.home / "stderr").read_text():
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name}: see {self.home / 'stderr'}"
            assert time.monotonic() < ends, f"{self.name} does not start"
            time.sleep(0.1)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._told.put(json.loads(line))

    def _wait(self, wanted: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
        """The next thing told that is wanted; raises :class:`queue.Empty` for none in time."""
        ends = time.monotonic() + within_s
        while True:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: see {self.home / 'stderr'}")
            try:
                told = self._told.get(timeout=min(0.5, max(0.01, ends - time.monotonic())))
            except queue.Empty:
                if time.monotonic() > ends:
                    raise
                continue
            if "door" in told:
                self.events.append(told)
            if wanted(told):
                return told

    def visit(self, seed: int, face: int | None = None) -> Visit:
        """Somebody claims to be ``seed``, with this face, and waits for what becomes of it."""
        ends = time.monotonic() + OUTCOME_S
        # What the door drops after an attempt must not be this person's claim.
        time.sleep(SETTLE_S)
        while True:
            self._stand(face or seed, self.hardware.ask(seed))
            try:
                told = self._wait(lambda told: "outcome" in told, AGAIN_S)
                break
            except queue.Empty:
                assert time.monotonic() < ends, f"{self.name} does not see anybody"
        self._stand(0, None)
        self.visits.append(Visit(seed=seed, face=face or seed, told=told))
        return self.visits[-1]

    def _stand(self, face: int, shown: str | None) -> None:
        write_whole(self.scene, json.dumps({"face": face, "shown": shown}).encode())

    def die(self) -> None:
        """The power fails."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._ended()
        self._drain()

    def stop(self) -> None:
        """As systemd does it; nothing for one that does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._ended()
        self._drain()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def _drain(self) -> None:
        while not self._told.empty():
            told = self._told.get()
            if "door" in told:
                self.events.append(told)

    @property
    def log_end(self) -> tuple[int, bytes, int]:
        """The last record's number and the chain's head, and what the service has; stopped."""
        log = DoorLog(self.home / FILE_NAME)
        try:
            return (*log.end, log.kept)
        finally:
            log.close()
