"""Deterministic CBOR (RFC 8949 section 4.2.1), and messages declared field by field.

Guarantees: :func:`decode` accepts exactly one encoding of each value: integers,
byte strings, text, booleans, arrays, and maps with unsigned integer keys. Floats, tags,
null, indefinite lengths, duplicate keys, unsorted keys and trailing bytes are refused,
and so are inputs longer than their message may be (``MAX_MESSAGE_BYTES``, unless it says
otherwise) or nested deeper than ``MAX_DEPTH``.
``M.decode(m.encode()) == m`` for every message, and ``M.decode(raw).encode() == raw``
for every accepted ``raw``.

The caller must still verify signatures (:mod:`wire.envelope`) and compare what a
message says with what it expected.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar, Generic, Self, TypeVar

import cbor2

from wire.errors import MalformedError, TooLargeError
from wire.ids import Id

MAX_MESSAGE_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_TEXT_CHARS = 200
UINT64_MAX = 2**64 - 1

E = TypeVar("E", bound=IntEnum)
I = TypeVar("I", bound=Id)
M = TypeVar("M", bound="Message")
T = TypeVar("T")


def encode(value: object) -> bytes:
    """Returns the one deterministic encoding of a value that :func:`decode` accepts."""
    return cbor2.dumps(value, canonical=True)


def decode(raw: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """Returns the value that ``raw`` encodes.

    Raises :class:`TooLargeError` or :class:`MalformedError`. Takes time and memory in
    proportion to ``len(raw)``: a general CBOR decoder acts on tags before its caller can
    refuse them (a few hundred bytes of shared values stand for millions of items, a regular
    expression is compiled), so this one knows no tags at all.
    """
    if len(raw) > max_bytes:
        raise TooLargeError(f"more than {max_bytes} bytes")
    try:
        value, end = _read(raw, 0, MAX_DEPTH)
    except IndexError:
        raise MalformedError("cut off") from None
    if end != len(raw):
        raise MalformedError("bytes after the end")
    return value


_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = range(6)
_FALSE, _TRUE = 0xF4, 0xF5
_ONE_BYTE = 24
# The argument's size, and the least number that needs it, by the initial byte's low bits.
_ARGUMENTS = {24: (1, 24), 25: (2, 2**8), 26: (4, 2**16), 27: (8, 2**32)}


def _read(raw: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Returns the item that starts at ``at``, and where it ends; :class:`IndexError` where the
    bytes do."""
    if depth == 0:
        raise MalformedError("nested too deeply")
    initial = raw[at]
    kind, argument, at = initial >> 5, initial & 31, at + 1
    if kind > _MAP:
        if initial in (_FALSE, _TRUE):
            return initial == _TRUE, at
        raise MalformedError("a CBOR type that this protocol does not use")
    if argument >= _ONE_BYTE:
        argument, at = _read_argument(raw, at, argument)
    if kind == _UINT:
        return argument, at
    if kind == _MAP:
        return _read_map(raw, at, argument, depth - 1)
    if kind == _ARRAY:
        return _read_array(raw, at, argument, depth - 1)
    if kind == _NEGATIVE:
        return -1 - argument, at
    end = at + argument
    if end > len(raw):
        raise MalformedError("cut off")
    return raw[at:end] if kind == _BYTES else _read_text(raw[at:end]), end


def _read_argument(raw: bytes, at: int, low: int) -> tuple[int, int]:
    if low not in _ARGUMENTS:
        raise MalformedError("an indefinite or reserved length")
    size, least = _ARGUMENTS[low]
    end = at + size
    if end > len(raw):
        raise MalformedError("cut off")
    argument = int.from_bytes(raw[at:end])
    if argument < least:
        raise MalformedError("a number that is not in its shortest form")
    return argument, end


def _read_text(raw: bytes) -> str:
    with suppress(UnicodeDecodeError):
        return raw.decode()
    # Not raised from the decoder's error, which carries the bytes: they may be secret.
    raise MalformedError("text that is not UTF-8")


