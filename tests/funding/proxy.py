"""A network between us and Stripe that misbehaves: one behaviour a request, the last for ever.

``ok``; ``lost`` (Stripe hears it, we hear nothing); ``unheard`` (nobody hears it); ``503`` and
``500`` (Stripe hears it, and says that it failed); ``409``, ``429``; ``garbage``; ``twice`` (sent
to Stripe twice, as a retry below us would).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import urllib3


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.behaviours = ["ok"]
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def behave(self, *behaviours: str) -> None:
        self.behaviours = list(behaviours)

    def next_behaviour(self) -> str:
        return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behaviour = self.server.next_behaviour()
        self.server.keys.append(self.headers.get("Idempotency-Key"))
        self.close_connection = True
        if behaviour in ("409", "429"):
            self._answer(int(behaviour), b'{"error": {"type": "api_error"}}')
            return
        if behaviour == "unheard":
            return
        for _ in range(2 if behaviour == "twice" else 1):
            answer = self._forward(body)
        if behaviour in ("500", "503"):
            self._answer(int(behaviour), b'{"error": {"type": "api_error"}}')
        elif behaviour == "garbage":
            self._answer(200, b'{"id": "pi_')
        elif behaviour != "lost":
            self._answer(answer.status, answer.data)

    def _forward(self, body: bytes) -> urllib3.BaseHTTPResponse:
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in ("authorization", "content-type", "idempotency-key")
        }
        with urllib3.PoolManager() as pool:
            return pool.request(
                self.command, self.server.target + self.path, body=body or None, headers=headers
            )

    def _answer(self, status: int, body: bytes) -> None:
        with suppress(ConnectionError):  # whoever asked may have been killed
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def open_proxy(target: str) -> Iterator[Proxy]:
    proxy = Proxy(target)
    thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
