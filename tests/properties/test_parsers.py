"""Every parser of wire and service: the named error or a value, and one spelling of a value."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from access.schedule import Schedule, ScheduleError, find_time_zone
from service.audit.verify import AuditError, VerifierKey, read_checkpoint, verify_receipt
from service.errors import Misconfigured
from service.verification.policy import Policy, default_policy
from tests.vectors import generate
from tests.vectors.audit import SIGNER
from tests.vectors.shared import MESSAGES, SERVICE_KEY, fixed, opening_key
from wire import codec, envelope
from wire.codec import Message
from wire.envelope import SealKey
from wire.errors import MalformedError, SealError, SignatureError
from wire.ids import Id
from wire.messages import Acknowledgement, SealSuite
from wire.money import Money

KEYS = st.integers(0, 14)
LEAVES = (
    st.integers(-(2**64), 2**64 - 1)
    | st.integers(0, 5)
    | st.booleans()
    | st.binary(max_size=20)
    | st.sampled_from([b"x" * 16, b"x" * 32, b"x" * 64])
    | st.text(max_size=12)
    | st.sampled_from(["EUR", "JPY", "card:1"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


def spelt_once(kind: type[Message], raw: bytes) -> None:
    try:
        message = kind.decode(raw)
    except MalformedError:
        return
    assert message.encode() == raw


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_message_with_any_field_changed_is_refused_or_spelt_once(
    message: Message, data: st.DataObject
) -> None:
    fields = message.to_map()
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)) | KEYS, max_size=3)):
        fields[key] = data.draw(VALUES)
    if data.draw(st.booleans()) and fields:
        del fields[data.draw(st.sampled_from(sorted(fields)))]
    spelt_once(type(message), codec.encode(fields))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_message_with_any_byte_changed_is_refused_or_spelt_once(
    message: Message, data: st.DataObject
) -> None:
    raw = message.encode()
    at = data.draw(st.integers(0, len(raw)))
    gone = data.draw(st.integers(0, 3))
    spelt_once(type(message), raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + gone :])


SIGNED = envelope.sign(
    next(each for each in MESSAGES if isinstance(each, Acknowledgement)), SERVICE_KEY
)


@given(at=st.integers(0, len(SIGNED.raw)), new=st.binary(max_size=4), gone=st.integers(0, 4))
@settings(max_examples=400, deadline=None)
def test_a_changed_envelope_never_verifies(at: int, new: bytes, gone: int) -> None:
    raw = SIGNED.raw[:at] + new + SIGNED.raw[at + gone :]
    try:
        found = envelope.verify(envelope.parse(raw, type(SIGNED.message)), SERVICE_KEY.public)
    except (MalformedError, SignatureError):
        return
    assert found.raw == SIGNED.raw


@pytest.mark.parametrize("suite", SealSuite)
@given(sealed=st.binary(max_size=1300), info=st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
@example(sealed=bytes(32 + 4096 + 16), info=b"")
@example(sealed=bytes(1120 + 4096 + 16), info=b"")
def test_what_nobody_sealed_does_not_open(suite: SealSuite, sealed: bytes, info: bytes) -> None:
    with pytest.raises(SealError):
        opening_key(suite).unseal(sealed, info)


@pytest.mark.parametrize("suite", SealSuite)
@given(raw=st.binary(max_size=40) | st.binary(min_size=1216, max_size=1216))
@settings(max_examples=60, deadline=None)
@example(raw=bytes(32))
@example(raw=bytes(1216))
@example(raw=b"\xff" * 1216)
def test_a_seal_key_seals_or_is_refused(suite: SealSuite, raw: bytes) -> None:
    with suppress(MalformedError):
        assert len(SealKey(suite, raw).seal(b"text", b"info")) > 4096


@pytest.mark.parametrize("kind", Id.__subclasses__())
@given(
    text=st.text(max_size=32)
    | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26)
)
@settings(max_examples=60, deadline=None)
@example(text="\udcff" * 26)
@example(text="\u0131" * 26)
def test_an_id_is_refused_or_spelt_once(kind: type[Id], text: str) -> None:
    for spelling in (text, f"{kind.PREFIX}_{text}"):
        try:
            found = kind.parse(spelling)
        except MalformedError:
            continue
        assert str(found) == spelling


@given(text=st.text(max_size=20) | st.from_regex(r"[0-9]{1,16}(\.[0-9]{0,4})? [A-Z]{3}\n?"))
@settings(max_examples=300, deadline=None)
def test_an_amount_is_refused_or_says_the_same_again(text: str) -> None:
    try:
        found = Money.parse(text)
    except MalformedError:
        return
    assert Money.parse(str(found)) == found


LOG: dict[str, Any] = generate.read("log")
LOG_KEY = VerifierKey.parse(LOG["verifier_key"])
SPLICES = st.tuples(
    st.integers(0, 400),
    st.sampled_from(
        [b"", b"\n", b" ", b"0", b"+", b"=", b"_", b"\xe2\x80\x94 ", b"\xff", b"-", b"A"]
    ),
    st.integers(0, 2),
)


def spliced(raw: bytes, splice: tuple[int, bytes, int]) -> bytes:
    at, new, gone = splice
    at %= len(raw) + 1
    return raw[:at] + new + raw[at + gone :]


@given(splice=SPLICES, which=st.integers(0, len(LOG["receipts"]) - 1))
@settings(max_examples=500, deadline=None)
def test_a_receipt_is_refused_or_the_same(splice: tuple[int, bytes, int], which: int) -> None:
    good = LOG["receipts"][which]
    raw = spliced(good["receipt"].encode(), splice)
    try:
        index, leaf = verify_receipt(raw, LOG_KEY)
    except AuditError:
        return
    assert (index, leaf.hex()) == (good["index"], good["leaf"])
    proof = good["receipt"].encode().partition(b"\n\n")[0]
    assert raw.startswith(proof + b"\n\n")


@pytest.mark.parametrize(
    ("written", "other"),
    [
        ("index 1\n", "index 01\n"),
        ("index 1\n", "index +1\n"),
        ("index 1\n", "index  1\n"),
        ("index 1\n", "index \u0661\n"),
        ("index 1\n", "1\n"),
        ("\nextra ", "\n"),
    ],
)
def test_a_receipt_has_one_spelling(written: str, other: str) -> None:
    good = LOG["receipts"][1]["receipt"]
    assert verify_receipt(good.encode(), LOG_KEY)
    assert written in good
    with pytest.raises(AuditError):
        verify_receipt(good.replace(written, other, 1).encode(), LOG_KEY)


def test_base64_with_bits_left_over_is_refused() -> None:
    good = next(each["note"] for each in LOG["checkpoints"])
    root = good.split("\n")[2]
    assert root.endswith("=")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = root[:-2] + letters[letters.index(root[-2]) ^ 1] + "="
    key = VerifierKey(LOG_KEY.name, LOG_KEY.key_hash, SIGNER.public_key)
    text = good.partition("\n\n")[0].replace(root, other) + "\n"
    signature = b64encode(key.key_hash + SIGNER.sign(text.encode())).decode()
    with pytest.raises(AuditError, match="not one"):
        read_checkpoint(f"{text}\n\u2014 {key.name} {signature}\n".encode(), key)


@given(raw=st.binary(max_size=200), splice=SPLICES)
@settings(max_examples=300, deadline=None)
def test_a_checkpoint_is_refused_or_the_same(raw: bytes, splice: tuple[int, bytes, int]) -> None:
    good = LOG["checkpoints"][-1]
    for note in (raw, spliced(good["note"].encode(), splice)):
        try:
            tree = read_checkpoint(note, LOG_KEY)
        except AuditError:
            continue
        assert (tree.size, tree.root.hex()) == (good["size"], good["root"])
        assert note.startswith(good["note"].encode().partition(b"\n\n")[0] + b"\n\n")


@given(text=st.text(max_size=80), splice=SPLICES)
@settings(max_examples=300, deadline=None)
@example(text="a+\udcff+AAAA", splice=(0, b"", 0))
def test_a_verifier_key_is_refused_or_the_same(text: str, splice: tuple[int, bytes, int]) -> None:
    near = spliced(LOG["verifier_key"].encode(), splice).decode(errors="replace")
    for spelling in (text, near):
        try:
            found = VerifierKey.parse(spelling)
        except AuditError:
            continue
        assert (found.name, found.key_hash) == (LOG_KEY.name, LOG_KEY.key_hash)


WINDOW = st.from_regex(r"\A(Mon|Tue|Sun|Xyz)(-(Wed|Sat))? [0-2]\d:[0-6]\d-[0-2]\d:[0-6]\d\Z")


@given(text=st.text(max_size=40) | st.lists(WINDOW, max_size=40).map("; ".join))
@settings(max_examples=400, deadline=None)
def test_a_schedule_is_refused_or_has_one_text(text: str) -> None:
    try:
        found = Schedule.parse(text)
    except ScheduleError:
        return
    assert Schedule.parse(str(found)) == found
    assert str(Schedule.parse(str(found))) == str(found)
    assert isinstance(found.contains(1_800_000_000_000, find_time_zone("Europe/Paris")), bool)


@given(name=st.text(max_size=60))
@settings(deadline=None)
@example(name="")
@example(name="America")
@example(name="../UTC")
@example(name="/etc/passwd")
@example(name="\x00")
@example(name="\udcff")
@example(name="A" * 5000)
def test_a_time_zone_is_found_or_refused(name: str) -> None:
    with suppress(ScheduleError):
        assert find_time_zone(name).key == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    | st.sampled_from(["payment", "strict", "camera", 10**400, 1e-4, 60_000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)  # fmt: skip


@cache
def places() -> tuple[tuple[str | int, ...], ...]:
    """The path of every value in the default policy's document."""
    found: list[tuple[str | int, ...]] = []

    def walk(value: object, path: tuple[str | int, ...]) -> None:
        found.append(path)
        items: Any = value.items() if isinstance(value, dict) else ()
        for key, inner in enumerate(value) if isinstance(value, list) else items:
            walk(inner, (*path, key))

    walk(json.loads(default_policy().to_document()), ())
    return tuple(found)


