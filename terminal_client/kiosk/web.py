"""The kiosk's pages: they show what :class:`Screen` holds, and bring it what is pressed.

Guarantees: each side, the person's and the cashier's, has a secret path of its own, new at each
start, compared in constant time before anything else is looked at; no other path exists. Requests
for another host name, and from pages of another origin, are refused. Every answer forbids scripts,
styles and frames but the kiosk's own (CSP), sends no address on, and keeps nothing in caches. Only
the person's side has the preview. Waiting readers are bounded.

No claim, PIN or path is answered or logged.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from hmac import compare_digest
from importlib.resources import files
from threading import BoundedSemaphore, Event
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, g, request, send_from_directory
from jinja2 import Environment, PackageLoader, StrictUndefined

from terminal_client.kiosk.cashier import Cashier
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.screen import Screen, Shown, Stale
from terminal_client.kiosk.simulation import Simulation
from terminal_client.kiosk.words import TEXTS
from terminal_client.loopback import BODY_BYTES_MAX, NAMES
from texts import LANGUAGES, choose, translator
from wire.money import MINOR_DIGITS

SECRET_BYTES = 18
READERS_MAX = 10
FIELDS_MAX, CHARS_MAX = 8, 200
HEARTBEAT_S, STOP_S = 1.0, 2.0
CASHIER_LOOKS_S = 0.25
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def _secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


class Streams:
    """What browsers listen to, for as long as they and the kiosk are there."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(READERS_MAX)
        self._stopped = Event()

    def open(self, parts: Generator[bytes, None, None], mimetype: str) -> Response:
        if self._stopped.is_set() or not self._free.acquire(blocking=False):
            abort(503)
        return Response(self._until_stopped(parts), mimetype=mimetype)

    def stop(self) -> None:
        """Ends them all, within a heartbeat or two."""
        self._stopped.set()
        ends = time.monotonic() + STOP_S
        for _ in range(READERS_MAX):
            self._free.acquire(timeout=max(0.0, ends - time.monotonic()))

    def _until_stopped(self, parts: Generator[bytes, None, None]) -> Iterator[bytes]:
        try:
            for part in parts:
                yield part
                if self._stopped.is_set():
                    return
        finally:
            parts.close()
            self._free.release()


