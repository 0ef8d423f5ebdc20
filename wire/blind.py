"""Claims as keyed digests that another key can be put on without knowing the claim.

A claim is hashed to a point of P-256 and multiplied by a secret number; what is kept is the
product's x coordinate. Whoever has such a digest and a second number makes of it the digest under
the product of both, which is what a door is given, together with that product. So a door finds a
badge that is shown to it, and neither the door's key nor its digests help against the digests
that the service keeps or that another door has: to link them is the decisional Diffie-Hellman
problem. Sources: Naor, Pinkas, Reingold 1999 (the function), Camenisch and Lehmann 2015
(per-verifier pseudonyms made so), FIPS 186-5 (P-256).

Guarantee: ``digest(c, a * b) == turn(digest(c, a), b)``. Times depend on the claim (a point is
found by trial), not on the key.

The caller must keep the numbers secret: with one, claims can be tried.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NUMBER_BYTES = DIGEST_BYTES = 32
_LABEL = b"countenance/v1/claim-point"


def number(key: bytes, label: bytes) -> int:
    """A secret number of a key's, from 1 to the curve's order, itself excluded."""
    return int.from_bytes(hmac.digest(key, label, "sha512")) % (ORDER - 1) + 1


def product(one: int, other: int) -> bytes:
    """The number that stands for both, 32 bytes."""
    return (one * other % ORDER).to_bytes(NUMBER_BYTES)


def digest(claim: str, secret: int) -> bytes:
    """The claim's digest under a number, 32 bytes."""
    for trial in count():
        seed = _LABEL + trial.to_bytes(2) + claim.encode()
        try:
            return turn(sha256(seed).digest(), secret)
        except ValueError:
            continue
    raise RuntimeError("every second number is a point's")


def turn(found: bytes, secret: int) -> bytes:
    """A digest's digest under one number more; raises :class:`ValueError` for what is none."""
    # Which of the two points with this x coordinate does not matter: their products share theirs.
    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), b"\x02" + found)
    return _key(secret).exchange(ECDH(), point)


@lru_cache(maxsize=4)
def _key(secret: int) -> EllipticCurvePrivateKey:
    return derive_private_key(secret, SECP256R1())
