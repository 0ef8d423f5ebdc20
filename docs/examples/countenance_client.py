"""A client of Countenance's merchant API, to copy into a merchant's own system.

Python's standard library only. Make one :class:`Client` for each merchant and token:

    client = Client("https://pay.example", token, merchant)
    intent = client.create_payment("12.50", "EUR", order="A-1001", terminal="ter_…")

Each POST has an idempotency key. Those made here are new for each call, and the call itself is
sent again where nobody answered; store your own beside the order and pass it as ``key``, and a
payment is not made twice even if your process dies in the call.
"""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

TRIES_MAX = 5
TIMEOUT_S = 10.0
AGE_MAX_S = 300
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# ISO 4217: how many decimals an amount of the currency has; the others here have two.
DIGITS = {"BHD": 3, "CLP": 0, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3, "OMR": 3,
          "TND": 3, "VND": 0}  # fmt: skip


class ProblemError(Exception):
    """The service refused; ``code`` names the reason (RFC 9457's ``type``), such as
    ``payment_captured``."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(document.get("type", "")).rpartition(":")[2] or "unknown"
        self.document = dict(document)
        super().__init__(f"{status} {self.code}: {document.get('detail', '')}")


class UnavailableError(Exception):
    """Nobody answered, however often it was asked: ask again with the same key."""


class SignatureError(Exception):
    """An event that the service did not send, or not now."""


def to_minor(amount: str, currency: str) -> int:
    """``"12.50", "EUR"`` is 1250, ``"500", "JPY"`` is 500; ValueError for too many decimals."""
    digits = DIGITS.get(currency, 2)
    minor = Decimal(amount).scaleb(digits)
    if minor != minor.to_integral_value() or minor <= 0:
        raise ValueError(f"an amount of {currency} is above 0 and has {digits} decimals")
    return int(minor)


class _NoRedirects(HTTPRedirectHandler):
    """The token is for one address."""

    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    def __init__(self, address: str, token: str, merchant: str) -> None:
        self._base = f"{address.rstrip('/')}/api/v1/merchants/{merchant}"
        self._token = token
        self._opener = build_opener(_NoRedirects)

    def create_payment(
        self,
        amount: str,
        currency: str,
        *,
        order: str,
        terminal: str | None = None,
        site: str | None = None,
        capture: str = "automatic",
        key: str | None = None,
    ) -> dict[str, Any]:
        """Asks for a payment; the terminal then takes it."""
        body = {
            "amount_minor": to_minor(amount, currency),
            "currency": currency,
            "order": order,
            "terminal": terminal,
            "site": site,
            "capture": capture,
        }
        return self._post("/payment-intents", body, key)

    def payment(self, intent: str) -> dict[str, Any]:
        return self._get(f"/payment-intents/{intent}")

    def payments(self, **search: str) -> Iterator[dict[str, Any]]:
        """Every payment, the newest first; ``state="captured"``, ``order="A-1001"``, …"""
        yield from self._pages("/payment-intents", search)

    def capture(
        self, intent: str, amount_minor: int | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        return self._post(f"/payment-intents/{intent}/capture", _part(amount_minor), key)

    def void(self, intent: str, *, key: str | None = None) -> dict[str, Any]:
        return self._post(f"/payment-intents/{intent}/void", None, key)

    def refund(
        self, intent: str, amount_minor: int | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        return self._post(f"/payment-intents/{intent}/refunds", _part(amount_minor), key)

    def add_webhook(self, url: str, *, key: str | None = None) -> dict[str, Any]:
        """The answer's ``secret`` is shown only now."""
        return self._post("/webhooks", {"url": url}, key)

    def settlement(self, day: str) -> dict[str, Any]:
        return self._get(f"/settlements/{day}")

    def settlement_file(self, day: str) -> str:
        return self._send("GET", f"/settlements/{day}/file", None, None).decode()

    def _pages(self, path: str, search: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._get(f"{path}?{urlencode({'limit': '100', **search, **after})}")
            yield from page["items"]
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._send("GET", path, None, None))
        return found

    def _post(self, path: str, body: object, key: str | None) -> dict[str, Any]:
        answer = self._send("POST", path, body, key or uuid.uuid4().hex)
        found: dict[str, Any] = json.loads(answer)
        return found

    def _send(self, method: str, path: str, body: object, key: str | None) -> bytes:
        """The same request until there is an answer; raises :class:`ProblemError`."""
        headers = {"Authorization": f"Bearer {self._token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        for again in range(TRIES_MAX):
            request = Request(self._base + path, data, headers, method=method)
            try:
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return bytes(answer.read(ANSWER_BYTES_MAX))
            except HTTPError as error:
                with error:
                    if error.code not in (429, 500, 503):
                        raise ProblemError(error.code, _problem(error)) from None
            except (URLError, TimeoutError, ConnectionError):
                pass
            time.sleep(min(0.2 * 2**again, 5))
        raise UnavailableError(f"{method} {path.partition('?')[0]}")


def _part(amount_minor: int | None) -> dict[str, int]:
    return {} if amount_minor is None else {"amount_minor": amount_minor}


def _problem(error: HTTPError) -> dict[str, Any]:
    try:
        found = json.loads(error.read(64 * 1024))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def verify_event(
    body: bytes, header: str, secrets: Iterable[str], *, now_s: float | None = None
) -> dict[str, Any]:
    """The event in a webhook's request: its raw ``body`` and ``Countenance-Signature``.

    ``secrets``: the secret, and the last one while it is rotated. Raises :class:`SignatureError`.
    An event may come twice, and a later one before an earlier: keep its ``event`` id, and look
    the payment up where the order matters.
    """
    parts = [each.partition("=")[::2] for each in header.split(",")]
    times = [value for name, value in parts if name == "t"]
    marks = [value for name, value in parts if name == "v1"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit()) or not marks:
        raise SignatureError("no signature")
    said = times[0].encode() + b"." + body
    wanted = [hmac.digest(secret.encode(), said, "sha256").hex() for secret in secrets]
    good = [hmac.compare_digest(mark.encode(), each.encode()) for mark in marks for each in wanted]
    if not any(good):
        raise SignatureError("signed by somebody else")
    if abs((time.time() if now_s is None else now_s) - int(times[0])) > AGE_MAX_S:
        raise SignatureError("too old, or a clock is wrong")
    event: dict[str, Any] = json.loads(body)
    return event
