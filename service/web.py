"""What the console's pages and the customers' have in common: headers, forms, cookies, languages.

Guarantees: every answer forbids scripts, styles and frames but the service's own (CSP), and keeps
nothing in caches; a form counts only with its session's token, and never for another site's page
(Fetch metadata, Origin); nobody is sent to another site.

The caller must still ask for each of these before a page runs.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response, current_app, make_response, redirect, request

from service import codes
from service.operators.acts import Operations
from service.passkeys import RelyingParty
from texts import LANGUAGES, choose

COOKIE_LANGUAGE = "language"
LANGUAGE_S = 365 * 24 * 3600
FORM_BYTES_MAX = 80 * 1024
ANSWER_CHARS_MAX = 16 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def plain_operations() -> Operations:
    """The acts, before it is known in whose name."""
    found: Operations = current_app.extensions["operations"]
    return found


def party() -> RelyingParty:
    found: RelyingParty = current_app.extensions["relying_party"]
    return found


def is_secure() -> bool:
    return urlsplit(party().origin).scheme == "https"


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """A session's secret in the browser, for the pages under ``path``. Where the origin is https
    the browser itself keeps the cookie to this host."""

    kind: str
    path: str

    @property
    def name(self) -> str:
        return f"__Host-{self.kind}" if is_secure() else self.kind

    @property
    def secret(self) -> str:
        return request.cookies.get(self.name, "")

    def digest(self, secret: str | None = None) -> bytes:
        """What the session is kept under; of the request's own where none is given."""
        wanted = self.secret if secret is None else secret
        return codes.secret_hash(f"{self.kind}-session", wanted, plain_operations().keys.claims)

    def give(self, response: Response, secret: str) -> Response:
        response.set_cookie(
            self.name,
            secret,
            secure=is_secure(),
            httponly=True,
            samesite="Strict",
            path="/" if is_secure() else self.path,
        )
        return response

    def form_token(self) -> str:
        """What every form of this session holds."""
        keys = plain_operations().keys
        digest = codes.secret_hash(f"{self.kind}-form", self.secret, keys.claims)
        return urlsafe_b64encode(digest).decode()

    def is_meant(self) -> bool:
        """Whether the form is one that this session was shown."""
        given = request.headers.get("X-Form-Token") or request.form.get("form_token", "")
        return given.isascii() and hmac.compare_digest(given, self.form_token())


def bound_form() -> None:
    request.max_content_length = FORM_BYTES_MAX
    request.max_form_memory_size = FORM_BYTES_MAX


def is_from_here() -> bool:
    """Whether the browser says that the request comes from a page of this origin."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin == party().origin


def is_surely_from_here() -> bool:
    """As :func:`is_from_here`, and the browser said so."""
    headers = request.headers
    said = headers.get("Sec-Fetch-Site") or headers.get("Origin")
    return said is not None and is_from_here()


def typed() -> list[tuple[str, str]]:
    """The form as it came, without its token: to be shown again, not to be acted on."""
    return [(name, value) for name, value in request.form.items(multi=True) if name != "form_token"]


def see(target: str) -> Response:
    """303: whatever was sent, the next request is a GET."""
    return make_response(redirect(target, 303))


def local(target: str | None, prefix: str, otherwise: str) -> str:
    """``target`` where it is a page under ``prefix``, or else ``otherwise``."""
    if target and target.startswith(prefix) and "\\" not in target:
        parts = urlsplit(target)
        inside = f"{parts.path}/".startswith(f"{prefix}/") and ".." not in parts.path.split("/")
        if not parts.scheme and not parts.netloc and inside and target.isprintable():
            return target
    return otherwise


def protect(response: Response) -> Response:
    headers = response.headers
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    return response


def read_language() -> str:
    return choose(request.cookies.get(COOKIE_LANGUAGE), request.accept_languages)


def keep_language(response: Response) -> Response:
    """The language that the form wants, for both kinds of pages."""
    wanted = request.form.get("language", "")
    if wanted in LANGUAGES:
        response.set_cookie(
            COOKIE_LANGUAGE,
            wanted,
            max_age=LANGUAGE_S,
            samesite="Lax",
            path="/",
            secure=is_secure(),
        )
    return response


def passkey_answer() -> str | None:
    """What the browser said about a passkey; None for more than that ever is."""
    answer = request.form.get("answer", "")
    return answer if len(answer) <= ANSWER_CHARS_MAX else None
