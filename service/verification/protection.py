"""How a reference is kept: renewable, encrypted, bound to its account.

Guarantees: the stored bytes open only for the same account, model and version, with
the account's data key and, in holder mode, the holder's share. Under the encryption
the vector is turned by an orthogonal transform that differs per account and version
(renewable biometric references, ISO/IEC 24745): two stored references of one person
cannot be linked without the transform keys. Inner products survive the transform, so
a probe is compared without turning the reference back.

The caller must still keep the data key wrapped (:class:`service.keys.KeyRing`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import shake_256

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from face_engine.types import Embedding, Vector
from wire.ids import AccountId

DATA_KEY_BYTES = 32
ROUNDS = 3
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Which reference: the AAD of its encryption and the label of its transform."""

    account: AccountId
    model_id: bytes
    version: int

    @property
    def label(self) -> bytes:
        return self.account.raw + self.model_id + self.version.to_bytes(2, "big")


def new_data_key() -> bytes:
    return os.urandom(DATA_KEY_BYTES)


def protect(embedding: Embedding, slot: Slot, *, data_key: bytes, holder_share: bytes | None,
            transform_key: bytes) -> bytes:  # fmt: skip
    """Returns the bytes to store."""
    nonce = os.urandom(_NONCE_BYTES)
    turned = turn(embedding.vector, slot, transform_key)
    cipher = AESGCM(_reference_key(data_key, holder_share, slot))
    return nonce + cipher.encrypt(nonce, turned.astype("<f4").tobytes(), slot.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What :func:`protect` returned, and what opens it."""

    slot: Slot
    ciphertext: bytes = field(repr=False)
    data_key: bytes = field(repr=False)
    holder_share: bytes | None = field(repr=False)


def similarities(
    stored: Sequence[Stored], probe: Embedding, *, transform_key: bytes
) -> list[float | None]:
    """The cosine of each stored reference and the probe; None where it does not open.

    The probe is turned in either case: the time does not tell.
    """
    wanted = _turn(probe.vector, [each.slot for each in stored], transform_key)
    return [_cosine(each, probe, turned) for each, turned in zip(stored, wanted, strict=True)]


def _cosine(stored: Stored, probe: Embedding, wanted: Vector) -> float | None:
    turned = _decrypt(stored.ciphertext, stored.slot, stored.data_key, stored.holder_share)
    if turned is None or turned.shape != wanted.shape or probe.model_id != stored.slot.model_id:
        return None
    return float(turned @ wanted)


def unprotect(stored: bytes, slot: Slot, *, data_key: bytes, holder_share: bytes | None,
              transform_key: bytes) -> Vector | None:  # fmt: skip
    """The embedding as it was before :func:`protect`; None where it does not open.

    Only comparisons of two references need it (:mod:`service.population`); a probe is compared
    without it.
    """
    turned = _decrypt(stored, slot, data_key, holder_share)
    return None if turned is None else turn_back(turned, slot, transform_key)


def _decrypt(
    stored: bytes, slot: Slot, data_key: bytes, holder_share: bytes | None
) -> Vector | None:
    cipher = AESGCM(_reference_key(data_key, holder_share, slot))
    try:
        opened = cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], slot.label)
    except (InvalidTag, ValueError):
        return None
    return np.frombuffer(opened, "<f4")


def turn(vector: Vector, slot: Slot, transform_key: bytes) -> Vector:
    """Applies the slot's orthogonal transform: three rounds of signs, permutation, Hadamard.

    ``vector`` has shape (n,), n a power of two.
    """
    turned: Vector = _turn(vector, [slot], transform_key)[0]
    return turned


def _turn(vector: Vector, slots: Sequence[Slot], transform_key: bytes) -> NDArray[np.float32]:
    """One vector by the transform of each slot, shape (slots, n)."""
    signs, orders = _rounds(vector.size, slots, transform_key)
    turned = np.broadcast_to(vector.astype(np.float64), (len(slots), vector.size))
    rows = np.arange(len(slots))[:, None]
    for number in range(ROUNDS):
        turned = (turned * signs[:, number])[rows, orders[:, number]] @ _hadamard(vector.size)
    return turned.astype(np.float32)


def turn_back(turned: Vector, slot: Slot, transform_key: bytes) -> Vector:
    """Undoes :func:`turn`."""
    vector = turned.astype(np.float64)
    (signs,), (orders,) = _rounds(turned.size, [slot], transform_key)
    for sign, order in zip(signs[::-1], orders[::-1], strict=True):
        vector[order] = _hadamard(turned.size) @ vector
        vector *= sign
    return vector.astype(np.float32)


def _rounds(
    size: int, slots: Sequence[Slot], transform_key: bytes
) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Each slot's rounds' signs and permutations, both of shape (slots, ``ROUNDS``, ``size``)."""
    label = b"countenance/v1/transform" + transform_key
    length = ROUNDS * size * 9
    stream = b"".join(shake_256(label + slot.label).digest(length) for slot in slots)
    chunks = np.frombuffer(stream, np.uint8).reshape(len(slots), ROUNDS, size * 9)
    signs = (chunks[..., :size] & 1).astype(np.int8) * 2 - 1
    return signs, chunks[..., size:].copy().view("<u8").argsort(axis=-1, kind="stable")


@cache
def _hadamard(size: int) -> NDArray[np.float64]:
    if size < 1 or size & (size - 1):
        raise ValueError("embeddings have a power of two of dimensions")
    matrix: NDArray[np.float64] = np.ones((1, 1))
    while matrix.shape[0] < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    scaled: NDArray[np.float64] = matrix / np.sqrt(size)
    return scaled


def _reference_key(data_key: bytes, holder_share: bytes | None, slot: Slot) -> bytes:
    return HKDF(
        algorithm=SHA256(),
        length=32,
        salt=slot.account.raw,
        info=b"countenance/v1/reference" + (b"+holder" if holder_share else b""),
    ).derive(data_key + (holder_share or b""))
