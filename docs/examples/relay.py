"""A relay for docs/doors.md's HTTP driver: what such a box has to do, in one file.

    COUNTENANCE_RELAY_KEY=… python docs/examples/relay.py --port 8480

It needs countenance[http-relay]; the key is 32 bytes in hex, as `countenance terminal door key
set --new` shows it. Printing stands for the coil; a file that exists stands for a door that is
open. One terminal talks to one relay.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from terminal_client.drivers.http_relay import (
    BODY_BYTES_MAX,
    KEY_BYTES,
    LIVES,
    AnswerMessage,
    Message,
    Signatures,
)

OPEN_MS_MAX = 60_000
NONCES_MAX = 4096
# A message lives for LIVES, and the verifier forgives 5 s of clock on either side.
REMEMBERED_S = LIVES.total_seconds() + 10


class Relay:
    """The coil's state and its timer. ``contact`` says whether the door is open."""

    def __init__(self, contact: Callable[[], bool]) -> None:
        self.contact = contact
        self.released_until = 0.0
        self.seen: dict[str, float] = {}
        self.lock = threading.Lock()

    @property
    def released(self) -> bool:
        return time.monotonic() < self.released_until

    def is_new(self, nonce: str) -> bool:
        """Each nonce once; while too many are remembered none is taken."""
        with self.lock:
            now = time.monotonic()
            self.seen = {each: ends for each, ends in self.seen.items() if ends > now}
            if nonce in self.seen or len(self.seen) >= NONCES_MAX:
                return False
            self.seen[nonce] = now + REMEMBERED_S
            return True

    def turn(self, open_ms: int) -> None:
        self.released_until = time.monotonic() + open_ms / 1000
        print("released" if open_ms else "locked", flush=True)


class Handler(BaseHTTPRequestHandler):
    """``relay`` and ``signatures`` are set by :func:`serve`."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    relay: Relay
    signatures: Signatures

    def do_GET(self) -> None:
        self.answer(b"")

    def do_PUT(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            return self.refuse(413)
        return self.answer(self.rfile.read(int(length)))

    def answer(self, body: bytes) -> None:
        url = f"http://{self.headers.get('Host', '')}{self.path}"
        headers = dict(self.headers.items())
        nonce = self.signatures.nonce(Message(self.command, url, headers), body)
        if nonce is None or not self.relay.is_new(nonce):
            return self.refuse(401)
        if self.command == "PUT":
            try:
                open_ms = json.loads(body)["open_ms"]
            except (ValueError, KeyError, TypeError):
                return self.refuse(400)
            if type(open_ms) is not int or not 0 <= open_ms <= OPEN_MS_MAX:
                return self.refuse(400)
            self.relay.turn(open_ms)
        state = {"released": self.relay.released, "contact": self.relay.contact()}
        content = json.dumps(state).encode()
        answer = AnswerMessage(200, {"Content-Type": "application/json"})
        self.signatures.sign(answer, content, nonce)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def refuse(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def serve(relay: Relay, raw_key: bytes, key_id: str, port: int) -> ThreadingHTTPServer:
    """Port 0 takes a free one."""
    signatures = Signatures(key_id, raw_key)
    handler = type("BoundHandler", (Handler,), {"relay": relay, "signatures": signatures})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8480)
    parser.add_argument("--key-id", default="door")
    parser.add_argument("--contact-file", type=Path, default=Path("door-is-open"))
    options = parser.parse_args()
    raw_key = bytes.fromhex(os.environ["COUNTENANCE_RELAY_KEY"])
    if len(raw_key) != KEY_BYTES:
        parser.error(f"the key has {KEY_BYTES} bytes")
    relay = Relay(options.contact_file.exists)
    with serve(relay, raw_key, options.key_id, options.port) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
