"""The vectors are what the generator writes, hold something, and are what the code does.

Where a few lines suffice, the right answer is computed here from the standard, not by the code
that made the vector: another implementation has nothing else either.
"""

from __future__ import annotations

import hmac
import itertools
from hashlib import sha3_256, sha256, shake_256
from typing import Any

import cbor2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.audit import leaf as leaves
from service.audit.verify import VerifierKey, read_checkpoint, verify_receipt
from service.verification.pin import PinHasher
from service.verification.protection import Slot, Stored, similarities
from tests.vectors import generate
from tests.vectors.envelopes import sign_by_hand
from tests.vectors.rules import KEYS, RING, embedding
from tests.vectors.shared import MESSAGES, describe
from wire import blind, bundle, codec, envelope, errors, ids, messages
from wire.denial import Denial
from wire.envelope import OpeningKey, SigningKey
from wire.ids import AccountId
from wire.messages import Evidence, Probe, SealSuite
from wire.money import Money

Case = dict[str, Any]
KINDS = {**vars(messages), **vars(bundle)}


@pytest.mark.parametrize("name", generate.BUILDERS)
def test_the_file_is_what_the_generator_writes(name: str) -> None:
    assert generate.path_of(name).read_text() == generate.build(name)


def test_every_file_has_a_generator_and_none_is_empty() -> None:
    assert {path.stem for path in generate.FOLDER.glob("*.json")} == set(generate.BUILDERS)
    for name in generate.BUILDERS:
        lists = [value for value in generate.read(name).values() if isinstance(value, list)]
        assert lists, name
        assert all(lists), name


def cases(name: str, part: str) -> list[Any]:
    return [
        pytest.param(case, id=str(case.get("name") or case.get("message") or place))
        for place, case in enumerate(generate.read(name)[part])
    ]


@pytest.mark.parametrize("case", cases("cbor", "accepted"))
def test_accepted_cbor_has_one_encoding(case: Case) -> None:
    raw = bytes.fromhex(case["bytes"])
    assert codec.decode(raw) == cbor2.loads(raw)
    assert codec.encode(codec.decode(raw)) == raw


@pytest.mark.parametrize("case", cases("cbor", "refused"))
def test_refused_cbor_is_refused_by_its_rule(case: Case) -> None:
    with pytest.raises(getattr(errors, case["error"])) as found:
        codec.decode(bytes.fromhex(case["bytes"]))
    assert str(found.value) == case["rule"]


@pytest.mark.parametrize("case", cases("messages", "accepted"))
def test_a_message_is_read_as_its_fields(case: Case) -> None:
    raw = bytes.fromhex(case["bytes"])
    message = KINDS[case["message"]].decode(raw)
    assert describe(message) == case["fields"]
    assert message.encode() == raw


@pytest.mark.parametrize("case", cases("messages", "refused"))
def test_a_wrong_message_is_refused_by_its_rule(case: Case) -> None:
    with pytest.raises(getattr(errors, case["error"])) as found:
        KINDS[case["message"]].decode(bytes.fromhex(case["bytes"]))
    assert str(found.value) == case["rule"]


def test_every_message_has_a_vector() -> None:
    kinds = {
        name
        for name, kind in KINDS.items()
        if isinstance(kind, type) and issubclass(kind, codec.Message) and kind is not codec.Message
    }
    assert {type(message).__name__ for message in MESSAGES} == kinds


@pytest.mark.parametrize("case", cases("cose", "accepted"))
def test_a_signature_is_as_the_rfc_computes_it(case: Case) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["private_key"]))
    key = SigningKey(private, bytes.fromhex(case["kid"]))
    payload, raw = bytes.fromhex(case["payload"]), bytes.fromhex(case["bytes"])
    assert sign_by_hand(payload, case["label"], key) == raw
    kind = KINDS[case["message"]]
    signed = envelope.verify(envelope.parse(raw, kind), bytes.fromhex(case["public_key"]))
    assert signed.message == kind.decode(payload)
    assert signed.kid == key.kid


