"""Signed and sealed messages: COSE_Sign1 (RFC 9052) and HPKE (RFC 9180).

Guarantees: :func:`verify` returns a message only if its Ed25519 signature (RFC 8032)
covers exactly the bytes that arrived, under the key given, for that type of message
(the type's label is the external AAD). :func:`unseal` returns plaintext only if it was
sealed to this key under the same ``info``. The length of a sealed part tells only its
number of 4-KiB blocks.

The caller must still find the right key for the ``kid``, check that it is not revoked,
and check that the message is fresh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Generic, Self, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cwt import COSE, COSEKey
from cwt.cose_key_interface import COSEKeyInterface

from wire import codec
from wire.codec import Message
from wire.errors import MalformedError, SealError, SignatureError, TooLargeError
from wire.messages import SealSuite

PUBLIC_KEY_BYTES = 32
KID_BYTES_MAX = 32
KEYS_MAX = 1024
PADDING_BYTES = 4096
_COSE_SIGN1_TAG = b"\xd2"
_EDDSA = -8
_ALG, _KID = 1, 4
_MLKEM_SEED_BYTES, _MLKEM_PUBLIC_BYTES = 64, 1184

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 private key with the key id that its signatures carry."""

    private: Ed25519PrivateKey
    kid: bytes

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid.hex()})"


@dataclass(frozen=True, slots=True)
class Unverified(Generic[M]):
    """A signed message as it arrived; nothing in it may be believed yet."""

    message: M
    kid: bytes
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signed(Generic[M]):
    """A message whose signature was verified, with the bytes that it covers."""

    message: M
    kid: bytes
    raw: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes."""
        return sha256(self.raw).digest()


def sign(message: M, key: SigningKey) -> Signed[M]:
    raw = COSE.new().encode_and_sign(
        message.encode(),
        _signing_key(key),
        protected={_ALG: _EDDSA, _KID: key.kid},
        external_aad=message.LABEL.encode(),
    )
    return Signed(message, key.kid, bytes(raw))


def parse(raw: bytes, kind: type[M]) -> Unverified[M]:
    """Reads a COSE_Sign1 without believing it; raises :class:`wire.errors.WireError`."""
    if len(raw) > kind.BYTES_MAX:
        raise TooLargeError(f"more than {kind.BYTES_MAX} bytes")
    if not raw.startswith(_COSE_SIGN1_TAG):
        raise MalformedError("not a COSE_Sign1 message")
    parts = codec.decode(raw[len(_COSE_SIGN1_TAG) :], max_bytes=kind.BYTES_MAX)
    match parts:
        case [bytes(protected), {**unprotected}, bytes(payload), bytes(signature)]:
            header = codec.decode(protected)
        case _:
            raise MalformedError("not a COSE_Sign1 message")
    match header:
        case {1: -8, 4: bytes(kid)} if len(header) == 2 and 0 < len(kid) <= KID_BYTES_MAX:
            pass
        case _:
            raise MalformedError("the COSE header is not EdDSA with a key id")
    if unprotected or len(signature) != 64:
        raise MalformedError("not a COSE_Sign1 message of this protocol")
    return Unverified(kind.decode(payload), kid, raw)


def verify(unverified: Unverified[M], public_key: bytes) -> Signed[M]:
    """Checks the signature over the bytes that arrived; raises :class:`SignatureError`."""
    try:
        COSE.new().decode(
            unverified.raw,
            _verifying_key(unverified.kid, public_key),
            external_aad=unverified.message.LABEL.encode(),
        )
    except Exception as error:
        raise SignatureError(f"{type(unverified.message).__name__}: wrong signature") from error
    return Signed(unverified.message, unverified.kid, unverified.raw)


@lru_cache(maxsize=KEYS_MAX)
def _verifying_key(kid: bytes, public: bytes) -> COSEKeyInterface:
    return COSEKey.new({1: 1, 2: kid, 3: _EDDSA, -1: 6, -2: public})


@lru_cache(maxsize=KEYS_MAX)
def _signing_key(key: SigningKey) -> COSEKeyInterface:
    own = {-2: key.public, -4: key.private.private_bytes_raw()}
    return COSEKey.new({1: 1, 2: key.kid, 3: _EDDSA, -1: 6} | own)


_SUITES = {
    SealSuite.MLKEM768_X25519: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    SealSuite.X25519: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


@dataclass(frozen=True, slots=True)
class SealKey:
    """The public key that probes are sealed to, as it stands in a challenge."""

    suite: SealSuite
    raw: bytes

    @property
    def digest(self) -> bytes:
        return sha256(bytes([self.suite]) + self.raw).digest()

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Returns the HPKE encapsulation and ciphertext of the padded plaintext.

        Raises :class:`MalformedError` where the key is none, or a point of small order.
        """
        try:
            return _SUITES[self.suite].encrypt(_pad(plaintext), self._public(), info=info)
        except ValueError as error:
            raise MalformedError("not a seal key") from error

    def _public(self) -> X25519PublicKey | MLKEM768X25519PublicKey:
        if self.suite is SealSuite.X25519:
            return X25519PublicKey.from_public_bytes(self.raw)
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.raw[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(self.raw[_MLKEM_PUBLIC_BYTES:]),
        )


@dataclass(frozen=True, slots=True)
class OpeningKey:
    """The service's private half of a :class:`SealKey`."""

    suite: SealSuite
    private: X25519PrivateKey | MLKEM768X25519PrivateKey
    public: SealKey

    @classmethod
    def from_seed(cls, suite: SealSuite, seed: bytes) -> Self:
        """``seed``: the ML-KEM seed (64 bytes; FIPS 203 ``d || z``), then the X25519 key (32)."""
        mlkem_seed, x25519_raw = seed[:_MLKEM_SEED_BYTES], seed[_MLKEM_SEED_BYTES:]
        x25519 = X25519PrivateKey.from_private_bytes(x25519_raw)
        public = x25519.public_key().public_bytes_raw()
        if suite is SealSuite.X25519:
            return cls(suite, x25519, SealKey(suite, public))
        mlkem = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed)
        return cls(
            suite,
            MLKEM768X25519PrivateKey(mlkem, x25519),
            SealKey(suite, mlkem.public_key().public_bytes_raw() + public),
        )

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Raises :class:`SealError` for another key, another ``info`` or changed bytes."""
        try:
            return _unpad(_SUITES[self.suite].decrypt(sealed, self.private, info=info))
        except InvalidTag as error:
            raise SealError("the sealed part does not open") from error

    def __repr__(self) -> str:
        return f"OpeningKey({self.suite.name}, {self.public.digest[:4].hex()})"


SEED_BYTES = _MLKEM_SEED_BYTES + 32


def _pad(plaintext: bytes) -> bytes:
    framed = len(plaintext).to_bytes(4, "big") + plaintext
    return framed + bytes(-len(framed) % PADDING_BYTES)


def _unpad(padded: bytes) -> bytes:
    plaintext = padded[4 : 4 + int.from_bytes(padded[:4], "big")]
    if _pad(plaintext) != padded:
        raise SealError("the sealed part is not padded as it should be")
    return plaintext