def _read_array(raw: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _read(raw, at, depth)
        items.append(item)
    return items, at


def _read_map(raw: bytes, at: int, count: int, depth: int) -> tuple[dict[int, Any], int]:
    items: dict[int, Any] = {}
    last = -1
    for _ in range(count):
        # Nearly every key is one byte.
        key: Any = raw[at]
        if key < _ONE_BYTE and depth:
            at += 1
        else:
            key, at = _read(raw, at, depth)
        if type(key) is not int or key <= last:
            raise MalformedError("map keys that are not ascending unsigned integers")
        items[key], at = _read(raw, at, depth)
        last = key
    return items, at


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How one field's value is written to CBOR and read back.

    ``read`` gets a value that :func:`decode` accepted and raises
    :class:`MalformedError` unless it is in the field's range.
    """

    write: Callable[[T], object]
    read: Callable[[Any], T]


def _refuse(rule: str) -> MalformedError:
    return MalformedError(f"must be {rule}")


def uint(maximum: int = 2**53 - 1) -> Kind[int]:
    def read(value: Any) -> int:
        if type(value) is not int or not 0 <= value <= maximum:
            raise _refuse(f"an integer from 0 to {maximum}")
        return value

    return Kind(int, read)


def octets(minimum: int, maximum: int | None = None) -> Kind[bytes]:
    """A byte string of ``minimum`` to ``maximum`` (default: the same) bytes."""
    limit = minimum if maximum is None else maximum

    def read(value: Any) -> bytes:
        if not isinstance(value, bytes) or not minimum <= len(value) <= limit:
            raise _refuse(f"{minimum} to {limit} bytes")
        return value

    return Kind(bytes, read)


def text(maximum: int = MAX_TEXT_CHARS, *, minimum: int = 1) -> Kind[str]:
    """Printable text, without control characters or surrounding blanks."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not minimum <= len(value) <= maximum:
            raise _refuse(f"text of {minimum} to {maximum} characters")
        if not value.isprintable() or value != value.strip():
            raise _refuse("printable text")
        return value

    return Kind(str, read)


def flag() -> Kind[bool]:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _refuse("true or false")
        return value

    return Kind(bool, read)


def code(enum: type[E]) -> Kind[E]:
    members = {int(member): member for member in enum}

    def read(value: Any) -> E:
        if type(value) is not int or value not in members:
            raise _refuse(f"a known {enum.__name__}")
        return members[value]

    return Kind(int, read)


def ident(kind: type[I]) -> Kind[I]:
    read_octets = octets(16).read
    return Kind(lambda value: value.raw, lambda value: kind(read_octets(value)))


def many(item: Kind[T], maximum: int, *, minimum: int = 0) -> Kind[tuple[T, ...]]:
    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list) or not minimum <= len(value) <= maximum:
            raise _refuse(f"a list of {minimum} to {maximum}")
        return tuple(item.read(each) for each in value)

    return Kind(lambda values: [item.write(each) for each in values], read)


def nested(kind: type[M]) -> Kind[M]:
    return Kind(lambda value: value.to_map(), kind.from_map)


def on_wire(key: int, kind: Kind[Any], *, optional: bool = False) -> dict[str, Any]:
    """The ``metadata`` of a message's dataclass field."""
    return {"key": key, "kind": kind, "optional": optional}


class Message:
    """Base of the frozen dataclasses whose every field carries :func:`on_wire` metadata.

    ``LABEL`` separates the messages' signatures from each other (it is the COSE
    external AAD), so that no message can be taken for one of another type. ``BYTES_MAX`` is
    how long one may be, its envelope included.
    """

    __slots__ = ()
    LABEL: ClassVar[str]
    BYTES_MAX: ClassVar[int] = MAX_MESSAGE_BYTES

    def to_map(self) -> dict[int, object]:
        return {
            key: write(value)
            for name, key, write, _, _ in _layout(type(self))
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def from_map(cls, value: Any) -> Self:
        """Raises :class:`MalformedError`, naming the field."""
        if not isinstance(value, dict):
            raise MalformedError(f"{cls.__name__} must be a map")
        layout, absent = _layout(cls), 0
        found: dict[str, Any] = {}
        for name, key, _, read, optional in layout:
            item = value.get(key)
            if item is None:
                if not optional:
                    raise MalformedError(f"{cls.__name__}.{name} is missing")
                absent += 1
                found[name] = None
                continue
            try:
                found[name] = read(item)
            except MalformedError as error:
                raise MalformedError(f"{cls.__name__}.{name} {error}") from error
        if len(value) != len(layout) - absent:
            unknown = value.keys() - {key for _, key, *_ in layout}
            raise MalformedError(f"{cls.__name__} has no field {min(unknown)}")
        try:
            return cls(**found)
        except ValueError as error:
            raise MalformedError(f"{cls.__name__}: {error}") from error

    def encode(self) -> bytes:
        return encode(self.to_map())

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises :class:`wire.errors.WireError`."""
        return cls.from_map(decode(raw, max_bytes=cls.BYTES_MAX))


Layout = tuple[tuple[str, int, Callable[[Any], object], Callable[[Any], Any], bool], ...]
_LAYOUTS: dict[type, Layout] = {}


def _layout(cls: Any) -> Layout:
    """Each field's name, its key, how it is written and read, and whether it may be absent."""
    if cls not in _LAYOUTS:
        about = [(each.name, each.metadata) for each in fields(cls)]
        _LAYOUTS[cls] = tuple(
            (name, each["key"], each["kind"].write, each["kind"].read, each["optional"])
            for name, each in about
        )
    return _LAYOUTS[cls]
