"""A customer's browser: a cookie jar, and forms with their token."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import codes
from service.customers import acts
from tests.ceremony.house import House
from tests.console.visitor import Passkey
from wire.ids import AccountId


@dataclass
class Customer:
    house: House
    client: FlaskClient

    @classmethod
    def stranger(cls, house: House) -> Customer:
        return cls(house, house.client())

    @classmethod
    def signed_in(cls, house: House, account: AccountId) -> Customer:
        """By a link that somebody at the counter made."""
        customer = cls.stranger(house)
        assert customer.use(link_of(house, account)).headers["Location"] == "/me"
        return customer

    def use(self, code: str) -> TestResponse:
        return self.client.post("/me/enter", data={"code": code})

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def post(self, path: str, form: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        data = {"form_token": self.form_token(), **(form or {})}
        return self.client.post(path, data=data, **more)

    def form_token(self) -> str:
        cookie = self.client.get_cookie("me", path="/me")
        secret = cookie.value if cookie else ""
        digest = codes.secret_hash("me-form", secret, self.house.keys.claims)
        return urlsafe_b64encode(digest).decode()

    def make(self, passkey: Passkey) -> TestResponse:
        options = self.post("/me/passkeys/options").json
        return self.post("/me/passkeys", {"answer": passkey.create(options)})

    def sign_in(self, passkey: Passkey) -> TestResponse:
        options = self.client.post("/me/sign-in/options").json
        return self.client.post("/me/sign-in", data={"answer": passkey.get(options)})

    def is_in(self) -> bool:
        return self.get("/me").status_code == 200


def link_of(house: House, account: AccountId) -> str:
    code = acts.of(house.operations).make_link(account)
    assert code is not None
    return code
