"""Vectors of what is written and read: CBOR, messages, ids, amounts."""

from __future__ import annotations

from collections.abc import Callable

from tests.vectors.shared import (
    ACCOUNT,
    ATTEMPT,
    CARD_CHALLENGE,
    CHALLENGE,
    DOOR,
    INTENT,
    MERCHANT,
    MESSAGES,
    PAYMENT,
    PLAN,
    REFUSAL,
    TERMINAL,
    Case,
    Document,
    describe,
    fixed,
)
from wire import codec
from wire.codec import MAX_DEPTH, MAX_MESSAGE_BYTES, Message
from wire.errors import WireError
from wire.ids import AlarmId, EntryId, GroupId, Id, ReleaseId, SiteId, TransferId, ZoneId
from wire.messages import (
    CardProbe,
    Challenge,
    ChallengeRequest,
    Confirmation,
    Decision,
    LivenessPlan,
    PaymentContext,
    PlanStep,
    WithdrawalContext,
)
from wire.money import Money

_ACCEPTED = {
    "zero": "00",
    "largest in one byte": "17",
    "one byte more": "1818",
    "two bytes": "190100",
    "four bytes": "1a00010000",
    "eight bytes": "1b0000000100000000",
    "largest": "1bffffffffffffffff",
    "minus one": "20",
    "smallest": "3bffffffffffffffff",
    "no bytes": "40",
    "bytes": "43010203",
    "no text": "60",
    "text": "6461c3a962",
    "false": "f4",
    "true": "f5",
    "empty array": "80",
    "array": "830102820304",
    "empty map": "a0",
    "map": "a300010241021818f5",
    "deepest": "81" * (MAX_DEPTH - 1) + "00",
}
_REFUSED = {
    "nothing": "",
    "bytes after the end": "0000",
    "array cut off": "8201",
    "byte string cut off": "420a",
    "length cut off": "59ff",
    "byte string longer than any input": "5bffffffffffffffff",
    "array longer than any input": "9bffffffffffffffff",
    "integer not shortest, 1 byte": "1817",
    "integer not shortest, 2 bytes": "1900ff",
    "integer not shortest, 4 bytes": "1a0000ffff",
    "integer not shortest, 8 bytes": "1b00000000ffffffff",
    "length not shortest": "580100",
    "reserved length": "1c",
    "indefinite bytes": "5f4100ff",
    "indefinite text": "7f6100ff",
    "indefinite array": "9f00ff",
    "indefinite map": "bf0000ff",
    "half float": "f93c00",
    "float": "fb3ff8000000000000",
    "null": "f6",
    "undefined": "f7",
    "simple value": "e0",
    "tag": "c100",
    "big number": "c24101",
    "shared reference": "d81c81d81d00",
    "key twice": "a201010102",
    "keys not ascending": "a202000100",
    "negative key": "a12000",
    "text as key": "a1616100",
    "array as key": "a1810101",
    "boolean as key": "a1f400",
    "text that is not UTF-8": "62ffff",
    "surrogate in text": "63eda080",
    "nested too deeply": "81" * MAX_DEPTH + "00",
}
_IDS: tuple[Id, ...] = (
    ACCOUNT,
    AlarmId(fixed("alarm", 16)),
    ATTEMPT,
    CHALLENGE,
    DOOR,
    EntryId(fixed("entry", 16)),
    GroupId(fixed("group", 16)),
    MERCHANT,
    INTENT,
    ReleaseId(fixed("release", 16)),
    SiteId(fixed("site", 16)),
    TERMINAL,
    TransferId(fixed("transfer", 16)),
    ZoneId(fixed("zone", 16)),
)


def refusal(act: Callable[[], object]) -> Case:
    """How something is refused: the kind of error, and the rule that it names."""
    try:
        act()
    except WireError as error:
        return {"error": type(error).__name__, "rule": str(error)}
    raise AssertionError("this must be refused")


def cbor() -> Document:
    return {
        "about": "Deterministic CBOR: every accepted input encodes to itself; the rest is refused.",
        "max_bytes": MAX_MESSAGE_BYTES,
        "accepted": [{"name": name, "bytes": raw} for name, raw in _ACCEPTED.items()],
        "refused": [_refused_cbor(name, bytes.fromhex(raw)) for name, raw in _REFUSED.items()],
    }


def _refused_cbor(name: str, raw: bytes) -> Case:
    return {"name": name, "bytes": raw.hex()} | refusal(lambda: codec.decode(raw))


def messages() -> Document:
    return {
        "about": "Every message with its fields: bytes in hex, ids as text, codes by name.",
        "accepted": [_message(each) for each in MESSAGES],
        "refused": [_refused_message(*each) for each in _wrong_messages()],
    }


def _message(message: Message) -> Case:
    return {
        "message": type(message).__name__,
        "label": getattr(message, "LABEL", None),
        "fields": describe(message),
        "bytes": message.encode().hex(),
    }


