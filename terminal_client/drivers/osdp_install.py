"""The first key of an OSDP line, put in over the line itself.

OSDP delivers it under the default key (SCBK-D), which everybody knows: who listens to the line
in these seconds has the key. So this is for the bench, or a line that was looked at; a vendor's
own tool, or a key typed into both sides, needs no such trust. Afterwards the default key is
refused for good.

Guarantees: no door is commanded and no badge sent under the default key; a key counts as
installed only when a secure channel came up with it.
"""

from __future__ import annotations

from typing import Any

import osdp_sys

from terminal_client.drivers.osdp_keys import LineKeys, new_key
from terminal_client.drivers.osdp_panel import OsdpPanel
from terminal_client.drivers.osdp_reader import OsdpReader
from terminal_client.drivers.osdp_side import REFRESH_MS
from terminal_client.drivers.settings import Lock, OsdpConfig


class _Throwaway(LineKeys):
    """Keys of an installation: kept only once they were proved."""

    def __init__(self, keys: LineKeys) -> None:
        self._kept = keys
        self._first = new_key()

    @property
    def candidates(self) -> tuple[bytes, ...]:
        return (self._first,)

    def propose(self, raw: bytes | None = None) -> bytes:
        self._first = self._kept.propose(raw)
        return self._first

    def proved(self, raw: bytes) -> None:
        self._kept.proved(raw)


class _InstallingPanel(OsdpPanel):
    def _make(self, _flags: int) -> Any:
        # Without the flag libosdp falls back to SCBK-D, and sends KEYSET before anything else.
        return super()._make(0)


class _InstallingReader(OsdpReader):
    def _make(self, flags: int) -> Any:
        return super()._make(flags | osdp_sys.FLAG_INSTALL_MODE)


def install_as_panel(config: OsdpConfig, lock: Lock, keys: LineKeys, wait_ms: int) -> bool:
    """Gives a reader in its factory state a new key; whether it has it."""
    throwaway = _Throwaway(keys)
    throwaway.propose()
    return _waited(_InstallingPanel(config, lock, throwaway), wait_ms)


def install_as_reader(config: OsdpConfig, keys: LineKeys, wait_ms: int) -> bool:
    """Takes the key that the panel gives out; whether one came, and a channel with it."""
    return _waited(_InstallingReader(config, _Throwaway(keys)), wait_ms)


def _waited(side: OsdpPanel | OsdpReader, wait_ms: int) -> bool:
    ends_ms = side._now_ms() + wait_ms
    try:
        while side._now_ms() < ends_ms:
            side.signals(REFRESH_MS)
            if side._up:
                return True
        return False
    finally:
        side.close()