def changed(path: tuple[str | int, ...], value: object) -> object:
    document: Any = json.loads(default_policy().to_document())
    if not path:
        return value
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return document


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_a_policy_is_refused_or_spelt_once(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places()))
    check_policy(json.dumps(changed(path, data.draw(JSON))))


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, '{"tiers":' * 5000, "NaN", '"\\ud800"', "1" * 5000]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        Policy.from_document(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["tiers"].update(PAYMENT=document["tiers"].pop("payment")),
        lambda document: document.update(sources=["CAMERA"]),
        lambda document: document["tiers"]["entry"][0].update(pin=0),
        lambda document: document["tiers"]["entry"][0].update(up_to_minor=1.5),
        lambda document: document["lockout"].update(failures=True),
        lambda document: document.update(challenge_ttl_ms=60_000.5),
        lambda document: document.update(consent_version="x" * 41),
    ],
)
def test_a_policy_that_would_fail_later_is_refused_now(change: Callable[[Any], object]) -> None:
    document = json.loads(default_policy().to_document())
    change(document)
    with pytest.raises(Misconfigured):
        Policy.from_document(json.dumps(document))


def check_policy(text: str) -> None:
    try:
        policy = Policy.from_document(text)
    except Misconfigured:
        return
    document = policy.to_document()
    assert Policy.from_document(document).to_document() == document
    for message in MESSAGES[:4]:
        policy.tier_for(message)  # type: ignore[arg-type]
    codec.uint().read(fixed("now", 4)[0] + policy.challenge_ttl_ms)
