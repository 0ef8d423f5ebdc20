"""Vectors of the log: Merkle trees (RFC 6962), leaves, checkpoints, receipts."""

from __future__ import annotations

from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.audit.leaf import ActLeaf, ConfirmationLeaf, DecisionLeaf
from service.audit.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    subtrees,
)
from service.audit.notes import sign_checkpoint, verifier_key
from service.keys import LogSigner
from tests.vectors.shared import (
    ACCOUNT,
    ATTEMPT,
    NOW_MS,
    PAYMENT,
    TERMINAL,
    Case,
    Document,
    describe,
    fixed,
)
from wire.messages import Completion, Factor, Outcome

# The leaves of Certificate Transparency's reference tree; their roots are published.
_CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
              "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
SIGNER = LogSigner(
    name="countenance.test/log", private=Ed25519PrivateKey.from_private_bytes(fixed("log", 32))
)
LEAVES = (
    DecisionLeaf(
        at_ms=NOW_MS,
        attempt=ATTEMPT,
        terminal=TERMINAL,
        context=PAYMENT,
        evidence_digest=fixed("evidence digest", 32),
        policy_version=3,
        outcome=Outcome.APPROVED,
        denial=None,
        account=ACCOUNT,
    ),
    DecisionLeaf(
        at_ms=NOW_MS,
        attempt=ATTEMPT,
        terminal=TERMINAL,
        context=PAYMENT,
        evidence_digest=fixed("evidence digest", 32),
        policy_version=3,
        outcome=Outcome.DENIED,
        denial="account_unknown",
        account=None,
        factor=Factor.CARD_PIN,
    ),
    ConfirmationLeaf(at_ms=NOW_MS, attempt=ATTEMPT, completion=Completion.COMPLETED, finding=None),
    ConfirmationLeaf(
        at_ms=NOW_MS,
        attempt=ATTEMPT,
        completion=Completion.COMPLETED,
        finding=None,
        amount_minor=2_000,
    ),
    *(
        ActLeaf(
            at_ms=NOW_MS,
            act="account.suspend",
            subject=str(ACCOUNT),
            nonce=fixed("act", 16),
            actor=actor,
        )
        for actor in (None, "tok_aaaaaaaaaaaaaaaaaaaaaaaaaa")
    ),
)


class Tree:
    """The perfect subtrees over some leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._levels = [[leaf_hash(leaf) for leaf in leaves]]
        while len(below := self._levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self._levels.append([node_hash(left, right) for left, right in pairs])

    def __call__(self, level: int, index: int) -> bytes:
        return self._levels[level][index]


def merkle() -> Document:
    leaves = [bytes.fromhex(leaf) for leaf in _CT_LEAVES]
    tree, sizes = Tree(leaves), range(1, len(leaves) + 1)
    return {
        "about": "RFC 6962 section 2.1 over the leaves of Certificate Transparency's reference.",
        "leaves": _CT_LEAVES,
        "leaf_hashes": [leaf_hash(leaf).hex() for leaf in leaves],
        "roots": [
            {"size": size, "subtrees": subtrees(size), "root": root_of(size, tree).hex()}
            for size in sizes
        ],
        "inclusion": [
            {"index": index, "size": size, "path": _hex(inclusion_path(index, size, tree))}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"old": old, "size": size, "path": _hex(consistency_path(old, size, tree))}
            for size in sizes
            for old in range(1, size + 1)
        ],
    }


def _hex(path: list[bytes]) -> list[str]:
    return [each.hex() for each in path]


def log() -> Document:
    raw = [leaf.encode() for leaf in LEAVES]
    tree = Tree(raw)
    return {
        "about": "Leaves, C2SP checkpoints and receipts of a log of as many entries as leaves.",
        "verifier_key": verifier_key(SIGNER),
        "leaves": [
            {"leaf": type(leaf).__name__, "fields": describe(leaf), "bytes": leaf.encode().hex(),
             "leaf_hash": leaf_hash(leaf.encode()).hex()}
            for leaf in LEAVES
        ],
        "checkpoints": [
            {"size": size, "root": root_of(size, tree).hex(), "note": _note(size, tree)}
            for size in range(1, len(raw) + 1)
        ],
        "receipts": [_receipt(index, raw, tree) for index in range(len(raw))],
    }  # fmt: skip


def _note(size: int, tree: Tree) -> str:
    return sign_checkpoint(size, root_of(size, tree), SIGNER).note.decode()


def _receipt(index: int, leaves: list[bytes], tree: Tree) -> Case:
    path = inclusion_path(index, len(leaves), tree)
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64encode(leaves[index]).decode()}",
             f"index {index}", *(b64encode(each).decode() for each in path), "", ""]  # fmt: skip
    return {
        "index": index,
        "leaf": leaves[index].hex(),
        "receipt": "\n".join(lines) + _note(len(leaves), tree),
    }
