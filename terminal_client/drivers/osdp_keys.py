"""The base key of an OSDP line (SCBK), through its installation and its rotations.

A rotation may be cut off by power after one side has the new key and before the other knows, so
the new key is kept beside the old one until a secure channel came up with it, and both are tried.

Guarantees: keys are made by :mod:`secrets`, on disk before they are on the line; the default
key (SCBK-D), and keys of one repeated byte, are refused wherever they come from.

The caller must try :attr:`LineKeys.candidates` in turn, and say by :meth:`LineKeys.proved` which
one the other side has.
"""

from __future__ import annotations

import secrets
from hmac import compare_digest

from terminal_client.errors import DriverError, UsageError
from terminal_client.keystore import Keystore

KEY_BYTES = 16
DEFAULT_KEY = bytes(range(0x30, 0x40))
_KEY, _NEXT = "osdp-key", "osdp-key-next"


class LineKeys:
    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    @property
    def candidates(self) -> tuple[bytes, ...]:
        """The key that was proved last, then one that waits to be; one or two.

        Raises :class:`DriverError` where none was installed, or one that must not be used.
        """
        kept = (self._keystore.secret(name) for name in (_KEY, _NEXT))
        found = tuple(raw for raw in kept if raw is not None)
        if not found:
            raise DriverError("the line has no key: countenance terminal door key install")
        if any(is_weak(raw) for raw in found):
            raise DriverError("the line's key is the default one, or damaged: install another")
        return found

    def propose(self, raw: bytes | None = None) -> bytes:
        """Keeps a key (a new one, if none is given) until it is proved; returns it.

        Raises :class:`UsageError` for one that must not be used.
        """
        proposed = raw if raw is not None else new_key()
        if is_weak(proposed):
            raise UsageError("the default key, or one that is no key, is refused")
        self._keystore.keep(_NEXT, proposed)
        return proposed

    def proved(self, raw: bytes) -> None:
        """The other side has ``raw``, so any other key is forgotten."""
        kept = self._keystore.secret(_KEY)
        if kept is None or not compare_digest(kept, raw):
            self._keystore.keep(_KEY, raw)
        if self._keystore.secret(_NEXT) is not None:
            self._keystore.forget(_NEXT)


def new_key() -> bytes:
    while is_weak(made := secrets.token_bytes(KEY_BYTES)):
        pass
    return made


def is_weak(raw: bytes) -> bool:
    return len(raw) != KEY_BYTES or compare_digest(raw, DEFAULT_KEY) or len(set(raw)) == 1
