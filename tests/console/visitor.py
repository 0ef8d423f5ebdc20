"""A browser at the console: a cookie jar, forms with their token, and a passkey of software."""

from __future__ import annotations

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import codes
from service.operators import people, staff
from service.operators.people import OperatorId, Role
from tests.ceremony.house import House
from wire.ids import MerchantId

ORIGIN = "http://localhost"
CROSS_SITE = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
)
each_forgery = pytest.mark.parametrize(
    "forged",
    [
        *({"data": data} for data in ({}, {"form_token": "x"}, {"form_token": "\u00e9"})),
        *({"headers": headers} for headers in CROSS_SITE),
    ],
    ids=str,
)
"""Forms without this session's token, and those that another site's page sent."""
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Passkey:
    """An authenticator (WebAuthn level 3, section 6) with one ES256 key, without attestation."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    count: int = 0
    flags: int = PRESENT | VERIFIED
    origin: str = ORIGIN

    def _data(self, extra: bytes = b"", flags: int = 0) -> bytes:
        self.count += 1
        party = sha256(b"localhost").digest()
        return party + bytes([self.flags | flags]) + self.count.to_bytes(4, "big") + extra

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        ).encode()

    def create(self, options: dict[str, Any]) -> str:
        point = self.key.public_key().public_numbers()
        cose = {
            1: 2,
            3: -7,
            -1: 1,
            -2: point.x.to_bytes(32, "big"),
            -3: point.y.to_bytes(32, "big"),
        }
        attested = bytes(16) + len(self.credential).to_bytes(2, "big") + self.credential
        data = self._data(attested + cbor2.dumps(cose), ATTESTED)
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            clientDataJSON=encode(self._client("webauthn.create", options)),
            attestationObject=encode(made),
        )

    def get(self, options: dict[str, Any]) -> str:
        data, client = self._data(), self._client("webauthn.get", options)
        signed = self.key.sign(data + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(
            clientDataJSON=encode(client),
            authenticatorData=encode(data),
            signature=encode(signed),
        )

    def _answer(self, **response: str) -> str:
        name = encode(self.credential)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})


@dataclass
class Visitor:
    house: House
    client: FlaskClient

    @classmethod
    def stranger(cls, house: House) -> Visitor:
        return cls(house, house.client())

    @classmethod
    def signed_in(cls, house: House, *roles: Role, merchant: MerchantId | None = None) -> Visitor:
        operator, _ = staff.of(house.operations).add_operator(
            "Somebody", set(roles), merchant=merchant
        )
        visitor = cls.stranger(house)
        visitor.enter(operator)
        return visitor

    def enter(self, operator: OperatorId, *, enrolling: bool = False) -> None:
        """With a session as a passkey would have begun it."""
        secret = secrets.token_urlsafe(32)
        digest = codes.secret_hash("console-session", secret, self.house.keys.claims)
        with self.house.database.transaction() as conn:
            people.begin_session(
                conn, operator, digest, enrolling=enrolling, now_ms=self.house.clock()
            )
        self.client.set_cookie("console", secret, path="/console")

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path if path.startswith("/") else f"/console/{path}", **more)

    def post(self, path: str, form: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        """Sends a form as the console's own pages hold it."""
        data = {"form_token": self.form_token(), **(form or {})}
        return self.client.post(path, data=data, **more)

    def form_token(self) -> str:
        cookie = self.client.get_cookie("console", path="/console")
        secret = cookie.value if cookie else ""
        return urlsafe_b64encode(
            codes.secret_hash("console-form", secret, self.house.keys.claims)
        ).decode()

    def join(self, code: str, passkey: Passkey) -> TestResponse:
        let_in = self.client.post("/console/sign-in/code", data={"code": code})
        if "refused" in let_in.headers["Location"]:
            return let_in
        options = self.post("/console/passkey/options").json
        return self.post("/console/passkey", {"answer": passkey.create(options)})

    def sign_in(self, passkey: Passkey) -> TestResponse:
        options = self.client.post("/console/sign-in/options").json
        return self.client.post("/console/sign-in", data={"answer": passkey.get(options)})


def text_of(answer: TestResponse) -> str:
    """What a reader sees: without elements."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())
