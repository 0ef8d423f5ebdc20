"""ISO 8583:1987 messages in ASCII: the few that are spoken here, strictly read.

Guarantees: a message that was read has only fields that are known here, each in its own form and
whole; everything else is :class:`MessageError`, which quotes nothing. ``repr`` shows the type and
which fields there are: a field may be a card's number.

Bitmaps are binary, lengths of variable fields two digits, everything else ASCII.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import iso8583
from iso8583.specs import default_ascii

MESSAGE_BYTES_MAX = 1024

PAN, PROCESSING, AMOUNT, SENT_AT, TRACE = "2", "3", "4", "7", "11"
LOCAL_TIME, LOCAL_DATE, EXPIRY, ENTRY_MODE, CONDITION = "12", "13", "14", "22", "25"
ACQUIRER, RRN, APPROVAL, RESPONSE = "32", "37", "38", "39"
TERMINAL, ACCEPTOR, CURRENCY, NETWORK = "41", "42", "49", "70"
ORIGINAL, REPLACEMENT = "90", "95"

_FORMS = {
    PAN: r"[0-9]{12,19}",
    PROCESSING: r"[0-9]{6}",
    AMOUNT: r"[0-9]{12}",
    SENT_AT: r"[0-9]{10}",
    TRACE: r"[0-9]{6}",
    LOCAL_TIME: r"[0-9]{6}",
    LOCAL_DATE: r"[0-9]{4}",
    EXPIRY: r"[0-9]{4}",
    ENTRY_MODE: r"[0-9]{3}",
    CONDITION: r"[0-9]{2}",
    ACQUIRER: r"[0-9]{1,11}",
    RRN: r"[0-9A-Z]{12}",
    APPROVAL: r"[0-9A-Z ]{6}",
    RESPONSE: r"[0-9A-Z]{2}",
    TERMINAL: r"[0-9A-Z ]{8}",
    ACCEPTOR: r"[0-9A-Z ]{15}",
    CURRENCY: r"[0-9]{3}",
    NETWORK: r"[0-9]{3}",
    ORIGINAL: r"[0-9]{42}",
    REPLACEMENT: r"[0-9CD]{42}",
}
_ANSWERS = {
    "0100": "0110", "0101": "0110", "0200": "0210", "0201": "0210", "0400": "0410",
    "0401": "0410", "0800": "0810",
}  # fmt: skip
_TYPES = frozenset(_ANSWERS) | frozenset(_ANSWERS.values())
_ECHOED = (PROCESSING, AMOUNT, SENT_AT, TRACE, RRN, TERMINAL, CURRENCY, NETWORK)


class MessageError(ValueError):
    """These bytes are not a message that is spoken here."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """``kind`` is the four digits of the type; ``fields`` maps field numbers to text."""

    kind: str
    fields: dict[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        if self.kind not in _TYPES:
            raise MessageError("an unknown type of message")
        for name, text in self.fields.items():
            if name not in _FORMS or not re.fullmatch(_FORMS[name], text):
                raise MessageError("a field that is unknown or in a wrong form")

    @classmethod
    def decode(cls, raw: bytes) -> Message:
        """Raises :class:`MessageError`."""
        if len(raw) > MESSAGE_BYTES_MAX:
            raise MessageError("a message that is too long")
        try:
            found, _ = iso8583.decode(raw, default_ascii)
        except (ValueError, LookupError):
            # The library's error holds the whole message.
            raise MessageError("not a message of ISO 8583") from None
        fields = {name: text for name, text in found.items() if name not in ("h", "t", "p", "1")}
        message = cls(found["t"], fields)
        if message.encode() != raw:
            raise MessageError("another spelling of a message")
        return message

    def encode(self) -> bytes:
        try:
            raw, _ = iso8583.encode({"h": "", "t": self.kind, **self.fields}, default_ascii)
        except ValueError:
            raise MessageError("a message that cannot be written") from None
        return bytes(raw)

    def is_answered_by(self, other: Message) -> bool:
        """Whether the other answers this very request, and says what became of it."""
        if other.kind != _ANSWERS.get(self.kind) or RESPONSE not in other.fields:
            return False
        return all(
            other.fields.get(name) == self.fields[name] for name in _ECHOED if name in self.fields
        )

    def __repr__(self) -> str:
        return f"Message({self.kind}, fields {', '.join(self.fields)})"
