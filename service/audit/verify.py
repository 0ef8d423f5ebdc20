"""The auditor: verifies the log from its stored bytes. Shares no code with the writer.

Guarantees: :func:`verify_log` finds an entry that was deleted, changed, moved or added, a
checkpoint that was deleted, forged or rolled back, and a decision whose entry is gone, and
names the first. Pure: bytes in, findings out; imports nothing of Countenance.

The caller must still get the verifier key from somewhere other than the database, and
compare with a checkpoint that it kept itself (``kept``): only that finds a log whose end was
cut off together with its newest checkpoints, or one begun anew with a stolen log key.
Formats: RFC 6962 section 2.1, C2SP signed-note, tlog-checkpoint and tlog-proof.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PROOF_LINES_MAX = 80
_SIGNATURE = "\u2014 "


class AuditError(Exception):
    """What is wrong, and where. Never holds the entry itself."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's public key: ``name+hash+key``, as C2SP signed-note writes it."""

    name: str
    key_hash: bytes
    public: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Raises :class:`AuditError`."""
        try:
            name, hashed, encoded = text.strip().split("+", 2)
            raw = _decode(encoded)
            if raw[:1] != b"\x01" or len(raw) != 33:
                raise ValueError("not Ed25519")  # noqa: TRY301
            key_hash = sha256(name.encode() + b"\n" + raw).digest()[:4]
            if key_hash.hex() != hashed:
                raise ValueError("hash")  # noqa: TRY301
            return cls(name, key_hash, Ed25519PublicKey.from_public_bytes(raw[1:]))
        except (ValueError, binascii.Error) as error:
            raise AuditError("not a verifier key: it is written name+hash+key") from error


@dataclass(frozen=True, slots=True)
class SignedTree:
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: ``size`` entries under ``checkpoints`` checkpoints."""

    size: int
    checkpoints: int
    root: bytes
    waiting: int


def read_checkpoint(note: bytes, key: VerifierKey) -> SignedTree:
    """Checks a checkpoint's signature; raises :class:`AuditError`."""
    try:
        text, _, signatures = note.decode().partition("\n\n")
        origin, size, root = text.split("\n")
        tree = SignedTree(int(size), _decode(root))
    except ValueError as error:
        raise AuditError("a checkpoint that is not one") from error
    if origin != key.name or len(tree.root) != 32 or str(tree.size) != size:
        raise AuditError("a checkpoint of another log")
    for line in signatures.splitlines():
        if _signed_by(line, text + "\n", key):
            return tree
    raise AuditError(f"the checkpoint of {tree.size} entries has a wrong signature")


def _signed_by(line: str, text: str, key: VerifierKey) -> bool:
    if not line.startswith(f"{_SIGNATURE}{key.name} "):
        return False
    try:
        raw = _decode(line.rsplit(" ", 1)[1])
        if raw[:4] != key.key_hash:
            return False
        key.public.verify(raw[4:], text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


class _Tree:
    """The roots of a growing tree: one hash for each perfect subtree on its right edge."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        height, digest = 0, sha256(b"\x00" + leaf).digest()
        while self._edge and self._edge[-1][0] == height:
            _, left = self._edge.pop()
            height, digest = height + 1, sha256(b"\x01" + left + digest).digest()
        self._edge.append((height, digest))
        self.size += 1

    def root(self) -> bytes:
        digests = [digest for _, digest in self._edge]
        if not digests:
            return sha256(b"").digest()
        root = digests.pop()
        while digests:
            root = sha256(b"\x01" + digests.pop() + root).digest()
        return root


def verify_log(
    entries: Iterable[tuple[int, bytes]],
    notes: Iterable[bytes],
    key: VerifierKey,
    *,
    waiting: Iterable[bytes] = (),
    decided: Iterable[bytes] = (),
    kept: bytes | None = None,
) -> Verified:
    """Verifies a whole log; raises :class:`AuditError` naming the first thing wrong.

    ``entries`` are (position, leaf) by position; ``notes`` the checkpoints by size;
    ``waiting`` the leaves without a position; ``decided`` the leaf hashes that decisions
    name; ``kept`` a checkpoint kept elsewhere.
    """
    trees = [read_checkpoint(note, key) for note in notes]
    if kept is not None:
        trees = sorted([*trees, read_checkpoint(kept, key)], key=lambda tree: tree.size)
    tree, known = _Tree(), set[bytes]()
    checks = iter(trees)
    check = next(checks, None)
    for position, leaf in entries:
        if position != tree.size:
            raise AuditError(f"entry {tree.size} is missing")
        tree.add(leaf)
        known.add(sha256(b"\x00" + leaf).digest())
        while check is not None and check.size == tree.size:
            _compare(check, tree)
            check = next(checks, None)
    if check is not None:
        raise AuditError(f"entries are missing: {tree.size} of {check.size} signed ones are here")
    if tree.size != (trees[-1].size if trees else 0):
        raise AuditError(f"a checkpoint is missing: {tree.size} entries have positions")
    late = {sha256(b"\x00" + leaf).digest() for leaf in waiting}
    for number, digest in enumerate(decided):
        if digest not in known and digest not in late:
            raise AuditError(f"decision {number} has no entry: {digest.hex()}")
    return Verified(tree.size, len(trees), tree.root(), len(late))


def _compare(check: SignedTree, tree: _Tree) -> None:
    if check.root != tree.root():
        raise AuditError(f"an entry before {check.size} was changed, moved or added")


def verify_receipt(receipt: bytes, key: VerifierKey) -> tuple[int, bytes]:
    """Verifies a receipt offline; returns the entry's position and leaf.

    Raises :class:`AuditError`.
    """
    try:
        head, _, note = receipt.partition(b"\n\n")
        lines = head.decode().split("\n")
        if len(lines) > PROOF_LINES_MAX or lines[0] != "c2sp.org/tlog-proof@v1":
            raise ValueError("head")  # noqa: TRY301
        leaf, index = _decode(_after("extra ", lines[1])), int(_after("index ", lines[2]))
        if lines[2] != f"index {index}":
            raise ValueError("index")  # noqa: TRY301
        path = iter([_decode(line) for line in lines[3:]])
    except (ValueError, IndexError) as error:
        raise AuditError("not a receipt") from error
    tree = read_checkpoint(note, key)
    if not 0 <= index < tree.size:
        raise AuditError("the receipt's entry lies outside its checkpoint")
    if _climb(sha256(b"\x00" + leaf).digest(), index, tree.size, path) != tree.root:
        raise AuditError("the receipt's proof does not lead to its checkpoint")
    return index, leaf


def _after(prefix: str, line: str) -> str:
    if not line.startswith(prefix):
        raise ValueError(prefix)
    return line.removeprefix(prefix)


def _decode(text: str) -> bytes:
    """Base64 in its one spelling: without blanks, with its padding, no bits left over."""
    raw = b64decode(text, validate=True)
    if b64encode(raw).decode() != text:
        raise ValueError("base64")
    return raw


def _climb(digest: bytes, index: int, size: int, path: Iterator[bytes]) -> bytes | None:
    """RFC 9162 section 2.1.3.2; None for a path of the wrong length."""
    last = size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            digest = sha256(b"\x01" + sibling + digest).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            digest = sha256(b"\x01" + digest + sibling).digest()
        index, last = index >> 1, last >> 1
    return digest if last == 0 else None
