"""Serves HTTP to programs on this machine.

Guarantees: it listens on 127.0.0.1 only; threads, connections, heads and what waits to be sent
are bounded. The caller must refuse requests for other names (``NAMES``: DNS rebinding), and
bound its bodies and waits.
"""

from __future__ import annotations

import socket
from threading import Lock, Thread

from flask import Flask
from waitress.server import create_server

from terminal_client.errors import UsageError

HOST = "127.0.0.1"
NAMES = frozenset({HOST, "localhost"})
THREADS, CONNECTIONS_MAX = 8, 32
IDLE_S, STOP_S = 30, 2.0
HEADER_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 4096
UNSENT_BYTES_MAX = 256 * 1024


class LoopbackServer:
    """Listens in threads of its own; raises :class:`UsageError` for a port that is taken.

    ``port`` 0 takes a free one.
    """

    def __init__(self, app: Flask, port: int, *, threads: int = THREADS) -> None:
        listening = socket.socket()
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, port))
            self.port: int = listening.getsockname()[1]
            self._server = create_server(
                app,
                sockets=[listening],
                threads=threads,
                connection_limit=CONNECTIONS_MAX,
                channel_timeout=IDLE_S,
                max_request_body_size=BODY_BYTES_MAX + 1,
                max_request_header_size=HEADER_BYTES_MAX,
                outbuf_high_watermark=UNSENT_BYTES_MAX,
                ident=None,
            )
        except OSError as error:
            listening.close()
            raise UsageError(f"port {port} on {HOST}: {error.strerror}") from error
        self._thread = Thread(target=self._server.run, daemon=True, name="loopback")
        self._telling = Lock()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends what is being answered, and then, in its own thread, what listens."""
        self._server.task_dispatcher.shutdown(timeout=STOP_S)
        with self._telling:
            self._server.trigger.pull_trigger(self._end)
        self._thread.join(STOP_S)

    def _end(self) -> None:
        # A thread that was awake already comes here before it has been woken by a byte, which
        # must not go to what is closed here.
        with self._telling:
            for channel in list(self._server.active_channels.values()):
                channel.handle_close()
            self._server.close()