@pytest.mark.parametrize("case", cases("cose", "refused"))
def test_a_wrong_signature_is_refused(case: Case) -> None:
    kind, public = KINDS[case["message"]], bytes.fromhex(case["public_key"])
    with pytest.raises(getattr(errors, case["error"])):
        envelope.verify(envelope.parse(bytes.fromhex(case["bytes"]), kind), public)


PRIME, B = (
    2**256 - 2**224 + 2**192 + 2**96 - 1,
    int("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16),
)
Point = tuple[int, int] | None


def plus(one: Point, other: Point) -> Point:
    """FIPS 186-5, P-256, affine."""
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % PRIME == 0:
        return None
    slope = (
        (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, PRIME)
        if one == other
        else (other[1] - one[1]) * pow(other[0] - one[0], -1, PRIME)
    )
    x = (slope**2 - one[0] - other[0]) % PRIME
    return x, (slope * (one[0] - x) - one[1]) % PRIME


@pytest.mark.parametrize("case", generate.read("hashes")["door_claims"])
def test_a_claims_digest_at_a_door_is_as_the_document_says(case: Case) -> None:
    for trial in range(1000):
        seed = b"countenance/v1/claim-point" + trial.to_bytes(2) + case["claim"].encode()
        x = int.from_bytes(sha256(seed).digest())
        square = (x**3 - 3 * x + B) % PRIME
        y = pow(square, (PRIME + 1) // 4, PRIME)
        if x < PRIME and y * y % PRIME == square:
            break
    found, doubled = None, (x, y)
    for bit in reversed(f"{int(case['number'], 16):b}"):
        found = plus(found, doubled) if bit == "1" else found
        doubled = plus(doubled, doubled)
    assert found is not None
    assert f"{found[0]:064x}" == case["digest"]
    assert blind.digest(case["claim"], int(case["number"], 16)).hex() == case["digest"]


def opening(case: Case) -> OpeningKey:
    seed = bytes.fromhex(generate.read("hpke")["seed"])
    return OpeningKey.from_seed(SealSuite(case["code"]), seed)


@pytest.mark.parametrize("case", generate.read("hpke")["suites"], ids=lambda case: case["suite"])
def test_a_sealed_probe_opens_for_its_evidence_only(case: Case) -> None:
    key, clear = opening(case), cbor2.loads(bytes.fromhex(case["evidence"]))
    public = bytes.fromhex(case["public_key"])
    assert key.public.raw == public
    assert sha256(bytes([case["code"]]) + public).hexdigest() == case["seal_key_digest"]
    del clear[12]
    digest = sha256(cbor2.dumps(clear, canonical=True)).digest()
    assert (b"countenance/v1/probe" + digest).hex() == case["info"]
    assert Evidence.decode(bytes.fromhex(case["evidence"])).binding.hex() == case["info"]
    opened = key.unseal(bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"]))
    assert opened.hex() == case["plaintext"]
    assert Probe.decode(opened).encode() == opened
    for wrong in case["refused"]:
        with pytest.raises(errors.SealError):
            key.unseal(bytes.fromhex(wrong["sealed"]), bytes.fromhex(wrong["info"]))


def test_a_card_is_bound_by_a_label_of_its_own() -> None:
    case = generate.read("hpke")["card"]
    clear = cbor2.loads(bytes.fromhex(case["evidence"]))
    del clear[9]
    digest = sha256(cbor2.dumps(clear, canonical=True)).digest()
    assert (b"countenance/v1/card-probe" + digest).hex() == case["info"]


@pytest.mark.parametrize("case", generate.read("hpke")["suites"], ids=lambda case: case["suite"])
def test_a_sealed_probe_opens_as_the_standards_say(case: Case) -> None:
    seed, sealed = bytes.fromhex(generate.read("hpke")["seed"]), bytes.fromhex(case["sealed"])
    x25519 = X25519PrivateKey.from_private_bytes(seed[64:])
    public = x25519.public_key().public_bytes_raw()
    if case["code"] == SealSuite.X25519:
        enc, box, kem = sealed[:32], sealed[32:], 0x0020
        suite = b"KEM" + kem.to_bytes(2, "big")
        shared = x25519.exchange(X25519PublicKey.from_public_bytes(enc))
        prk = labeled_extract(suite, b"", b"eae_prk", shared)
        secret = labeled_expand(suite, prk, b"shared_secret", enc + public, 32)
    else:
        enc, box, kem = sealed[:1120], sealed[1120:], 0x647A
        first = MLKEM768PrivateKey.from_seed_bytes(seed[:64]).decapsulate(enc[:1088])
        second = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        secret = sha3_256(first + second + enc[1088:] + public + b"\\.//^\\").digest()
    key, nonce = key_schedule(kem, secret, bytes.fromhex(case["info"]))
    padded = AESGCM(key).decrypt(nonce, box, b"")
    probe = bytes.fromhex(case["plaintext"])
    assert padded == (len(probe).to_bytes(4, "big") + probe).ljust(case["padded_bytes"], b"\0")


def key_schedule(kem: int, secret: bytes, info: bytes) -> tuple[bytes, bytes]:
    """RFC 9180 section 5.1, base mode, HKDF-SHA256 (1), AES-256-GCM (2)."""
    suite = b"HPKE" + kem.to_bytes(2, "big") + b"\0\1" + b"\0\2"
    context = b"\0" + b"".join(
        labeled_extract(suite, b"", label, value)
        for label, value in ((b"psk_id_hash", b""), (b"info_hash", info))
    )
    prk = labeled_extract(suite, secret, b"secret", b"")
    key, nonce = (
        labeled_expand(suite, prk, label, context, size)
        for label, size in ((b"key", 32), (b"base_nonce", 12))
    )
    return key, nonce


def labeled_extract(suite: bytes, salt: bytes, label: bytes, value: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + value, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    """One block of HKDF-Expand is enough here."""
    labeled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\1", "sha256")[:size]


def test_ids_have_one_text() -> None:
    found = generate.read("ids")
    for case in found["accepted"]:
        kind = getattr(ids, case["kind"])
        assert kind.parse(case["text"]).raw.hex() == case["bytes"]
        assert str(kind(bytes.fromhex(case["bytes"]))) == case["text"]
    for case in found["refused"]:
        with pytest.raises(errors.MalformedError):
            getattr(ids, case["kind"]).parse(case["text"])


def test_every_kind_of_id_has_a_vector() -> None:
    every = ids.Id.__subclasses__()
    kinds = {kind.__name__ for kind in every if kind.__module__ == ids.__name__}
    assert {case["kind"] for case in generate.read("ids")["accepted"]} == kinds


def test_amounts_are_read_and_written() -> None:
    found = generate.read("money")
    for case in found["accepted"]:
        money = Money(amount_minor=case["amount_minor"], currency=case["currency"])
        assert Money.parse(case["text"]) == Money.parse(case["written"]) == money
    for case in found["refused"]:
        with pytest.raises(errors.MalformedError):
            Money.parse(case["text"])


# Moves and colours, as docs/protocol.md counts them.
PLAN_LENGTHS = {"none": (0, 0), "passive": (1, 0), "standard": (2, 8), "strict": (3, 10)}


@pytest.mark.parametrize("case", generate.read("plans")["cases"])
def test_a_plan_is_as_the_protocol_document_derives_it(case: Case) -> None:
    moves, colours = PLAN_LENGTHS[case["level"]]
    if colours and not case["colours"]:
        moves, colours = moves + 1, 0
    seed = b"countenance/v1/plan" + bytes.fromhex(case["nonce"])
    stream = shake_256(seed).digest(4 * (1 + moves + colours))
    first, *words = (int(word) for word in np.frombuffer(stream, ">u4"))
    orders = [
        order
        for order in itertools.product(("left", "right", "up", "down", "closer"), repeat=moves)
        if all(one != two for one, two in itertools.pairwise(order))
        and (not moves or "left" in order or "right" in order)
    ]
    steps = [
        {"move": move, "hold_ms": 300 + word % 500}
        for move, word in zip(orders[first % len(orders)], words, strict=False)
    ]
    shown: list[str] = []
    for word in words[moves:]:
        every = ("black", "white", "green", "blue", "rose")
        choices = [one for one in every if one not in shown[-1:]]
        shown.append(choices[word % len(choices)])
    assert case["plan"] == {"steps": steps, "colours": shown}


def test_denials_stand_in_order_of_precedence() -> None:
    found = generate.read("denials")["denials"]
    assert [case["denial"] for case in found] == [denial.value for denial in Denial]


def test_what_was_stored_is_still_readable() -> None:
    found = generate.read("storage")
    for case in found["references"]:
        account = AccountId.parse(case["account"])
        slot = Slot(
            account=account, model_id=bytes.fromhex(case["model_id"]), version=case["version"]
        )
        stored = Stored(
            slot=slot,
            ciphertext=bytes.fromhex(case["stored"]),
            data_key=bytes.fromhex(case["data_key"]),
            holder_share=bytes.fromhex(case["holder_share"] or "") or None,
        )
        probe = embedding(bytes.fromhex(case["embedding"]))
        (cosine,) = similarities([stored], probe, transform_key=KEYS["transforms"])
        assert cosine == pytest.approx(1, abs=1e-5)
    for case in found["data_keys"]:
        account = AccountId.parse(case["account"])
        opened = RING.unwrap(bytes.fromhex(case["wrapped"]), account)
        assert opened == bytes.fromhex(case["data_key"])
        assert RING.unwrap(bytes.fromhex(case["wrapped"]), AccountId(bytes(16))) is None
    hasher = PinHasher(KEYS["pins"])
    for case in found["pins"]:
        assert hasher.verify(case["stored"], case["pin"], AccountId.parse(case["account"]))
        assert not hasher.verify(case["stored"], case["pin"], AccountId(bytes(16)))


# The leaves' reference implementation: github.com/google/certificate-transparency.
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def test_trees_have_the_published_roots_and_every_path_leads_to_them() -> None:
    found = generate.read("merkle")
    roots = {case["size"]: case["root"] for case in found["roots"]}
    assert roots.items() >= CT_ROOTS.items()
    hashed = [sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in found["leaves"]]
    for case in found["inclusion"]:
        path = [bytes.fromhex(each) for each in case["path"]]
        root = climb(hashed[case["index"]], case["index"], case["size"], path)
        assert root.hex() == roots[case["size"]]
    assert len(found["consistency"]) == len(found["inclusion"]) == 36


def climb(digest: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 6962 section 2.1.1, from the top down: the last of the path is the other half."""
    if size == 1:
        assert not path
        return digest
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return sha256(b"\x01" + climb(digest, index, half, path[:-1]) + path[-1]).digest()
    below = climb(digest, index - half, size - half, path[:-1])
    return sha256(b"\x01" + path[-1] + below).digest()


def test_checkpoints_and_receipts_verify_with_the_verifier_key_alone() -> None:
    found = generate.read("log")
    key = VerifierKey.parse(found["verifier_key"])
    for case in found["checkpoints"]:
        tree = read_checkpoint(case["note"].encode(), key)
        assert (tree.size, tree.root.hex()) == (case["size"], case["root"])
    for case in found["receipts"]:
        index, leaf = verify_receipt(case["receipt"].encode(), key)
        assert (index, leaf.hex()) == (case["index"], case["leaf"])
    for case in found["leaves"]:
        raw = bytes.fromhex(case["bytes"])
        assert describe(getattr(leaves, case["leaf"]).decode(raw)) == case["fields"]
