"""Vectors of what is signed and sealed: COSE_Sign1 and HPKE."""

from __future__ import annotations

from dataclasses import replace

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tests.vectors.encodings import refusal
from tests.vectors.shared import (
    APPROVAL,
    CARD_EVIDENCE,
    EVIDENCE,
    MESSAGES,
    PROBE,
    SERVICE_KEY,
    TERMINAL_KEY,
    Case,
    Document,
    fixed,
    opening_key,
)
from wire import envelope
from wire.codec import Message
from wire.envelope import PADDING_BYTES, SEED_BYTES, OpeningKey, SigningKey
from wire.messages import Decision, Evidence, SealSuite

_BY_TERMINAL = frozenset(
    {"Registration", "ChallengeRequest", "Evidence", "CardEvidence", "Confirmation"}
)
_KEMS = {SealSuite.MLKEM768_X25519: KEM.MLKEM768_X25519, SealSuite.X25519: KEM.X25519}


def cose() -> Document:
    return {
        "about": "COSE_Sign1 with Ed25519; the external AAD is the message's label.",
        "accepted": [_signed(each) for each in MESSAGES if hasattr(each, "LABEL")],
        "refused": [_refused(name, raw) for name, raw in _wrong_envelopes().items()],
    }


def _signed(message: Message) -> Case:
    key = TERMINAL_KEY if type(message).__name__ in _BY_TERMINAL else SERVICE_KEY
    return {
        "message": type(message).__name__,
        "label": message.LABEL,
        "private_key": key.private.private_bytes_raw().hex(),
        "public_key": key.public.hex(),
        "kid": key.kid.hex(),
        "payload": message.encode().hex(),
        "bytes": envelope.sign(message, key).raw.hex(),
    }


def sign_by_hand(payload: bytes, label: str, key: SigningKey, *, protected: object = None,
                 unprotected: object = None, tagged: bool = True) -> bytes:  # fmt: skip
    """RFC 9052 sections 4.2 and 4.4, without the code under test."""
    header = cbor2.dumps({1: -8, 4: key.kid} if protected is None else protected, canonical=True)
    covered = cbor2.dumps(["Signature1", header, label.encode(), payload])
    parts = [header, unprotected or {}, payload, key.private.sign(covered)]
    return (b"\xd2" if tagged else b"") + cbor2.dumps(parts, canonical=True)


def _wrong_envelopes() -> dict[str, bytes]:
    payload, label, key = APPROVAL.encode(), APPROVAL.LABEL, SERVICE_KEY
    good = sign_by_hand(payload, label, key)
    impostor = replace(key, private=TERMINAL_KEY.private)
    return {
        "another message's label": sign_by_hand(payload, Evidence.LABEL, key),
        "no label": sign_by_hand(payload, "", key),
        "another key": sign_by_hand(payload, label, impostor),
        "one bit of the payload changed": _flip(good, len(good) - 70),
        "one bit of the signature changed": _flip(good, len(good) - 1),
        "one bit of the key id changed": _flip(good, 12),
        "no tag": sign_by_hand(payload, label, key, tagged=False),
        "bytes after the end": good + b"\x00",
        "signature cut off": good[:-1],
        "another algorithm": sign_by_hand(payload, label, key, protected={1: -7, 4: key.kid}),
        "no key id": sign_by_hand(payload, label, key, protected={1: -8}),
        "an empty key id": sign_by_hand(payload, label, key, protected={1: -8, 4: b""}),
        "a key id of 33 bytes": sign_by_hand(payload, label, key, protected={1: -8, 4: bytes(33)}),
        "one more protected header": sign_by_hand(
            payload, label, key, protected={1: -8, 3: 0, 4: key.kid}
        ),
        "an unprotected header": sign_by_hand(payload, label, key, unprotected={4: key.kid}),
        "another message": sign_by_hand(EVIDENCE.encode(), label, key),
    }


def _refused(name: str, raw: bytes) -> Case:
    public = SERVICE_KEY.public
    shown = {"name": name, "message": "Decision", "public_key": public.hex(), "bytes": raw.hex()}
    return shown | refusal(lambda: envelope.verify(envelope.parse(raw, Decision), public))


def _flip(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def hpke(kept: Document | None) -> Document:
    """HPKE draws a fresh key each time: what ``kept`` holds is kept for as long as it opens."""
    return {
        "about": "Probes sealed by HPKE, base mode: info, seed of the opening key, sealed bytes.",
        "seed": fixed("seal", SEED_BYTES).hex(),
        "suites": [_suite(suite, kept) for suite in SealSuite],
        "card": {"evidence": CARD_EVIDENCE.encode().hex(), "info": CARD_EVIDENCE.binding.hex()},
    }


def _suite(suite: SealSuite, kept: Document | None) -> Case:
    key = opening_key(suite)
    clear = replace(EVIDENCE, seal_key_digest=key.public.digest)
    info, probe = clear.binding, PROBE.encode()
    framed = len(probe).to_bytes(4, "big") + probe
    padded = framed + bytes(-len(framed) % PADDING_BYTES)
    wrong = {
        "no padding": framed,
        "padding that is not zero": padded[:-1] + b"\x01",
        "a block of padding too many": padded + bytes(PADDING_BYTES),
        "a length beyond the end": b"\x00\x01\x00\x00" + padded[4:],
        "a length with a bit more": b"\x80" + padded[1:],
        "nothing": b"",
    }
    old = _kept_boxes(suite, kept)
    good = _seal(key, padded, info, old.get("good"))
    boxes = {name: _seal(key, text, info, old.get(name)) for name, text in wrong.items()}
    changed = {
        "first byte of the encapsulation changed": _flip(good, 0),
        "last byte of the tag changed": _flip(good, len(good) - 1),
        "a byte of the ciphertext changed": _flip(good, len(good) // 2 + 600),
        "cut off": good[:-1],
        "empty": b"",
    }
    return {
        "suite": suite.name,
        "code": int(suite),
        "public_key": key.public.raw.hex(),
        "seal_key_digest": key.public.digest.hex(),
        "evidence": clear.encode().hex(),
        "info": info.hex(),
        "plaintext": probe.hex(),
        "padded_bytes": len(padded),
        "sealed": good.hex(),
        "refused": [
            _refused_box(key, "another info", good, info + b"\x00"),
            _refused_box(key, "no info", good, b""),
            *(_refused_box(key, name, box, info) for name, box in (changed | boxes).items()),
        ],
    }


def _kept_boxes(suite: SealSuite, kept: Document | None) -> dict[str, bytes]:
    for old in kept["suites"] if kept else ():
        if old["suite"] == suite.name:
            named = {case["name"]: bytes.fromhex(case["sealed"]) for case in old["refused"]}
            return named | {"good": bytes.fromhex(old["sealed"])}
    return {}


def _seal(key: OpeningKey, padded: bytes, info: bytes, kept: bytes | None) -> bytes:
    suite = Suite(_KEMS[key.suite], KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    try:
        if kept and suite.decrypt(kept, key.private, info=info) == padded:
            return kept
    except InvalidTag:
        pass
    return bytes(suite.encrypt(padded, key.private.public_key(), info=info))


def _refused_box(key: OpeningKey, name: str, sealed: bytes, info: bytes) -> Case:
    shown = {"name": name, "info": info.hex(), "sealed": sealed.hex()}
    return shown | refusal(lambda: key.unseal(sealed, info))
