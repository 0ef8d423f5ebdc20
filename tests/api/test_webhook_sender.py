"""One request to a stranger's server: that hangs, redirects, lies about its name or address."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.webhooks.sender import Outcome, Sender
from tests.api.receiver import Receiver, receiver, serving

__all__ = ["receiver"]

HERE = Sender(development=True)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    for number, status in enumerate((301, 302, 303, 307, 308)):
        receiver.status = status
        receiver.headers = {"Location": "http://169.254.169.254/latest/meta-data/"}
        made = HERE.post(receiver.url, b"{}", {})
        assert (made.outcome, made.status) == (Outcome.REDIRECTED, status)
        assert len(receiver.got) == number + 1


@pytest.fixture
def hangs() -> Iterator[Callable[[bytes, float], int]]:
    """A server that says a byte now and then, then nothing; returns its port."""
    stop, listeners = threading.Event(), []

    def start(said: bytes, every_s: float) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            with closing(listener.accept()[0]) as sock, suppress(OSError):
                for byte in said:
                    if stop.wait(every_s):
                        return
                    sock.send(bytes([byte]))
                stop.wait(20)

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    stop.set()
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999, b"H" * 9999])
def test_a_receiver_that_hangs_or_drips_is_cut_off(
    hangs: Callable[[bytes, float], int], said: bytes
) -> None:
    port = hangs(said, 0.05)
    quick = replace(HERE, deadline_s=0.4)
    assert quick.post(f"http://127.0.0.1:{port}/", b"{}", {}).outcome is Outcome.TIMED_OUT


def test_what_answers_no_http_or_does_not_answer_is_named(
    hangs: Callable[[bytes, float], int],
) -> None:
    port = hangs(b"SSH-2.0-x\r\n", 0.0)
    assert HERE.post(f"http://127.0.0.1:{port}/", b"{}", {}).outcome is Outcome.ANSWER_NOT_HTTP
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert HERE.post(f"http://127.0.0.1:{port}/", b"{}", {}).outcome is Outcome.NOT_CONNECTED


def test_a_name_that_leads_into_the_private_network_is_refused(receiver: Receiver) -> None:
    asked, answers = [], [
        ["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"], ["::1"], [],
    ]  # fmt: skip

    def look_up(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return answers[len(asked) - 1]

    production = Sender(development=False, resolve=look_up)
    made = [production.post("https://shop.example/", b"{}", {}).outcome for _ in answers]
    assert made == [Outcome.ADDRESS_NOT_ALLOWED] * 4 + [Outcome.NAME_NOT_RESOLVED]
    assert asked == [("shop.example", 443)] * 5
    # This machine, in other spellings.
    for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
        other = Sender(development=False).post(f"https://{host}:{receiver.port}/", b"{}", {})
        assert other.outcome in (Outcome.ADDRESS_NOT_ALLOWED, Outcome.NAME_NOT_RESOLVED), host
    assert receiver.got == []


def test_a_name_server_that_hangs_does_not_hang_us() -> None:
    asked = threading.Event()

    def look_up(_host: str, _port: int) -> list[str]:
        asked.wait(5)
        return ["1.1.1.1"]

    slow = Sender(development=False, resolve=look_up, deadline_s=0.2)
    made = slow.post("https://shop.example/", b"{}", {})
    asked.set()
    assert made.outcome is Outcome.NAME_NOT_RESOLVED


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A TLS server that calls itself shop.example: its port, and a context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.DNSName("shop.example")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "shop.pem"
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            named = self.headers["Host"].partition(":")[0] == "shop.example"
            self.send_response(204 if named else 400)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that breaks the handshake off is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port, ssl.create_default_context(cafile=str(pem))


def test_the_certificate_is_checked_against_the_name_though_the_address_is_pinned(
    secure: tuple[int, ssl.SSLContext],
) -> None:
    port, trusting = secure
    here = Sender(development=True, resolve=lambda *_: ["127.0.0.1"], tls=trusting)
    assert here.post(f"https://shop.example:{port}/", b"{}", {}).outcome is Outcome.DELIVERED
    for wrong, url in (
        (here, f"https://other.example:{port}/"),
        (here, f"https://127.0.0.1:{port}/"),
        (replace(here, tls=ssl.create_default_context()), f"https://shop.example:{port}/"),
    ):
        assert wrong.post(url, b"{}", {}).outcome is Outcome.CERTIFICATE_NOT_ACCEPTED


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS that would answer differently the second time (rebinding) is not asked again."""
    looked = []

    def look_up(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["127.0.0.1"]

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        assert ip_address(address[0]).is_loopback
        sock = socket.socket()
        sock.connect(address)
        return sock

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    made = replace(HERE, resolve=look_up).post(f"http://shop.example:{receiver.port}/", b"{}", {})
    assert made.outcome is Outcome.DELIVERED
    assert looked == ["shop.example"]
    assert receiver.got[0][0]["Host"] == f"shop.example:{receiver.port}"
