"""The writer's tree against the auditor's, and against the definition in RFC 6962."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audit.merkle import (
    consistency_path,
    fold,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
)
from service.audit.notes import sign_checkpoint, verifier_key
from service.audit.verify import AuditError, VerifierKey, verify_log, verify_receipt
from service.keys import KeyRing

SIGNER = KeyRing.ephemeral().log
KEY = VerifierKey.parse(verifier_key(SIGNER))
LEAVES = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=70, unique=True)

# Certificate Transparency's reference leaves and the roots of their prefixes.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
             "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


class Nodes:
    def __init__(self, leaves: list[bytes]) -> None:
        self.levels = [[leaf_hash(leaf) for leaf in leaves]]
        while len(below := self.levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self.levels.append([node_hash(left, right) for left, right in pairs])

    def __call__(self, level: int, index: int) -> bytes:
        return self.levels[level][index]


def receipt(leaves: list[bytes], index: int) -> bytes:
    nodes, size = Nodes(leaves), len(leaves)
    path = inclusion_path(index, size, nodes)
    note = sign_checkpoint(size, root_of(size, nodes), SIGNER).note
    lines = ["c2sp.org/tlog-proof@v1", f"extra {b64encode(leaves[index]).decode()}",
             f"index {index}", *(b64encode(each).decode() for each in path), ""]  # fmt: skip
    return "\n".join(lines).encode() + b"\n" + note


def notes(leaves: list[bytes], sizes: set[int]) -> list[bytes]:
    nodes = Nodes(leaves)
    return [sign_checkpoint(n, root_of(n, nodes), SIGNER).note for n in sorted(sizes)]


def test_the_known_roots_are_ours() -> None:
    leaves = [bytes.fromhex(leaf) for leaf in CT_LEAVES]
    for size, root in enumerate(CT_ROOTS, start=1):
        assert root_of(size, Nodes(leaves)).hex() == root
    assert fold([]) == sha256(b"").digest()


@given(leaves=LEAVES)
@settings(deadline=None)
def test_every_prefix_has_the_root_that_the_rfc_defines(leaves: list[bytes]) -> None:
    nodes = Nodes(leaves)
    for size in range(1, len(leaves) + 1):
        assert root_of(size, nodes) == defined_root(leaves[:size])


@given(leaves=LEAVES, data=st.data())
@settings(deadline=None)
def test_every_receipt_verifies_and_a_changed_one_does_not(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    good = receipt(leaves, index)
    assert verify_receipt(good, KEY) == (index, leaves[index])
    at = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[at]))
    try:
        found = verify_receipt(bytes(changed), KEY)
    except AuditError:
        return
    assert found == (index, leaves[index])


@given(leaves=LEAVES, data=st.data())
@settings(deadline=None)
def test_consistency_proofs_join_the_two_roots(leaves: list[bytes], data: st.DataObject) -> None:
    old = data.draw(st.integers(1, len(leaves)))
    nodes = Nodes(leaves)
    path = consistency_path(old, len(leaves), nodes)
    assert joined(old, len(leaves), path, root_of(old, nodes)) == (
        root_of(old, nodes),
        root_of(len(leaves), nodes),
    )


def joined(old: int, size: int, path: list[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """RFC 9162 section 2.1.4.2."""
    if old == size:
        return old_root, old_root
    steps = [old_root, *path] if old & (old - 1) == 0 else path
    first = second = steps[0]
    low, last = old - 1, size - 1
    while low & 1:
        low, last = low >> 1, last >> 1
    for step in steps[1:]:
        if low & 1 or low == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while low and not low & 1:
                low, last = low >> 1, last >> 1
        else:
            second = node_hash(second, step)
        low, last = low >> 1, last >> 1
    return first, second


@given(leaves=LEAVES, data=st.data())
@settings(deadline=None)
def test_an_honest_log_verifies_and_no_change_to_it_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    sizes = data.draw(st.sets(st.integers(1, len(leaves)), max_size=4)) | {len(leaves)}
    signed, rows = notes(leaves, sizes), list(enumerate(leaves))
    decided = [leaf_hash(leaf) for leaf in leaves]
    assert verify_log(rows, signed, KEY, decided=decided).size == len(leaves)
    at = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(st.integers(0, len(leaves) - 1))
    swapped = list(leaves)
    swapped[at], swapped[other] = swapped[other], swapped[at]
    attacks = {
        "changed": ([*rows[:at], (at, leaves[at] + b"!"), *rows[at + 1 :]], signed),
        "deleted": (rows[:at] + rows[at + 1 :], signed),
        "deleted and renumbered": (list(enumerate(leaves[:at] + leaves[at + 1 :])), signed),
        "added": ([*rows, (len(rows), b"!")], signed),
        "cut off with its checkpoint": (rows[:-1], [n for n in signed if n != signed[-1]]),
        "checkpoint forged": (rows, [*signed[:-1], signed[-1].replace(b"\n", b"\n1", 1)]),
    }
    if at != other:
        attacks["swapped"] = (list(enumerate(swapped)), signed)
    for entries, checkpoints in attacks.values():
        with pytest.raises(AuditError):
            verify_log(entries, checkpoints, KEY, decided=decided, kept=signed[-1])


@given(raw=st.binary(max_size=200))
def test_bytes_that_are_no_receipt_are_refused_by_name(raw: bytes) -> None:
    for hostile in (raw, b"c2sp.org/tlog-proof@v1\n" + raw):
        with pytest.raises(AuditError):
            verify_receipt(hostile, KEY)


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+AAAA", "a+b+c+d", "log+zz+!"])
def test_a_wrong_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(AuditError):
        VerifierKey.parse(text)


def test_a_checkpoint_of_another_key_is_refused() -> None:
    other = VerifierKey.parse(verifier_key(KeyRing.ephemeral().log))
    with pytest.raises(AuditError):
        verify_receipt(receipt([b"leaf"], 0), other)
