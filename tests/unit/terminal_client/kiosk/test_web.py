"""Who may ask the kiosk for what, and what its answers forbid; without a socket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from face_engine.types import Frame
from liveness.challenge import Colour, Move
from terminal_client.camera import identify
from terminal_client.kiosk.cashier import Cashier
from terminal_client.kiosk.feed import Feed
from terminal_client.kiosk.screen import Instruction, Screen, View
from terminal_client.kiosk.web import READERS_MAX, Sides, create_kiosk_app
from terminal_client.kiosk.words import Subject
from wire.messages import Source

PAGES = ("", "events", "preview", "static/kiosk.css", "static/kiosk.js")
POSTS = ("answer", "language", "simulate", "payments", "cancel")
SECRET_NAME = "<script>alert(1)</script>"


@dataclass
class Pictures:
    """A camera of grey pictures."""

    number: int = 3
    source: Source = Source.FILE
    identity: bytes = identify(Source.FILE)

    def frames(self) -> Iterator[Frame]:
        for index in range(self.number):
            yield Frame(pixels=np.full((48, 64, 3), index, np.uint8), captured_at_ms=index)

    def show(self, move: Move | None, colour: Colour | None) -> None:
        return


class NoTill:
    """A till whose book is never reached."""

    stuck = False
    instruction = ""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.fixture
def sides() -> Sides:
    screen = Screen(lambda: View(name="attract", values={"name": SECRET_NAME, "kind": "store"}))
    cashier = Cashier(NoTill(), "Shop", "EUR")  # type: ignore[arg-type]
    return Sides(screen=screen, feed=Feed(Pictures()), cashier=cashier)


@pytest.fixture
def client(sides: Sides) -> FlaskClient:
    return create_kiosk_app(sides).test_client()


def own(sides: Sides, path: str = "") -> str:
    return f"/s/{sides.screen_path}/{path}"


@pytest.mark.parametrize("path", PAGES)
def test_without_the_secret_there_is_nothing(sides: Sides, client: FlaskClient, path: str) -> None:
    guesses = ("x", sides.screen_path[:-1], sides.screen_path + "x", "é", sides.cashier_path)
    assert {client.get(f"/s/{guess}/{path}").status_code for guess in guesses} == {404}
    assert client.get(f"/c/{sides.screen_path}/{path}").status_code == 404


@pytest.mark.parametrize("path", POSTS)
def test_without_the_secret_nothing_is_done(sides: Sides, client: FlaskClient, path: str) -> None:
    for place in (f"/s/x/{path}", f"/c/x/{path}", f"/s/{sides.cashier_path}/{path}"):
        assert client.post(place, json={}).status_code == 404


def test_the_persons_side_takes_no_payments_and_the_cashiers_sees_no_picture(
    sides: Sides, client: FlaskClient
) -> None:
    assert client.post(own(sides, "payments"), json={}).status_code == 404
    assert client.post(own(sides, "simulate"), json={"who": "x"}).status_code == 404
    assert client.get(f"/c/{sides.cashier_path}/preview").status_code == 404
    assert client.post(f"/c/{sides.cashier_path}/answer", json={}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_other_pages_and_other_names_are_refused(
    sides: Sides, client: FlaskClient, headers: dict[str, str]
) -> None:
    before = sides.screen.language
    answer = client.post(own(sides, "language"), json={"language": "zh"}, headers=headers)
    assert answer.status_code == 403
    assert sides.screen.language == before
    assert client.get(own(sides, "preview"), headers=headers).status_code == 403
    assert client.post(own(sides, "language"), json={"language": "zh"}).status_code == 204
    assert sides.screen.language == "zh"


def test_every_answer_forbids_foreign_scripts_and_tells_nobody_where_it_was(
    sides: Sides, client: FlaskClient
) -> None:
    for path in (own(sides), own(sides, "static/kiosk.js"), "/nowhere"):
        with client.get(path) as answer:
            headers = answer.headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"


def test_the_page_holds_no_script_and_no_style_of_its_own(
    sides: Sides, client: FlaskClient
) -> None:
    page = client.get(own(sides)).text
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script type="module" src="static/')


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"number": 1}', b'{"number": "x"}', b'{"do": ["x"]}', b"[" * 3000],
    ids=["empty", "list", "cut", "number", "text", "nested", "deep"],
)
def test_an_answer_is_read_strictly(sides: Sides, client: FlaskClient, body: bytes) -> None:
    answer = client.post(own(sides, "answer"), data=body, content_type="application/json")
    assert answer.status_code == 400


def test_long_and_many_answers_are_refused(sides: Sides, client: FlaskClient) -> None:
    many = {f"f{index}": "x" for index in range(9)}
    for fields in (many, {"number": "1", "value": "x" * 201}):
        assert client.post(own(sides, "answer"), json=fields).status_code == 400
    big = client.post(own(sides, "answer"), data=b'"' + b"x" * 5000 + b'"',
                      content_type="application/json")  # fmt: skip
    assert big.status_code == 413
    assert client.post(own(sides, "answer"), data=b"{}").status_code == 415


def test_a_name_is_text_whatever_it_says(sides: Sides, client: FlaskClient) -> None:
    with client.get(own(sides, "events")) as answer:
        first = next(iter(answer.response))
    assert b"script>alert" not in first.replace(b"&lt;script&gt;alert", b"")
    assert b"&lt;script&gt;" in first


def test_readers_are_bounded(sides: Sides, client: FlaskClient) -> None:
    open_ones = [client.get(own(sides, "events"), buffered=False) for _ in range(READERS_MAX)]
    for each in open_ones:
        next(iter(each.response))
    assert client.get(own(sides, "events")).status_code == 503
    open_ones.pop().close()
    assert client.get(own(sides, "events"), buffered=False).status_code == 200


def test_the_preview_is_there_only_while_the_camera_is_open(sides: Sides) -> None:
    assert sides.feed.picture(0, timeout_s=0)[2] == b""
    for _ in sides.feed.frames():
        _, at_ms, jpeg = sides.feed.picture(0, timeout_s=0)
        assert jpeg.startswith(b"\xff\xd8")
        assert at_ms
    number, _, jpeg = sides.feed.picture(0, timeout_s=0)
    assert jpeg == b""
    assert sides.feed.picture(number, timeout_s=0)[2] == b""


def test_no_path_and_no_answer_comes_into_the_log(
    sides: Sides, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    sides.screen.show(View(name="no such view", values={"subject": Subject("Shop")}))
    number = str(sides.screen.wait((-1, -1), timeout_s=0).number)
    client.post(own(sides, "answer"), json={"number": number, "pin": "246813579"})
    answer = client.post(f"/c/{sides.cashier_path}/payments", json={"amount": "5"})
    assert answer.status_code == 500
    assert caplog.records
    assert sides.screen_path not in caplog.text
    assert sides.cashier_path not in caplog.text
    assert "246813579" not in caplog.text


def test_a_colour_is_told_as_it_is_to_be_shown(sides: Sides, client: FlaskClient) -> None:
    subject = Subject("Shop", 500, "EUR")
    sides.screen.show(View(name="face", values={"subject": subject}))
    sides.screen.prompt(Instruction(text="Hold still", colour=Colour.ROSE))
    with client.get(own(sides, "events"), buffered=False) as answer:
        parts = iter(answer.response)
        assert next(parts).startswith(b"event: view")
        assert b'"colour": [255, 120, 120]' in next(parts)
