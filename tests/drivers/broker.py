"""A real Mosquitto, with TLS and a password, and a lock on it that announces itself."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.drivers.peers import until

BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")
PASSWORD = "correct horse"
DISCOVERY = "homeassistant/lock/front/config"
CONTACT = "zigbee/contact"


@dataclass
class Broker:
    """``configured`` is its folder; it keeps nothing when it is restarted."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def ca_file(self) -> str:
        return str(self.folder / "broker.pem")

    def start(self) -> None:
        assert BROKER is not None
        command = [BROKER, "-c", str(self.folder / "mosquitto.conf")]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, lambda: time.sleep(0.02))

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass
class LockPeer:
    """A lock that announces itself and does what it is told, unless it is ``dead`` or jams."""

    broker: Broker
    commands: list[str] = field(default_factory=list)
    dead: bool = False
    jams: bool = False
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = client_of(self.broker, "lock")
        self.client.on_connect = self._announce
        self.client.on_message = self._obey
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", self.broker.port)
        self.client.loop_start()

    def _announce(self, client: Client, *_: Any) -> None:
        client.subscribe("front/set")
        config = {
            "~": "front", "command_topic": "~/set", "state_topic": "~/state",
            "availability": [{"topic": "~/available"}],
        }  # fmt: skip
        client.publish(DISCOVERY, json.dumps(config), retain=True)
        client.publish("front/available", "online", retain=True)
        client.publish("front/state", "UNLOCKED", retain=True)

    def _obey(self, client: Client, _user: Any, message: Any) -> None:
        self.commands.append(message.payload.decode())
        if not self.dead:
            said = "JAMMED" if self.jams else self.commands[-1] + "ED"
            client.publish("front/state", said, retain=True)

    def says(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def client_of(broker: Broker, user: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set_context(ssl.create_default_context(cafile=broker.ca_file))
    client.username_pw_set(user, PASSWORD)
    return client


def certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "broker.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "broker.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def prepare_broker(folder: Path) -> None:
    """Certificate and users, for every broker of the folder."""
    certify(folder)
    passwords = str(folder / "passwords")
    for user, *mode in (("door", "-c", "-b"), ("lock", "-b")):
        subprocess.run(["mosquitto_passwd", *mode, passwords, user, PASSWORD], check=True)


def make_broker(folder: Path) -> Broker:
    """One that listens on a free port of the loopback, once it is started."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = "user root\n" if Path("/proc/self").owner() == "root" else ""
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\ncertfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
        f"password_file {folder}/passwords\nallow_anonymous false\n{user}"
    )
    return Broker(folder, port)
