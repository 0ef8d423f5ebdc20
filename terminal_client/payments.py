"""The payments that a till asked for, on disk: each has one final answer for ever.

Guarantees: the till's own id stands for one payment: asked again with the same content it is the
same payment, with other content it is refused. A payment is on disk before anything is done for
it, and its attempt's id with it, so after a power cut the outbox tells what became of it. A final
state never changes. The newest ``PAYMENTS_MAX`` are kept.

Claims and PINs are not kept. Threads may share a book.
"""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import Any

from terminal_client.enrolment import check_claim
from terminal_client.errors import StorageError, UsageError
from wire.ids import AttemptId
from wire.messages import CLAIM_CHARS_MAX
from wire.money import Money

PAYMENTS_MAX = 100_000
WISH_BYTES_MAX = 4096
LIST_MAX = 100
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Way(StrEnum):
    FACE = "face"
    CARD_PIN = "card_pin"


class State(StrEnum):
    """The last three are final. ``not_charged``: no decision was asked for, or none approved."""

    WAITING = "waiting"
    CAPTURING = "capturing"
    DECIDING = "deciding"
    APPROVED = "approved"
    REFUSED = "refused"
    NOT_CHARGED = "not_charged"


FINAL = frozenset({State.APPROVED, State.REFUSED, State.NOT_CHARGED})


class IdReused(UsageError):
    """The till used this id for another payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a till asks for. ``claim`` where the till has read the customer's card."""

    payment: str
    money: Money
    order: str
    way: Way = Way.FACE
    claim: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, raw: bytes) -> Wish:
        """One JSON object; raises :class:`UsageError`, which quotes nothing of it."""
        if len(raw) > WISH_BYTES_MAX:
            raise UsageError(f"more than {WISH_BYTES_MAX} bytes")
        try:
            fields = json.loads(raw, object_pairs_hook=_once)
            return cls._read(dict(fields))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            said = str(error) if isinstance(error, _Wrong) else "not a payment"
            raise UsageError(said) from None

    @classmethod
    def _read(cls, fields: dict[str, object]) -> Wish:
        payment = fields.pop("id", None)
        order = fields.pop("order", payment)
        claim = fields.pop("claim", None)
        way = fields.pop("way", Way.FACE)
        amount_minor, currency = fields.pop("amount_minor", None), fields.pop("currency", None)
        if fields:
            raise _Wrong("a field that is not known")
        if not isinstance(payment, str) or not ID.fullmatch(payment):
            raise _Wrong("id is 1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore")
        if not isinstance(order, str) or not _is_printable(order, 80):
            raise _Wrong("order is printable text of 1 to 80 characters")
        if type(amount_minor) is not int or not isinstance(currency, str):
            raise _Wrong("amount_minor is a whole number, and currency an ISO 4217 code")
        if way not in set(Way):
            raise _Wrong("way is face or card_pin")
        if claim is not None and not (
            isinstance(claim, str) and _is_printable(claim, CLAIM_CHARS_MAX)
        ):
            raise _Wrong("a claim reads card:…, phone:…, qr:… or badge:…")
        try:
            money = Money(amount_minor=amount_minor, currency=currency)
        except ValueError as error:
            raise _Wrong(str(error)) from error
        try:
            known = check_claim(claim) if isinstance(claim, str) else None
        except UsageError as error:
            raise _Wrong(str(error)) from error
        return cls(payment=payment, money=money, order=order, way=Way(str(way)), claim=known)


class _Wrong(ValueError):
    """Names a rule and no value."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Wrong("a field that stands twice")
    return fields


def _is_printable(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable() and text == text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """``transfer`` is the service's id of an approved one, as text."""

    payment: str
    money: Money
    order: str
    way: Way
    attempt: AttemptId
    state: State
    reason: str | None
    transfer: str | None
    created_at_ms: int
    updated_at_ms: int

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


_SELECT = """SELECT id, amount_minor, currency, reference, way, attempt, state, reason, transfer,
    created_at_ms, updated_at_ms FROM payments"""


