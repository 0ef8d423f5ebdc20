"""A browser's own camera as a source, for trying the kiosk on a laptop: frames over a WebSocket.

Guarantees: it listens on 127.0.0.1, for the kiosk's own page and behind a secret path; frames are
bounded in size, and each takes the place of the one before. The evidence says that a browser's
camera was used: a policy for production does not accept it, since whoever holds the browser may
send any picture.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from hmac import compare_digest
from http import HTTPStatus
from threading import Condition, Thread
from typing import Self

import cv2
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client.camera import identify, monotonic_ms
from terminal_client.errors import CameraError, UsageError
from terminal_client.loopback import HOST
from wire.messages import Source

BROWSER = "browser"
FRAME_BYTES_MAX, SIDE_MAX = 256 * 1024, 1280
WAIT_S = 8.0
SECRET_BYTES = 18
STOP_S = 5.0


class BrowserCamera:
    """A :class:`~terminal_client.camera.Camera`, and the context that it listens in.

    ``is_own`` says whether an origin is the kiosk's page.
    """

    source = Source.BROWSER
    identity = identify(Source.BROWSER)

    def __init__(self) -> None:
        self.is_own: Callable[[str], bool] = lambda _origin: False
        self._path = f"/{secrets.token_urlsafe(SECRET_BYTES)}"
        self._changed = Condition()
        self._newest: bytes | None = None
        self._server: Server | None = None

    def __enter__(self) -> Self:
        # Its own messages would name the path.
        quiet = logging.getLogger("countenance.browser_camera")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        try:
            self._server = serve(
                self._receive,
                HOST,
                0,
                process_request=self._admit,
                compression=None,
                max_size=FRAME_BYTES_MAX,
                max_queue=2,
                logger=quiet,
            )
        except OSError as error:
            raise UsageError(f"the browser's camera: {error.strerror}") from error
        self._thread = Thread(target=self._server.serve_forever, daemon=True, name="browser")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._thread.join(STOP_S)

    @property
    def url(self) -> str:
        """Where the page sends its frames."""
        if self._server is None:
            raise RuntimeError("it does not listen")
        return f"ws://{HOST}:{self._server.socket.getsockname()[1]}{self._path}"

    def frames(self) -> Iterator[Frame]:
        """Raises :class:`CameraError` where no usable frame comes for ``WAIT_S``."""
        with self._changed:
            self._newest = None
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None, ends - time.monotonic())
                encoded, self._newest = self._newest, None
            frame = _decode(encoded) if encoded else None
            if frame is not None:
                ends = time.monotonic() + WAIT_S
                yield frame
        raise CameraError("the browser's camera sends no pictures: was it allowed?")

    def show(self, move: Move | None, colour: Colour | None) -> None:
        return

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = request.path.encode("utf-8", "replace")
        if not compare_digest(given, self._path.encode()):
            return connection.respond(HTTPStatus.NOT_FOUND, "")
        if not self.is_own(request.headers.get("Origin", "")):
            return connection.respond(HTTPStatus.FORBIDDEN, "")
        return None

    def _receive(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                if isinstance(message, bytes):
                    with self._changed:
                        self._newest = message
                        self._changed.notify_all()
        except ConnectionClosed:
            return


def _decode(encoded: bytes) -> Frame | None:
    """None for what is no picture of a usable size; its time is the terminal's own."""
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if pixels is None or max(pixels.shape[:2]) > SIDE_MAX:
        return None
    return Frame(pixels=pixels.astype(np.uint8, copy=False), captured_at_ms=monotonic_ms())
