"""Vectors of what the service derives and stores: plans, reasons, hashes, references."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
from argon2.low_level import Type, hash_secret
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from face_engine.types import Embedding, Vector
from service.keys import KeyRing
from service.terminals.registration import code_hash, fingerprint
from service.verification import protection
from service.verification.pin import PinHasher
from service.verification.protection import Slot
from tests.vectors.shared import ACCOUNT, MODEL_ID, SERVICE_KEY, Case, Document, describe, fixed
from wire import blind
from wire.denial import Denial, Reason
from wire.envelope import SEED_BYTES
from wire.messages import Level
from wire.plan import draw_plan

CLOSE = 1e-6
_NAMES = ("signing", "log", "wrapping", "claims", "pins", "transforms")
KEYS = {name: fixed(name, 32) for name in _NAMES} | {"seal": fixed("seal", SEED_BYTES)}
RING = KeyRing.from_raw(KEYS, log_name="countenance.test/log")


def plans() -> Document:
    return {
        "about": "The liveness plan from the challenge's nonce: SHAKE-256, see docs/protocol.md.",
        "cases": [
            {"nonce": nonce.hex(), "level": level.name.lower(),
             "colours": colours, "plan": describe(plan), "digest": plan.digest.hex()}
            for nonce in (bytes(32), b"\xff" * 32, *(fixed(f"nonce {n}", 32) for n in range(6)))
            for level in Level
            for colours in (True, False)
            for plan in (draw_plan(nonce, level, colours=colours),)
        ],
    }  # fmt: skip


def denials() -> Document:
    return {
        "about": "Every denial, in order of precedence, with the reason that a terminal is told.",
        "reasons": [reason.value for reason in Reason],
        "denials": [{"denial": each.value, "reason": each.reason.value} for each in Denial],
    }


def hashes() -> Document:
    claims = ("card:4000001234567899", "phone:+3312345678", "qr:7", "badge:\u00e9")
    code = f"MFRGGZDF-MZTWQ2LK.{fingerprint(SERVICE_KEY.public)}"
    spellings = (code, code.lower(), code.replace("-", ""), "MFRG GZDF MZTW Q2LK")
    return {
        "about": "Keyed hashes under which claims and registration codes are stored, and claims "
        "at a door.",
        "key": KEYS["claims"].hex(),
        "claims": [{"claim": each, "hash": RING.claim_hash(each).hex()} for each in claims],
        "door_claims": [
            {"claim": each, "number": key.hex(), "digest": blind.digest(each, number).hex()}
            for each in claims
            for number in (blind.number(KEYS["claims"], b"door"),)
            for key in (number.to_bytes(32),)
        ],
        "codes": [{"code": each, "hash": code_hash(each, RING.claims).hex()} for each in spellings],
        "fingerprint": {
            "service_key": SERVICE_KEY.public.hex(),
            "text": fingerprint(SERVICE_KEY.public),
        },
    }


def storage(kept: Document | None) -> Document:
    """Floating-point sums may differ in the last place: what is close enough is kept."""
    return {
        "about": "What is stored must stay readable: references, wrapped data keys, PINs.",
        "transform_key": KEYS["transforms"].hex(),
        "wrapping_key": KEYS["wrapping"].hex(),
        "pepper": KEYS["pins"].hex(),
        "references": [
            _reference(dimensions, share, kept, place)
            for place, (dimensions, share) in enumerate(
                ((128, None), (128, fixed("holder share", 32)), (512, None))
            )
        ],
        "data_keys": [_data_key()],
        "pins": [_pin("2468"), _pin("000000000000")],
    }


def _reference(dimensions: int, share: bytes | None, kept: Document | None, place: int) -> Case:
    slot = Slot(account=ACCOUNT, model_id=MODEL_ID, version=place + 1)
    vector, data_key, nonce = unit_vector(dimensions), fixed("data key", 32), fixed("iv", 12)
    turned = protection.turn(vector, slot, KEYS["transforms"])
    if kept:
        old = np.frombuffer(bytes.fromhex(kept["references"][place]["turned"]), "<f4")
        turned = old if old.shape == turned.shape and np.allclose(old, turned, 0, CLOSE) else turned
    numbers = turned.astype("<f4").tobytes()
    cipher = AESGCM(protection._reference_key(data_key, share, slot))
    return {
        "account": str(ACCOUNT),
        "model_id": MODEL_ID.hex(),
        "version": slot.version,
        "data_key": data_key.hex(),
        "holder_share": share.hex() if share else None,
        "embedding": vector.astype("<f4").tobytes().hex(),
        "turned": numbers.hex(),
        "stored": (nonce + cipher.encrypt(nonce, numbers, slot.label)).hex(),
    }


def unit_vector(dimensions: int) -> Vector:
    """Whole numbers, scaled once: the same float32 numbers on every machine."""
    numbers = np.frombuffer(fixed("vector", dimensions), np.int8).astype(np.float64)
    return (numbers / np.sqrt(np.sum(numbers**2))).astype(np.float32)


def embedding(raw: bytes) -> Embedding:
    return Embedding(vector=np.frombuffer(raw, "<f4").astype(np.float32), model_id=MODEL_ID)


def _data_key() -> Case:
    nonce, data_key = fixed("wrap iv", 12), fixed("data key", 32)
    box = AESGCM(KEYS["wrapping"]).encrypt(nonce, data_key, b"data-key" + ACCOUNT.raw)
    return {
        "account": str(ACCOUNT),
        "data_key": data_key.hex(),
        "wrapped": (nonce + box).hex(),
    }


def _pin(pin: str) -> Case:
    secret = PinHasher(KEYS["pins"])._peppered(pin, ACCOUNT)
    stored = hash_secret(secret, fixed("salt", 16), time_cost=2, memory_cost=19 * 1024,
                         parallelism=1, hash_len=32, type=Type.ID)  # fmt: skip
    return {
        "account": str(ACCOUNT),
        "pin": pin,
        "peppered": b64encode(secret).decode(),
        "stored": stored.decode(),
    }
