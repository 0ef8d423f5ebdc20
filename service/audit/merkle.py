"""Merkle trees as in RFC 6962 section 2.1. Integers and bytes only.

Guarantees: leaves and nodes are hashed under different prefixes, so neither passes for the
other. A proof is checked by :mod:`service.audit.verify`, which shares no code with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def subtrees(size: int) -> list[tuple[int, int]]:
    """The perfect subtrees that a tree of ``size`` leaves consists of, left to right.

    Each is (level, index): it covers the leaves ``index << level`` to ``(index + 1) << level``.
    """
    found = []
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees' hashes, given left to right."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


NodeReader = Callable[[int, int], bytes]


def root_of(size: int, node: NodeReader) -> bytes:
    """The root of the first ``size`` leaves; ``node(level, index)`` reads a perfect subtree."""
    return fold([node(level, index) for level, index in subtrees(size)])


def inclusion_path(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, nearest first."""
    if not 0 <= index < size:
        raise ValueError("a leaf outside the tree")
    return _path(index, 0, size, node)


def _path(index: int, start: int, end: int, node: NodeReader) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, node), _range_hash(middle, end, node)]
    return [*_path(index, middle, end, node), _range_hash(start, middle, node)]


def consistency_path(old: int, size: int, node: NodeReader) -> list[bytes]:
    """Proves that the tree of ``old`` leaves is a prefix of that of ``size`` (RFC 6962, 2.1.2)."""
    if not 0 < old <= size:
        raise ValueError("an old size outside the tree")
    return [] if old == size else _subproof(old, 0, size, True, node)


def _subproof(old: int, start: int, end: int, whole: bool, node: NodeReader) -> list[bytes]:
    if old == end - start:
        return [] if whole else [_range_hash(start, end, node)]
    split = _split(end - start)
    if old <= split:
        return [
            *_subproof(old, start, start + split, whole, node),
            _range_hash(start + split, end, node),
        ]
    return [
        *_subproof(old - split, start + split, end, False, node),
        _range_hash(start, start + split, node),
    ]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _range_hash(start: int, end: int, node: NodeReader) -> bytes:
    peaks = []
    while start < end:
        level = (end - start).bit_length() - 1
        while start & ((1 << level) - 1):
            level -= 1
        peaks.append(node(level, start >> level))
        start += 1 << level
    return fold(peaks)
