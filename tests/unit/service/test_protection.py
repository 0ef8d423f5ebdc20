from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from face_engine.types import Embedding
from service.verification.protection import (
    Slot,
    Stored,
    new_data_key,
    protect,
    similarities,
    turn,
    unprotect,
)
from wire.ids import AccountId

MODEL, OTHER_MODEL = b"m" * 16, b"n" * 16
TRANSFORM_KEY = b"t" * 32
SHARE = b"h" * 32


def embedding(seed: int, *, size: int = 128, model_id: bytes = MODEL) -> Embedding:
    vector = np.random.default_rng(seed).normal(size=size)
    return Embedding(vector=(vector / np.linalg.norm(vector)).astype(np.float32), model_id=model_id)


@pytest.fixture
def slot() -> Slot:
    return Slot(account=AccountId.new(), model_id=MODEL, version=1)


def similarity(stored: bytes, probe: Embedding, slot: Slot, *, data_key: bytes,
               holder_share: bytes | None, transform_key: bytes) -> float | None:  # fmt: skip
    """The second of three, whose others are of other people."""
    wanted, other = (
        Stored(slot=each, ciphertext=stored, data_key=data_key, holder_share=holder_share)
        for each in (slot, replace(slot, account=AccountId.new()))
    )
    first, found, last = similarities([other, wanted, other], probe, transform_key=transform_key)
    assert (first, last) == (None, None)
    return found


@pytest.mark.parametrize("size", [16, 128, 512])
@pytest.mark.parametrize("share", [None, SHARE])
def test_a_stored_reference_compares_as_the_embedding_did(
    slot: Slot, size: int, share: bytes | None
) -> None:
    reference, probe, key = embedding(1, size=size), embedding(2, size=size), new_data_key()
    stored = protect(reference, slot, data_key=key, holder_share=share, transform_key=TRANSFORM_KEY)
    found = similarity(
        stored, probe, slot, data_key=key, holder_share=share, transform_key=TRANSFORM_KEY
    )
    assert found == pytest.approx(float(reference.vector @ probe.vector), abs=1e-5)


def test_a_reference_opens_only_with_all_that_it_was_bound_to(slot: Slot) -> None:
    key = new_data_key()
    bound = {"data_key": key, "holder_share": SHARE, "transform_key": TRANSFORM_KEY}
    stored = protect(embedding(1), slot, **bound)
    probe = embedding(1)
    assert similarity(stored, probe, slot, **bound) == pytest.approx(1.0, abs=1e-5)
    refused = {
        "another account": similarity(
            stored, probe, replace(slot, account=AccountId.new()), **bound
        ),
        "another version": similarity(stored, probe, replace(slot, version=2), **bound),
        "another data key": similarity(stored, probe, slot, **bound | {"data_key": bytes(32)}),
        "another share": similarity(stored, probe, slot, **bound | {"holder_share": bytes(32)}),
        "no share": similarity(stored, probe, slot, **bound | {"holder_share": None}),
        "another model's probe": similarity(
            stored, embedding(1, model_id=OTHER_MODEL), slot, **bound
        ),
        "another size of probe": similarity(stored, embedding(1, size=64), slot, **bound),
        "a changed byte": similarity(stored[:-1] + bytes([stored[-1] ^ 1]), probe, slot, **bound),
        "nothing": similarity(b"", probe, slot, **bound),
    }
    assert refused == dict.fromkeys(refused)


def test_the_transform_keeps_lengths_and_differs_per_account_and_version(slot: Slot) -> None:
    vector = embedding(3).vector
    turned = turn(vector, slot, TRANSFORM_KEY)
    others = [
        turn(vector, replace(slot, version=2), TRANSFORM_KEY),
        turn(vector, replace(slot, account=AccountId.new()), TRANSFORM_KEY),
        turn(vector, slot, b"u" * 32),
        vector,
    ]
    assert np.linalg.norm(turned) == pytest.approx(1.0, abs=1e-5)
    assert max(abs(float(turned @ other)) for other in others) < 0.5


def test_two_stored_references_of_one_face_share_no_bytes(slot: Slot) -> None:
    bound = {"data_key": new_data_key(), "holder_share": None, "transform_key": TRANSFORM_KEY}
    first, second = (protect(embedding(1), slot, **bound) for _ in range(2))
    assert first[:12] != second[:12]
    assert first[12:] != second[12:]


def test_an_embedding_of_odd_size_is_misuse(slot: Slot) -> None:
    with pytest.raises(ValueError, match="power of two"):
        turn(embedding(1, size=100).vector, slot, TRANSFORM_KEY)


@pytest.mark.parametrize("share", [None, SHARE])
def test_a_reference_opens_to_what_it_was(slot: Slot, share: bytes | None) -> None:
    reference, key = embedding(1), new_data_key()
    bound = {"data_key": key, "holder_share": share, "transform_key": TRANSFORM_KEY}
    stored = protect(reference, slot, **bound)
    opened = unprotect(stored, slot, **bound)
    assert opened == pytest.approx(reference.vector, abs=1e-6)
    assert unprotect(stored, slot, **bound | {"data_key": bytes(32)}) is None
    other = unprotect(stored, slot, **bound | {"transform_key": bytes(32)})
    assert abs(float(other @ reference.vector)) < 0.5
