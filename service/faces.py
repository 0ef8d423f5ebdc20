"""Faces as they are sent, stored and compared: 1:1, and by the same work whoever was claimed.

Guarantees: only embeddings of accepted models are read. Every comparison of an attempt is
``REFERENCES_MAX`` comparisons for each model that the terminal sent: where the account has fewer
references, or none, or does not exist, decoys make up for them, so the work tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np

from access.lockout import Tallies
from face_engine.calibration import Calibration
from face_engine.match import compare, matches
from face_engine.types import Embedding
from service.enrolment.accounts import Account, StoredReference
from service.keys import KeyRing
from service.stages import Claimed, Face
from service.verification.policy import Policy, Tier
from service.verification.protection import Slot, Stored, new_data_key, protect, similarities
from wire.denial import Denial
from wire.ids import AccountId
from wire.messages import REFERENCES_MAX, Probe

DECOY = AccountId(sha256(b"decoy").digest()[:16])


def accepted(calibrations: Mapping[bytes, Calibration], policy: Policy) -> list[Calibration]:
    """The calibrations of the policy's packs, best first."""
    by_pack = {each.pack: each for each in calibrations.values()}
    return [by_pack[pack] for pack in policy.packs if pack in by_pack]


def read_faces(
    model_id: bytes, probe: Probe, calibrations: Sequence[Calibration]
) -> tuple[Face, ...]:
    """The face by each model that it was sent in, in the order of ``calibrations``.

    Raises :class:`ValueError` for what is no embedding of one of them.
    """
    sent = {model_id: probe.embeddings}
    if probe.successor is not None:
        if probe.successor.model_id == model_id:
            raise ValueError("a model that succeeds itself")
        sent[probe.successor.model_id] = (probe.successor.embedding,)
    if not sent.keys() <= {each.model_id for each in calibrations}:
        raise ValueError("a model that is not accepted")
    return tuple(
        Face(each, tuple(_embedding(numbers, each) for numbers in sent[each.model_id]))
        for each in calibrations
        if each.model_id in sent
    )


def _embedding(numbers: bytes, calibration: Calibration) -> Embedding:
    vector = np.frombuffer(numbers, "<f4").astype(np.float32)
    if vector.size != calibration.dimensions:
        raise ValueError("another number of dimensions")
    return Embedding(vector=vector, model_id=calibration.model_id)


def agree(face: Face, tier: Tier) -> bool:
    """Whether an enrolment's embeddings are of one person."""
    threshold, first = face.calibration.threshold_for(tier.fmr), face.embeddings[0]
    return all(compare(first, other) >= threshold for other in face.embeddings[1:])


def comparable(account: Account, faces: Sequence[Face]) -> Face | None:
    """The best model's face that the account has a reference of."""
    return next((face for face in faces if _references(account, face.model_id)), None)


def _references(account: Account, model_id: bytes) -> list[StoredReference]:
    return [each for each in account.references if each.slot.model_id == model_id]


def protect_face(
    account: AccountId, face: Face, probe: Probe, data_key: bytes, keys: KeyRing
) -> list[StoredReference]:
    """The face's embeddings as they are stored."""
    slots = [
        Slot(account=account, model_id=face.model_id, version=version)
        for version in range(1, len(face.embeddings) + 1)
    ]
    return [
        StoredReference(
            slot=slot,
            ciphertext=protect(
                embedding,
                slot,
                data_key=data_key,
                holder_share=probe.holder_share,
                transform_key=keys.transforms,
            ),
        )
        for slot, embedding in zip(slots, face.embeddings, strict=True)
    ]


class Comparer:
    """Compares claimed faces; keeps a decoy reference of each model, which nobody matches."""

    def __init__(self, keys: KeyRing, calibrations: Mapping[bytes, Calibration]) -> None:
        self._keys = keys
        self._data_key = new_data_key()
        self._decoys = {
            model_id: self._decoy(calibration) for model_id, calibration in calibrations.items()
        }
        self.decoy = Account(
            account=DECOY,
            state="active",
            consent_version="",
            wrapped_key=keys.wrap(self._data_key, DECOY),
            pin_hash=None,
            duress_hash=None,
            tallies=Tallies(),
            references=(),
        )

    def compare(self, claimed: Claimed) -> Denial | None:
        """Whether the claimed account's reference is of this face."""
        opened, account = claimed.live.opened, claimed.account
        data_key = account.wrapped_key and self._keys.unwrap(account.wrapped_key, account.account)
        scores = {
            face.model_id: self._compare(face, account, data_key, opened.probe.holder_share)
            for face in opened.faces
        }[claimed.face.model_id]
        if not scores:
            return Denial.REFERENCE_UNREADABLE
        calibration, tier = claimed.face.calibration, opened.tier
        return None if matches(scores, calibration.threshold_for(tier.fmr)) else Denial.NO_MATCH

    def _compare(
        self, face: Face, account: Account, data_key: bytes | None, holder_share: bytes | None
    ) -> list[float]:
        """The cosines with the references that open; always ``REFERENCES_MAX`` comparisons."""
        references = _references(account, face.model_id)[:REFERENCES_MAX]
        stored = [_stored(each, data_key or bytes(32), holder_share) for each in references]
        decoy = _stored(self._decoys[face.model_id], self._data_key, None)
        stored += [decoy] * (REFERENCES_MAX - len(references))
        found = similarities(stored, face.embeddings[0], transform_key=self._keys.transforms)
        return [score for score in found[: len(references)] if score is not None]

    def _decoy(self, calibration: Calibration) -> StoredReference:
        numbers = np.random.default_rng().normal(size=calibration.dimensions)
        vector = (numbers / np.linalg.norm(numbers)).astype(np.float32)
        slot = Slot(account=DECOY, model_id=calibration.model_id, version=1)
        ciphertext = protect(
            Embedding(vector=vector, model_id=calibration.model_id),
            slot,
            data_key=self._data_key,
            holder_share=None,
            transform_key=self._keys.transforms,
        )
        return StoredReference(slot=slot, ciphertext=ciphertext)


def _stored(reference: StoredReference, data_key: bytes, holder_share: bytes | None) -> Stored:
    return Stored(
        slot=reference.slot,
        ciphertext=reference.ciphertext,
        data_key=data_key,
        holder_share=holder_share,
    )
