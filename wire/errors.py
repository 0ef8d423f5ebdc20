"""What is wrong with bytes that came from outside: the ``WireError`` family.

Guarantee: whatever a parser of this package is given, it returns a message or
raises a :class:`WireError`; no other exception comes out. The texts name the
field and the rule, never the value.
"""

from __future__ import annotations


class WireError(Exception):
    """Hostile or damaged input."""


class MalformedError(WireError):
    """Not deterministic CBOR, or not the fields that the message has."""


class TooLargeError(WireError):
    """Longer than the message may ever be."""


class SignatureError(WireError):
    """The COSE signature does not verify under the expected key."""


class SealError(WireError):
    """The sealed part does not open: another key, another context, or changed bytes."""