def _wrong_messages() -> list[tuple[str, type[Message], object]]:
    payment, plan = PAYMENT.to_map(), PLAN.to_map()
    request = {1: TERMINAL.raw, 2: [1, payment], 3: 0}
    decision = REFUSAL.to_map()
    challenge = CARD_CHALLENGE.to_map()
    word = {1: ATTEMPT.raw, 2: TERMINAL.raw, 3: 1, 4: 0}
    return [
        ("colours without a face", ChallengeRequest, request | {4: True, 5: False}),
        ("a card by its phone number", CardProbe, {1: "phone:+4930123456", 2: "2468"}),
        ("a card without a PIN", CardProbe, {1: "card:1"}),
        ("a card with a face", CardProbe, {1: "card:1", 2: "2468", 3: [bytes(512)]}),
        ("a card that is asked to be alive", Challenge, challenge | {6: 2}),
        ("a card with models", Challenge, challenge | {8: [bytes(16)]}),
        ("a face without models", Challenge, challenge | {9: 1}),
        ("an amount of what failed", Confirmation, word | {3: 2, 5: 1}),
        ("an amount of nothing", Confirmation, word | {5: 0}),
        ("not a map", PaymentContext, [1, 2]),
        ("a field is missing", WithdrawalContext, {1: 100}),
        ("an unknown field", WithdrawalContext, {1: 100, 2: "EUR", 3: 0}),
        ("no amount", WithdrawalContext, {1: 0, 2: "EUR"}),
        ("an amount too large", WithdrawalContext, {1: 10**15 + 1, 2: "EUR"}),
        ("true is not one", WithdrawalContext, {1: True, 2: "EUR"}),
        ("an unknown currency", WithdrawalContext, {1: 100, 2: "XXX"}),
        ("an id of 15 bytes", PaymentContext, payment | {3: bytes(15)}),
        ("text with a control character", PaymentContext, payment | {4: "A\n17"}),
        ("text with a blank before it", PaymentContext, payment | {4: " A17"}),
        ("empty text", PaymentContext, payment | {4: ""}),
        ("text too long", PaymentContext, payment | {4: "A" * 81}),
        ("an unknown move", PlanStep, {1: 9, 2: 300}),
        ("too many steps", LivenessPlan, {1: [{1: 1, 2: 300}] * 9}),
        ("steps not a list", LivenessPlan, plan | {1: 0}),
        ("a context without its purpose", ChallengeRequest, request | {2: payment}),
        ("an unknown purpose", ChallengeRequest, request | {2: [5, payment]}),
        ("another purpose's map", ChallengeRequest, request | {2: [3, payment]}),
        ("a time beyond 2**53 - 1", ChallengeRequest, request | {3: 2**53}),
        ("a denial without a reason", Decision, {k: v for k, v in decision.items() if k != 5}),
        ("an approval with a reason", Decision, decision | {4: 1}),
    ]


def _refused_message(name: str, kind: type[Message], value: object) -> Case:
    raw = codec.encode(value)
    shown = {"name": name, "message": kind.__name__, "bytes": raw.hex()}
    return shown | refusal(lambda: kind.decode(raw))


def ids() -> Document:
    account = str(ACCOUNT)
    wrong = {
        "upper case": account.upper(),
        "no prefix": account[4:],
        "another concept's prefix": str(ATTEMPT),
        "a character too many": account + "a",
        "a character too few": account[:-1],
        "bits after the end": account[:-1] + "b",
        "padding": account + "======",
        "not base32": "acc_" + "1" * 26,
        "not ASCII": "acc_" + "\u0661" * 26,
        "nothing": "",
    }
    return {
        "about": "Text forms of ids: prefix, underscore, 26 characters of lower-case base32.",
        "accepted": [
            {"kind": type(each).__name__, "bytes": each.raw.hex(), "text": str(each)}
            for each in _IDS
        ],
        "refused": [
            {"name": name, "kind": "AccountId", "text": text} for name, text in wrong.items()
        ],
    }


def money() -> Document:
    accepted = ("12.50 EUR", "12 EUR", "0.01 USD", "500 JPY", "1.005 KWD", "1.5 BHD",
                "007 GBP", "9999999999999.99 EUR", "10000000000000 EUR")  # fmt: skip
    refused = ("12.505 EUR", "5.0 JPY", "-1 EUR", "+1 EUR", "0 EUR", "0.00 EUR", "1 XXX", "1 eur",
               "1e3 EUR", "1,50 EUR", ".5 EUR", "5. EUR", "5", "EUR 5", "5EUR", " 5 EUR", "5 EUR ",
               "\u0663 EUR", "10000000000000.01 EUR", "1000000000000000 EUR", "")  # fmt: skip
    return {
        "about": "Amounts as text, and in minor units of their ISO 4217 currency.",
        "accepted": [_amount(text) for text in accepted],
        "refused": [{"text": text} | refusal(lambda text=text: Money.parse(text))
                    for text in refused],
    }  # fmt: skip


def _amount(text: str) -> Case:
    found = Money.parse(text)
    return {
        "text": text,
        "amount_minor": found.amount_minor,
        "currency": found.currency,
        "written": str(found),
    }
