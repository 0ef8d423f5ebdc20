"""Deterministic CBOR (RFC 8949 section 4.2.1), and messages declared field by field.

Guarantees: :func:`decode` accepts exactly one encoding of each value: integers,
byte strings, text, arrays, and maps with integer or text keys. Floats, tags, null,
indefinite lengths, duplicate keys, unsorted keys and trailing bytes are refused,
and so are inputs longer than ``MAX_MESSAGE_BYTES`` or nested deeper than
``MAX_DEPTH``. ``M.decode(m.encode()) == m`` for every message, and
``M.decode(raw).encode() == raw`` for every accepted ``raw``.

The caller must still verify signatures (:mod:`wire.envelope`) and compare what a
message says with what it expected.
"""

from __future__ import annotations

from collections.abc import Callable
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

    Raises :class:`TooLargeError` or :class:`MalformedError`.
    """
    if len(raw) > max_bytes:
        raise TooLargeError(f"more than {max_bytes} bytes")
    try:
        value = cbor2.loads(raw)
    except Exception as error:
        raise MalformedError("not CBOR") from error
    _check_types(value, MAX_DEPTH)
    if encode(value) != raw:
        raise MalformedError("not deterministic CBOR, or bytes after its end")
    return value


def _check_types(value: object, depth: int) -> None:
    if depth == 0:
        raise MalformedError("nested too deeply")
    match value:
        case bool():
            return
        case int():
            if not -(2**64) <= value <= UINT64_MAX:
                raise MalformedError("an integer longer than 64 bits")
        case bytes() | str():
            return
        case list():
            for item in value:
                _check_types(item, depth - 1)
        case dict():
            for key, item in value.items():
                if isinstance(key, bool) or not isinstance(key, int | str):
                    raise MalformedError("a map key that is neither integer nor text")
                _check_types(item, depth - 1)
        case _:
            raise MalformedError("a CBOR type that this protocol does not use")


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
    def read(value: Any) -> E:
        if type(value) is not int or value not in enum.__members__.values():
            raise _refuse(f"a known {enum.__name__}")
        return enum(value)

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
    external AAD), so that no message can be taken for one of another type.
    """

    __slots__ = ()
    LABEL: ClassVar[str]

    def to_map(self) -> dict[int, object]:
        return {
            key: kind.write(value)
            for name, key, kind, _ in _layout(type(self))
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def from_map(cls, value: Any) -> Self:
        """Raises :class:`MalformedError`, naming the field."""
        if not isinstance(value, dict):
            raise MalformedError(f"{cls.__name__} must be a map")
        layout = _layout(cls)
        if unknown := value.keys() - {key for _, key, _, _ in layout}:
            raise MalformedError(f"{cls.__name__} has no field {min(map(str, unknown))[:20]}")
        found: dict[str, Any] = {}
        for name, key, kind, optional in layout:
            if key not in value:
                if not optional:
                    raise MalformedError(f"{cls.__name__}.{name} is missing")
                found[name] = None
                continue
            try:
                found[name] = kind.read(value[key])
            except MalformedError as error:
                raise MalformedError(f"{cls.__name__}.{name} {error}") from error
        try:
            return cls(**found)
        except ValueError as error:
            raise MalformedError(f"{cls.__name__}: {error}") from error

    def encode(self) -> bytes:
        return encode(self.to_map())

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises :class:`wire.errors.WireError`."""
        return cls.from_map(decode(raw))


_LAYOUTS: dict[type, tuple[tuple[str, int, Kind[Any], bool], ...]] = {}


def _layout(cls: Any) -> tuple[tuple[str, int, Kind[Any], bool], ...]:
    if cls not in _LAYOUTS:
        _LAYOUTS[cls] = tuple(
            (each.name, each.metadata["key"], each.metadata["kind"], each.metadata["optional"])
            for each in fields(cls)
        )
    return _LAYOUTS[cls]
