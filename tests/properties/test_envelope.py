from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import codec
from wire.envelope import SEED_BYTES, OpeningKey, SigningKey, parse, sign, verify
from wire.errors import SealError, SignatureError, WireError
from wire.ids import AttemptId, ChallengeId, MerchantId, TerminalId
from wire.messages import (
    Challenge,
    Evidence,
    Level,
    LivenessOutcome,
    LivenessReport,
    PaymentContext,
    Probe,
    SealSuite,
    Source,
)

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(b"k" * 32), b"terminal")
OTHER = SigningKey(Ed25519PrivateKey.from_private_bytes(b"o" * 32), b"terminal")
OPENING = {suite: OpeningKey.from_seed(suite, b"s" * SEED_BYTES) for suite in SealSuite}
PROBE = Probe(claim="card:4000", embeddings=(b"e" * 512,), pin="2468", holder_share=None)


def evidence(amount_minor: int = 1250, suite: SealSuite = SealSuite.MLKEM768_X25519) -> Evidence:
    seal_key = OPENING[suite].public
    clear = Evidence(
        challenge=ChallengeId(b"c" * 16),
        nonce=b"n" * 32,
        attempt=AttemptId(b"a" * 16),
        terminal=TerminalId(b"t" * 16),
        counter=7,
        context=PaymentContext(
            amount_minor=amount_minor, currency="EUR", payee=MerchantId(b"m" * 16), order="A-1"
        ),
        model_id=b"i" * 16,
        source=Source.CAMERA,
        captured_at_ms=1,
        liveness=LivenessReport(
            level=Level.NONE,
            outcome=LivenessOutcome.LIVE,
            plan_digest=bytes(32),
            transcript_digest=bytes(32),
            frames=1,
            cues=(),
            steps=(),
            camera=bytes(32),
        ),
        seal_key_digest=seal_key.digest,
        sealed=b"-",
    )
    return replace(clear, sealed=seal_key.seal(PROBE.encode(), clear.binding))


SIGNED = sign(evidence(), KEY)


@pytest.mark.parametrize("suite", SealSuite)
def test_what_was_signed_and_sealed_is_what_arrives(suite: SealSuite) -> None:
    sent = sign(evidence(suite=suite), KEY)
    arrived = verify(parse(sent.raw, Evidence), KEY.public)
    assert arrived.message == sent.message
    assert arrived.raw == sent.raw
    opened = OPENING[suite].unseal(arrived.message.sealed, arrived.message.binding)
    assert Probe.decode(opened) == PROBE


@given(bit=st.integers(0, 8 * len(SIGNED.raw) - 1))
@settings(max_examples=400, deadline=None)
def test_one_changed_bit_voids_the_evidence(bit: int) -> None:
    changed = bytearray(SIGNED.raw)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        verify(parse(bytes(changed), Evidence), KEY.public)


def test_another_key_and_another_type_of_message_are_refused() -> None:
    with pytest.raises(SignatureError):
        verify(parse(SIGNED.raw, Evidence), OTHER.public)
    with pytest.raises(WireError):
        parse(SIGNED.raw, Challenge)


def test_a_sealed_probe_cannot_be_moved_to_another_payment() -> None:
    moved = replace(evidence(amount_minor=999_999), sealed=evidence().sealed)
    with pytest.raises(SealError):
        OPENING[SealSuite.MLKEM768_X25519].unseal(moved.sealed, moved.binding)


@given(raw=st.binary(max_size=300))
@settings(max_examples=500, deadline=None)
def test_arbitrary_bytes_are_refused_or_have_one_encoding(raw: bytes) -> None:
    for attempt in (lambda: parse(raw, Evidence), lambda: parse(b"\xd2" + raw, Evidence)):
        with pytest.raises(WireError):
            attempt()
    try:
        value = codec.decode(raw)
    except WireError:
        return
    assert codec.encode(value) == raw


LEAVES = (
    st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=30) | st.text(max_size=20) | st.booleans()
)
LISTS = st.lists(LEAVES, max_size=4)
MAPS = st.dictionaries(st.integers(0, 2**64 - 1), LEAVES | LISTS, max_size=4)


@given(value=LEAVES | LISTS | MAPS | st.lists(MAPS, max_size=3))
@settings(deadline=None)
def test_every_value_survives_its_encoding(value: object) -> None:
    assert codec.decode(codec.encode(value)) == value


def test_nothing_secret_shows_in_a_message_or_an_error() -> None:
    shown = repr(PROBE) + repr(SIGNED) + repr(OPENING)
    assert "4000" not in shown
    assert "2468" not in shown
    assert "eeee" not in shown