class _Quiet(Flask):
    """Names no path in its log, for that is a secret."""

    def log_exception(self, exc_info: Any) -> None:
        self.logger.error("%s failed", request.endpoint, exc_info=exc_info)


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What the pages are about; ``cashier`` only at a store, ``simulation`` only in trials;
    ``camera_url``: where a browser sends the frames of its own camera."""

    screen: Screen
    feed: Feed
    cashier: Cashier | None = None
    simulation: Simulation | None = None
    camera_url: str | None = field(default=None, repr=False)
    screen_path: str = field(default_factory=_secret, repr=False)
    cashier_path: str = field(default_factory=_secret, repr=False)
    streams: Streams = field(default_factory=Streams)


def create_kiosk_app(sides: Sides) -> Flask:
    app = _Quiet("countenance-kiosk", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.register_blueprint(_person(sides), url_prefix="/s/<secret>")
    if sides.cashier is not None:
        app.register_blueprint(_cashier(sides, sides.cashier), url_prefix="/c/<secret>")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        if sides.camera_url is not None:
            response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.replace(
                "connect-src 'self'", f"connect-src 'self' {_origin(sides.camera_url)}"
            )
            response.headers["Permissions-Policy"] = "camera=(self)"
        return response

    return app


def _side(name: str, path: str) -> Blueprint:
    """One side's pages, which exist only below its secret path."""
    side, static = Blueprint(name, __name__), str(files("terminal_client.kiosk") / "static")

    @side.url_value_preprocessor
    def take_secret(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.secret = (values or {}).pop("secret", "")

    @side.before_request
    def admit() -> None:
        """The path's secret first: who does not know it learns nothing but 404."""
        if not _same(g.secret, path):
            abort(404)
        if request.host.partition(":")[0] not in NAMES:
            abort(403)
        # A page is opened from anywhere, or typed; all else is asked for by that page.
        if request.method != "GET" or request.headers.get("Sec-Fetch-Mode") != "navigate":
            site = request.headers.get("Sec-Fetch-Site", "same-origin")
            own = f"http://{request.host}"
            if site != "same-origin" or request.headers.get("Origin", own) != own:
                abort(403)

    @side.get("/static/<name>")
    def asset(name: str) -> Response:
        return send_from_directory(static, name)

    return side


def _person(sides: Sides) -> Blueprint:
    side, screen = _side("person", sides.screen_path), sides.screen

    @side.get("/")
    def page() -> str:
        return render(
            "page.html", screen.language, simulation=sides.simulation, camera=sides.camera_url
        )

    @side.get("/events")
    def events() -> Response:
        return sides.streams.open(_screen_events(screen), "text/event-stream")

    @side.get("/preview")
    def preview() -> Response:
        return sides.streams.open(_pictures(sides.feed), "application/octet-stream")

    @side.post("/answer")
    def answer() -> tuple[str, int]:
        fields = _fields()
        number = fields.pop("number", "")
        if not (number.isascii() and number.isdigit()):
            abort(400)
        try:
            screen.answer(int(number), fields)
        except Stale:
            abort(409)
        return "", 204

    @side.post("/language")
    def language() -> tuple[str, int]:
        screen.speak(_fields().get("language", ""))
        return "", 204

    @side.post("/simulate")
    def simulate() -> tuple[str, int]:
        if sides.simulation is None:
            abort(404)
        sides.simulation.play(_fields(), screen)
        return "", 204

    return side


def _cashier(sides: Sides, cashier: Cashier) -> Blueprint:
    side = _side("cashier", sides.cashier_path)

    def language() -> str:
        return choose(request.args.get("language"), request.accept_languages)

    @side.get("/")
    def page() -> str:
        return render("cashier_page.html", language(), name=cashier.name)

    @side.get("/events")
    def events() -> Response:
        return sides.streams.open(_cashier_events(cashier, language()), "text/event-stream")

    @side.post("/payments")
    def begin() -> tuple[str, int]:
        wrong = cashier.begin(_fields())
        return ("", 204) if wrong is None else (translator(TEXTS, language())["_"](wrong), 409)

    @side.post("/cancel")
    def cancel() -> tuple[str, int]:
        cashier.cancel()
        return "", 204

    return side


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _same(given: str, expected: str) -> bool:
    """Compared in base64, which is ASCII whatever was sent."""
    one, two = (urlsafe_b64encode(each.encode("utf-8", "replace")) for each in (given, expected))
    return compare_digest(one, two)


def _fields() -> dict[str, str]:
    """A flat JSON object of few short texts."""
    if request.mimetype != "application/json":
        abort(415)
    try:
        given = json.loads(request.get_data())
    except (ValueError, RecursionError):
        abort(400)
    if not isinstance(given, dict) or len(given) > FIELDS_MAX:
        abort(400)
    if not all(isinstance(each, str) and len(each) <= CHARS_MAX for each in given.values()):
        abort(400)
    return given


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("terminal_client.kiosk"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def render(template: str, language: str, /, **values: Any) -> str:
    """A page, or a part of one, in that language."""
    texts: Mapping[str, Callable[..., str]] = translator(TEXTS, language)
    values |= {**texts, "plain": _plain, "language": language, "languages": LANGUAGES}
    return _templates().get_template(f"kiosk/{template}").render(values)


def _plain(amount_minor: int, currency: str) -> str:
    """``50`` or ``12.50``, as it is read back."""
    digits = MINOR_DIGITS[currency]
    return f"{Decimal(amount_minor).scaleb(-digits):f}"


def _event(name: str, values: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(values)}\n\n".encode()


def _screen_events(screen: Screen) -> Generator[bytes, None, None]:
    seen = (-1, -1)
    while True:
        shown = screen.wait(seen, timeout_s=HEARTBEAT_S)
        if (shown.change, shown.beat) == seen:
            yield b": still here\n\n"
            continue
        if shown.change != seen[0]:
            yield _event("view", _describe(shown))
        if shown.beat != seen[1] or shown.change != seen[0]:
            yield _event("prompt", _prompt(shown))
        seen = (shown.change, shown.beat)


def _describe(shown: Shown) -> dict[str, object]:
    html = render(
        f"{shown.view.name}.html", shown.language, wrong=shown.view.wrong, **shown.view.values
    )
    return {
        "number": str(shown.number),
        "name": shown.view.name,
        "language": shown.language,
        "html": html,
    }


def _prompt(shown: Shown) -> dict[str, object]:
    told = shown.instruction
    return {
        "text": translator(TEXTS, shown.language)["_"](told.text),
        "fraction": round(told.fraction, 3),
        "move": told.move,
        "colour": told.colour.rgb if told.colour else None,
    }


def _cashier_events(cashier: Cashier, language: str) -> Generator[bytes, None, None]:
    shown, said_at = "", 0.0
    while True:
        html = render("cashier.html", language, **cashier.state())
        if html != shown:
            shown, said_at = html, time.monotonic()
            yield _event("view", {"html": html})
        elif time.monotonic() - said_at > HEARTBEAT_S:
            said_at = time.monotonic()
            yield b": still here\n\n"
        time.sleep(CASHIER_LOOKS_S)


def _pictures(feed: Feed) -> Generator[bytes, None, None]:
    """Each picture as its length and its Unix time in milliseconds, of 4 and 8 bytes, and then
    the JPEG; without one where the camera was closed."""
    seen = 0
    while True:
        number, at_ms, jpeg = feed.picture(seen, timeout_s=HEARTBEAT_S)
        seen = number
        yield len(jpeg).to_bytes(4, "big") + at_ms.to_bytes(8, "big") + jpeg
