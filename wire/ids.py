"""Identifiers: 16 bytes each, one class a concept, so that they cannot be mixed up.

The text form is the concept's prefix and 26 characters of lower-case RFC 4648
base32, such as ``att_mfrggzdfmztwq2lkobyxezlroe``. There is one text for each id:
other spellings are refused.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import ClassVar, Self

from wire.errors import MalformedError

ID_BYTES = 16


@dataclass(frozen=True, slots=True, order=True)
class Id:
    """Base class. ``raw`` is 16 bytes; equality also looks at the class."""

    raw: bytes
    PREFIX: ClassVar[str]

    def __post_init__(self) -> None:
        if len(self.raw) != ID_BYTES:
            raise ValueError(f"an id has {ID_BYTES} bytes")

    @classmethod
    def new(cls) -> Self:
        """Returns a random id (128 bits from the operating system)."""
        return cls(os.urandom(ID_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the text form; raises :class:`MalformedError`."""
        try:
            prefix, _, body = text.partition("_")
            found = cls(base64.b32decode(body.upper() + "======"))
        except ValueError as error:
            raise MalformedError(f"not a {cls.__name__}") from error
        if prefix != cls.PREFIX or str(found) != text:
            raise MalformedError(f"not a {cls.__name__}")
        return found

    def __str__(self) -> str:
        return f"{self.PREFIX}_{base64.b32encode(self.raw).decode().rstrip('=').lower()}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class AccountId(Id):
    PREFIX = "acc"
    __slots__ = ()


class AlarmId(Id):
    PREFIX = "alm"
    __slots__ = ()


class AttemptId(Id):
    PREFIX = "att"
    __slots__ = ()


class ChallengeId(Id):
    PREFIX = "cha"
    __slots__ = ()


class DoorId(Id):
    PREFIX = "dor"
    __slots__ = ()


class EntryId(Id):
    PREFIX = "ent"
    __slots__ = ()


class GroupId(Id):
    PREFIX = "grp"
    __slots__ = ()


class MerchantId(Id):
    PREFIX = "mer"
    __slots__ = ()


class PaymentIntentId(Id):
    PREFIX = "pay"
    __slots__ = ()


class ReleaseId(Id):
    PREFIX = "rel"
    __slots__ = ()


class SiteId(Id):
    PREFIX = "sit"
    __slots__ = ()


class TerminalId(Id):
    PREFIX = "ter"
    __slots__ = ()


class TransferId(Id):
    PREFIX = "tra"
    __slots__ = ()


class ZoneId(Id):
    PREFIX = "zon"
    __slots__ = ()
