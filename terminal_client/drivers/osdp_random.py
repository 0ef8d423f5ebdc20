"""libosdp's challenges come from ``rand()``, which its wheel never seeds: this seeds it.

OSDP's session keys are derived from the control panel's 8 random bytes (RND.A) and the base key;
with the same RND.A a recorded session can be played back. glibc's ``rand()`` is an additive
generator over a state that the process may supply. :func:`refill` fills all of it from the
kernel; each of the next 62 values then holds a word of it that no earlier value does, so they
are uniform and independent, at the 8 bits of each that libosdp uses. Measured and weighed in
docs/decisions/0015.

Guarantees: :func:`prepare` proves on the loaded library itself that its challenges are made of
the supplied state, or raises :class:`DriverError`: another C library, or another libosdp, is not
trusted unseen.

The caller must call :func:`refill` before every refresh of a panel or reader.
"""

from __future__ import annotations

import ctypes
import secrets
from functools import cache

from terminal_client.errors import DriverError

STATE_BYTES = 256
HEADER_BYTES = 4
CHALLENGE_BYTES = 8

_state = ctypes.create_string_buffer(STATE_BYTES)


def refill() -> None:
    """Cheap: 252 bytes of the kernel's, once a refresh."""
    _fill(secrets.token_bytes(STATE_BYTES - HEADER_BYTES))


@cache
def prepare(library_file: str) -> None:
    """Makes ``rand()`` use our state; ``library_file``: the extension module of libosdp."""
    try:
        libc, library = ctypes.CDLL(None), ctypes.CDLL(library_file)
        initstate, rand, fill_random = libc.initstate, libc.rand, library.osdp_fill_random
    except (OSError, AttributeError) as error:
        raise DriverError("this libosdp's random numbers cannot be replaced") from error
    initstate.restype = ctypes.c_void_p
    initstate.argtypes = (ctypes.c_uint, ctypes.c_void_p, ctypes.c_size_t)
    for _ in range(2):
        known = secrets.token_bytes(STATE_BYTES - HEADER_BYTES)
        initstate(1, _state, STATE_BYTES)
        _fill(known)
        expected = bytes(_scaled(rand()) for _ in range(CHALLENGE_BYTES))
        initstate(1, _state, STATE_BYTES)
        _fill(known)
        drawn = ctypes.create_string_buffer(CHALLENGE_BYTES)
        fill_random(drawn, CHALLENGE_BYTES)
        if drawn.raw != expected:
            raise DriverError("this libosdp does not draw its challenges from rand()")
    refill()


def _fill(words: bytes) -> None:
    ctypes.memmove(ctypes.addressof(_state) + HEADER_BYTES, words, len(words))


def _scaled(value: int) -> int:
    """As libosdp's ``osdp_fill_random`` does it, in single precision."""
    largest = ctypes.c_float(2**31 - 1).value
    return int(ctypes.c_float(ctypes.c_float(value).value / largest).value * 256) & 0xFF
