"""A badge's raw bits as a claim, and back: ``badge:26-0a1b2c40``.

The bits are the reader's, first bit first, and the hexadecimal digits of whole bytes, the last
padded with zeroes. Whether they hold a facility code or parity does not matter: the same badge
always reads the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from terminal_client.errors import UsageError

BITS_MAX = 256
_FORM = re.compile(r"badge:([1-9][0-9]{0,2})-([0-9a-f]{2,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Badge:
    bits: int
    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises :class:`UsageError`; its text does not hold the number."""
        whole = 0 < self.bits <= BITS_MAX and len(self.raw) == (self.bits + 7) // 8
        if not whole or self.raw[-1] & (0xFF >> ((self.bits - 1) % 8 + 1)):
            raise UsageError(f"a badge has 1 to {BITS_MAX} bits, padded with zeroes")

    @property
    def claim(self) -> str:
        return f"badge:{self.bits}-{self.raw.hex()}"

    @classmethod
    def of_claim(cls, text: str) -> Badge:
        """Raises :class:`UsageError` for every claim that no reader gives."""
        found = _FORM.fullmatch(text)
        if found is None or len(found[2]) % 2:
            raise UsageError("a reader's badge reads badge:BITS-HEX")
        return cls(int(found[1]), bytes.fromhex(found[2]))

    @classmethod
    def read(cls, bits: int, raw: bytes) -> Badge:
        """What a reader sent, whose padding is not to be trusted."""
        if not 0 < bits <= BITS_MAX or len(raw) < (bits + 7) // 8:
            raise UsageError(f"a badge has 1 to {BITS_MAX} bits")
        kept = bytearray(raw[: (bits + 7) // 8])
        kept[-1] &= 0xFF ^ (0xFF >> ((bits - 1) % 8 + 1))
        return cls(bits, bytes(kept))
