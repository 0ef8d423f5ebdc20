"""A funding source at rest: sealed under its account's data key; and a card as a person enters it.

Guarantee: what is stored opens only for the same account and processor, and not once the
account's data key is destroyed: erasing an account erases its source.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.funding.processor import Card, ProcessorName, Source, StripeSource
from wire.ids import AccountId

_NONCE_BYTES = 12
_KINDS: dict[ProcessorName, type[Source]] = {
    ProcessorName.STRIPE: StripeSource,
    ProcessorName.ISO8583: Card,
}


def processor_of(source: Source) -> ProcessorName:
    return next(name for name, kind in _KINDS.items() if isinstance(source, kind))


def seal_source(source: Source, account: AccountId, data_key: bytes) -> bytes:
    """The bytes to store."""
    nonce = os.urandom(_NONCE_BYTES)
    label = processor_of(source).encode() + account.raw
    return nonce + _cipher(account, data_key).encrypt(
        nonce, json.dumps(asdict(source)).encode(), label
    )


def open_source(
    sealed: bytes, processor: ProcessorName, account: AccountId, data_key: bytes
) -> Source | None:
    """None for what was sealed for another account, processor or key."""
    nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        raw = _cipher(account, data_key).decrypt(nonce, box, processor.encode() + account.raw)
        return _KINDS[processor](**json.loads(raw))
    except (InvalidTag, ValueError, TypeError):
        return None


def _cipher(account: AccountId, data_key: bytes) -> AESGCM:
    return AESGCM(
        HKDF(
            algorithm=SHA256(),
            length=32,
            salt=account.raw,
            info=b"countenance/v1/funding-source",
        ).derive(data_key)
    )


def read_card(number: str, expiry: str) -> Card:
    """A card as it is printed (``expiry`` is MM/YY); raises ValueError, which quotes nothing."""
    digits = number.replace(" ", "")
    if not re.fullmatch(r"[0-9]{12,19}", digits) or not _has_check_digit(digits):
        raise ValueError("that is no card number")
    month = re.fullmatch(r"(0[1-9]|1[0-2])/([0-9]{2})", expiry)
    if month is None:
        raise ValueError("a card's expiry is written MM/YY")
    return Card(number=digits, expiry=month[2] + month[1])


def _has_check_digit(digits: str) -> bool:
    """Luhn, ISO/IEC 7812-1 Annex B."""
    doubled = "0246813579"
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(int(doubled[int(digit)]) for digit in even)) % 10 == 0
