"""A client of the JSON API with a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from werkzeug.test import TestResponse

from service.operators.tokens import Scope, TokenId
from tests.ceremony.house import House
from wire.ids import MerchantId


@dataclass
class Client:
    """Each POST has a new idempotency key, unless ``headers`` say otherwise."""

    house: House
    secret: str = field(repr=False)
    token: TokenId

    @classmethod
    def of(cls, house: House, *scopes: Scope, merchant: MerchantId | None = None) -> Client:
        token, secret = house.operations.add_token("tests", set(scopes), merchant=merchant, days=30)
        return cls(house, secret, token)

    def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **arguments: Any
    ) -> TestResponse:
        key = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
        return self.house.client().open(
            path if path.startswith("/api") else f"/api/v1{path}",
            method=method,
            headers={"Authorization": f"Bearer {self.secret}", **key, **(headers or {})},
            **arguments,
        )

    def get(self, path: str, **arguments: Any) -> TestResponse:
        return self.send("GET", path, **arguments)

    def post(self, path: str, **arguments: Any) -> TestResponse:
        return self.send("POST", path, **arguments)


def problem_of(answer: TestResponse) -> str:
    """The last part of the problem's type; asserts that it is one."""
    assert answer.content_type == "application/problem+json", answer.data
    assert answer.json["status"] == answer.status_code
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    return str(answer.json["type"]).removeprefix("urn:countenance:problem:")
