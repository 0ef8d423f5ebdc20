"""Checkpoints: C2SP tlog-checkpoint texts in C2SP signed-note signatures.

Guarantee: a checkpoint's text is origin, size and root, one line each, signed with Ed25519
(signature type 1) under the log's name.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256

from service.keys import LogSigner

_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``note`` is the whole signed text."""

    size: int
    root: bytes
    note: bytes


def sign_checkpoint(size: int, root: bytes, signer: LogSigner) -> Checkpoint:
    text = f"{signer.name}\n{size}\n{b64encode(root).decode()}\n".encode()
    signature = b64encode(_key_hash(signer) + signer.sign(text)).decode()
    return Checkpoint(
        size=size, root=root, note=text + f"\n\u2014 {signer.name} {signature}\n".encode()
    )


def verifier_key(signer: LogSigner) -> str:
    """The log's public key, in the form that C2SP tools read: ``name+hash+key``."""
    key = _ED25519 + signer.public_key.public_bytes_raw()
    return f"{signer.name}+{_key_hash(signer).hex()}+{b64encode(key).decode()}"


def _key_hash(signer: LogSigner) -> bytes:
    key = _ED25519 + signer.public_key.public_bytes_raw()
    return sha256(signer.name.encode() + b"\n" + key).digest()[:4]