class PaymentBook:
    def __init__(self, path: Path) -> None:
        """Raises :class:`StorageError`."""
        self._lock = RLock()
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(
                path, isolation_level=None, timeout=5, check_same_thread=False
            )
            self._database.execute("PRAGMA synchronous = EXTRA")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS payments (number INTEGER PRIMARY KEY AUTOINCREMENT,"
                " id TEXT UNIQUE, amount_minor INTEGER, currency TEXT, reference TEXT, way TEXT,"
                " attempt BLOB UNIQUE, state TEXT, reason TEXT, transfer TEXT,"
                " created_at_ms INTEGER, updated_at_ms INTEGER)"
            )
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"{path}: {error}") from error

    def add(self, wish: Wish, *, now_ms: int) -> Payment:
        """A new payment that waits; raises :class:`StorageError` for an id that is taken."""
        self._write(
            "INSERT INTO payments (id, amount_minor, currency, reference, way, attempt, state,"
            " created_at_ms, updated_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            wish.payment,
            wish.money.amount_minor,
            wish.money.currency,
            wish.order,
            wish.way,
            AttemptId.new().raw,
            State.WAITING,
            now_ms,
            now_ms,
        )
        self._write(
            "DELETE FROM payments WHERE number <= (SELECT max(number) FROM payments) - ?"
            " AND state IN ('approved', 'refused', 'not_charged')",
            PAYMENTS_MAX,
        )
        added = self.find(wish.payment)
        if added is None:
            raise StorageError("the payment was not kept")
        return added

    def earlier(self, wish: Wish) -> Payment | None:
        """The same payment where it was asked for before; raises :class:`IdReused`."""
        found = self.find(wish.payment)
        if found is None:
            return None
        if (found.money, found.order, found.way) != (wish.money, wish.order, wish.way):
            raise IdReused("this id was used for another payment")
        return found

    def find(self, payment: str) -> Payment | None:
        found = self._read("WHERE id = ?", payment)
        return found[0] if found else None

    def find_attempt(self, attempt: AttemptId) -> Payment | None:
        found = self._read("WHERE attempt = ?", attempt.raw)
        return found[0] if found else None

    def unfinished(self) -> list[Payment]:
        return self._read("WHERE state IN ('waiting', 'capturing', 'deciding')")

    def newest(self, limit: int) -> list[Payment]:
        """At most ``LIST_MAX``, the newest first."""
        return self._read("ORDER BY number DESC LIMIT ?", min(limit, LIST_MAX))

    def next_number(self) -> int:
        """One more than any payment's: for orders that the keypad makes."""
        with self._lock:
            row = self._database.execute("SELECT coalesce(max(number), 0) FROM payments").fetchone()
        return int(row[0]) + 1

    def set_state(
        self, payment: str, state: State, *, now_ms: int, reason: str | None = None,
        transfer: str | None = None,
    ) -> None:  # fmt: skip
        """A final state stays as it is."""
        self._write(
            "UPDATE payments SET state = ?, reason = ?, transfer = ?, updated_at_ms = ?"
            " WHERE id = ? AND state NOT IN ('approved', 'refused', 'not_charged')",
            state,
            reason,
            transfer,
            now_ms,
            payment,
        )

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _write(self, statement: str, *values: object) -> None:
        try:
            with self._lock:
                self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(f"the payments cannot be stored: {error}") from error

    def _read(self, rest: str, *values: object) -> list[Payment]:
        query = f"{_SELECT} {rest}"
        try:
            with self._lock:
                rows = self._database.execute(query, values).fetchall()
            return [_payment(row) for row in rows]
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise StorageError("the payments are damaged") from error


def _payment(row: tuple[Any, ...]) -> Payment:
    return Payment(
        payment=row[0],
        money=Money(amount_minor=row[1], currency=row[2]),
        order=row[3],
        way=Way(row[4]),
        attempt=AttemptId(row[5]),
        state=State(row[6]),
        reason=row[7],
        transfer=row[8],
        created_at_ms=row[9],
        updated_at_ms=row[10],
    )
