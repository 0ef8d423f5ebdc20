"""A till at a store's terminal: its payments, its HTTP, and a power that fails at every step."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import urllib3
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ledger.check import check
from service.terminals import store as terminals
from terminal_client.device import Device
from terminal_client.errors import CameraError, StorageError, Unreachable, UsageError
from terminal_client.exchange import Ended, Ending
from terminal_client.keystore import Keystore
from terminal_client.loopback import LoopbackServer
from terminal_client.outbox import Outbox
from terminal_client.payments import FINAL, PaymentBook, State, Way, Wish
from terminal_client.till import Hooks, Till
from terminal_client.till_http import create_till_app
from terminal_client.transport import Reply, send
from tests.ceremony.devices import (
    InProcess,
    Power,
    PowerCut,
    made_up_ceremony,
    publish_easy,
    register_device,
)
from tests.ceremony.house import House, enrol
from wire.ids import TransferId
from wire.messages import PaymentContext, TerminalKind
from wire.money import Money

TOKEN = "a token of tests"
WISH = {"id": "till-7.1", "amount_minor": 500, "currency": "EUR", "order": "A-1"}
START_MINOR = 100_000


def wish(number: int = 1, amount_minor: int = 500) -> Wish:
    return Wish(
        payment=f"p-{number}",
        money=Money(amount_minor=amount_minor, currency="EUR"),
        order=f"A-{number}",
    )


@dataclass
class Counter:
    """A store's terminal with its till; ``seed`` is who stands there."""

    house: House
    home: Path
    seed: int = 1
    lose: Callable[[str], bool] = field(default=lambda _path: False)
    before: Callable[[Hooks], None] = field(default=lambda _hooks: None)

    @contextmanager
    def till(self, power: Power | None = None) -> Iterator[Till]:
        """Everything as it is on the disk."""
        transport = Lossy(self, InProcess(self.house))
        device = Device(
            Keystore(self.home), Outbox(self.home / "outbox.db"), transport,
            unix_ms=self.house.clock,
        )  # fmt: skip
        book = PaymentBook(self.home / "payments.db")
        if power is not None:
            power.around(book, "add", "set_state")
            power.around(device.outbox, "put", "swap", "done")
            power.around(transport, "exchange")

        def take(context: PaymentContext, _wish: Wish, hooks: Hooks) -> Ended:
            hooks.show("Look at the camera")
            self.before(hooks)
            ceremony = made_up_ceremony(device, context, self.seed, hooks.attempt)
            return device.carry_out(ceremony, hooks.act, on_send=hooks.on_send)

        try:
            yield Till(device, book, take)
        finally:
            device.outbox.close()
            book.close()

    def paid(self) -> list[bytes]:
        with self.house.database.transaction() as conn:
            rows = conn.execute("SELECT transfer_id FROM transfers WHERE kind = 'payment'")
            return [row[0] for row in rows.fetchall()]


@dataclass
class Lossy:
    counter: Counter
    through: InProcess

    def exchange(self, path: str, body: bytes, *, timeout_s: float, bytes_max: int) -> Reply:
        reply = self.through.exchange(path, body, timeout_s=timeout_s, bytes_max=bytes_max)
        if self.counter.lose(path):
            raise Unreachable("lost")
        return reply


@pytest.fixture
def counter(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter:
    monkeypatch.setitem(send.__kwdefaults__, "tries", 1)
    publish_easy(house)
    money = Money(amount_minor=START_MINOR, currency="EUR")
    assert house.operations.top_up(enrol(house, 1), money) is None
    register_device(house, tmp_path / "store", TerminalKind.STORE)
    return Counter(house, tmp_path / "store")


def pay(till: Till, asked: Wish) -> None:
    till.begin(asked)
    till.take_one()


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_the_power_does_the_till_gets_one_final_answer(
    counter: Counter, seed: int
) -> None:
    """Seed 2 is a stranger with the customer's card: refused, and never charged."""
    counter.seed = seed
    answers = set()
    for fails_at in itertools.count(1):
        power, asked = Power(fails_at), wish(fails_at)
        with suppress(PowerCut), counter.till(power) as till:
            till.settle()
            pay(till, asked)
        with counter.till() as till:
            assert till.settle()
            found = till.book.find(asked.payment)
            if found is None:  # the till's request itself was lost: it asks again
                pay(till, asked)
                found = till.book.find(asked.payment)
            assert found is not None
            assert found.state in FINAL
            assert (found.attempt.raw in counter.paid()) == (found.state is State.APPROVED)
            assert till.begin(asked) == (found, False)
            if found.state is State.APPROVED:
                assert found.transfer == str(TransferId(found.attempt.raw))
        answers.add(found.state)
        if power.steps < fails_at:
            break
    assert fails_at > 12
    expected = State.APPROVED if seed == 1 else State.REFUSED
    assert answers == {expected, State.NOT_CHARGED}
    with counter.house.database.transaction() as conn:
        assert check(conn) == ()


def test_a_lost_answer_is_settled_before_anything_else(counter: Counter) -> None:
    counter.lose = lambda path: path == "/v1/attempts"
    with counter.till() as till:
        till.settle()
        pay(till, wish())
        found = till.book.find("p-1")
        assert (found.state, found.reason) == (State.DECIDING, "unreachable")
        assert not till.settle()
        with pytest.raises(UsageError, match="not over yet"):
            till.begin(wish(2))
        counter.lose = lambda _path: False
        assert till.settle()
        assert till.book.find("p-1").state is State.APPROVED
        pay(till, wish(2))
    assert len(counter.paid()) == 2


def test_a_lost_confirmation_changes_no_answer(counter: Counter) -> None:
    counter.lose = lambda path: path == "/v1/confirmations"
    with counter.till() as till:
        till.settle()
        pay(till, wish())
        assert till.book.find("p-1").state is State.APPROVED
        assert not till.settle()
        assert till.book.find("p-1").state is State.APPROVED


def test_a_network_that_is_away_before_anything_was_sent_charges_nothing(counter: Counter) -> None:
    counter.lose = lambda path: path == "/v1/challenges"
    with counter.till() as till:
        till.settle()
        pay(till, wish())
        found = till.book.find("p-1")
    assert (found.state, found.reason) == (State.NOT_CHARGED, "unreachable")


def test_an_amount_above_every_tier_is_refused_by_its_reason(counter: Counter) -> None:
    with counter.till() as till:
        till.settle()
        pay(till, wish(amount_minor=10**9))
        found = till.book.find("p-1")
    assert (found.state, found.reason) == (State.REFUSED, "limit_exceeded")


def test_a_revoked_terminal_leaves_an_open_answer_open(counter: Counter) -> None:
    counter.lose = lambda path: path == "/v1/attempts"
    with counter.till() as till:
        till.settle()
        pay(till, wish())
        counter.lose = lambda _path: False
        with counter.house.database.transaction() as conn:
            terminals.revoke(conn, till.device.identity.terminal, now_ms=1)
        assert not till.settle()
        found = till.book.find("p-1")
    assert (found.state, found.reason) == (State.DECIDING, "terminal_not_accepted")


@pytest.mark.parametrize(
    ("error", "reason"), [(CameraError("gone"), "camera"), (StorageError("full"), "storage")]
)
def test_a_broken_part_charges_nothing(counter: Counter, error: Exception, reason: str) -> None:
    def broken(_hooks: Hooks) -> None:
        raise error

    counter.before = broken
    with counter.till() as till:
        till.settle()
        pay(till, wish())
        assert till.book.find("p-1").reason == reason


def test_a_bug_charges_nothing_and_is_not_hidden(counter: Counter) -> None:
    def bug(_hooks: Hooks) -> None:
        raise ZeroDivisionError

    counter.before = bug
    with counter.till() as till:
        till.settle()
        with pytest.raises(ZeroDivisionError):
            pay(till, wish())
        assert till.book.find("p-1").state is State.NOT_CHARGED


def test_it_is_cancelled_before_the_evidence_and_not_after(counter: Counter) -> None:
    with counter.till() as till:
        till.settle()
        counter.before = lambda hooks: (till.cancel("p-1"), hooks.show("Turn left"))
        pay(till, wish())
        found = till.book.find("p-1")
        assert (found.state, found.reason) == (State.NOT_CHARGED, "cancelled")
        assert till.cancel("p-1") == found
        assert till.cancel("p-0") is None

        counter.before = lambda hooks: till.cancel("p-2")  # at the very last moment
        pay(till, wish(2))
        assert till.book.find("p-2").reason == "cancelled"

        said = []

        def too_late(path: str) -> bool:
            if path == "/v1/attempts":
                with pytest.raises(UsageError, match="deciding"):
                    till.cancel("p-3")
                said.append(path)
            return False

        counter.before, counter.lose = lambda _hooks: None, too_late
        pay(till, wish(3))
        assert (said, till.book.find("p-3").state) == (["/v1/attempts"], State.APPROVED)
    assert len(counter.paid()) == 1


def test_the_clock_may_jump(counter: Counter) -> None:
    with counter.till() as till:
        till.settle()
        pay(till, wish(1))
        counter.house.clock.now_ms -= 10**9
        pay(till, wish(2))
        counter.house.clock.now_ms += 10**10
        pay(till, wish(3))
        newest = till.book.newest(10)
    assert [each.payment for each in newest] == ["p-3", "p-2", "p-1"]
    assert {each.state for each in newest} == {State.APPROVED}


def test_old_payments_go_and_open_ones_stay(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terminal_client.payments.PAYMENTS_MAX", 2)
    with counter.till() as till:
        for number in range(1, 5):
            till.book.add(wish(number), now_ms=number)
            if number != 1:
                till.book.set_state(f"p-{number}", State.REFUSED, now_ms=number)
        assert [each.payment for each in till.book.newest(100)] == ["p-4", "p-3", "p-1"]
        assert till.book.next_number() == 5


@pytest.fixture
def running(counter: Counter) -> Iterator[tuple[FlaskClient, Till]]:
    """The API beside a till that takes payments in a thread of its own."""
    ready, box = Event(), []

    def run() -> None:
        with counter.till() as till:
            box.append(till)
            till.settle()
            ready.set()
            till.run()

    thread = Thread(target=run)
    thread.start()
    assert ready.wait(30)
    (till,) = box
    yield create_till_app(till, TOKEN).test_client(), till
    till.stop()
    thread.join(30)


HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1:8440"}


def test_a_till_starts_follows_repeats_and_lists(running: tuple[FlaskClient, Till]) -> None:
    client, _ = running
    begun = client.post("/v1/payments", json=WISH, headers=HEADERS)
    assert begun.status_code == 201, begun.json
    assert begun.json["state"] == "waiting"
    assert begun.json["final"] is False
    done = client.get("/v1/payments/till-7.1?wait_s=20", headers=HEADERS)
    assert (done.json["state"], done.json["final"]) == ("approved", True)
    assert done.json["transfer"].startswith("tra_")
    again = client.post("/v1/payments", json=WISH, headers=HEADERS)
    assert (again.status_code, again.json) == (200, done.json)
    other = client.post("/v1/payments", json=WISH | {"amount_minor": 501}, headers=HEADERS)
    assert (other.status_code, other.json["code"]) == (409, "payment_id_reused")
    assert client.get("/v1/payments?limit=5", headers=HEADERS).json == {"payments": [done.json]}
    late = client.post("/v1/payments/till-7.1/cancel", headers=HEADERS)
    assert late.json == done.json


def test_one_payment_at_a_time_and_it_can_be_cancelled(
    counter: Counter, running: tuple[FlaskClient, Till]
) -> None:
    client, _ = running
    at_camera, go_on = Event(), Event()

    def stand(hooks: Hooks) -> None:
        at_camera.set()
        assert go_on.wait(30)
        hooks.show("Turn left")

    counter.before = stand
    client.post("/v1/payments", json=WISH, headers=HEADERS)
    assert at_camera.wait(30)
    shown = client.get("/v1/payments/till-7.1", headers=HEADERS).json
    assert (shown["state"], shown["instruction"]) == ("capturing", "Look at the camera")
    busy = client.post("/v1/payments", json=WISH | {"id": "other"}, headers=HEADERS)
    assert (busy.status_code, busy.json["code"]) == (409, "terminal_busy")
    client.post("/v1/payments/till-7.1/cancel", headers=HEADERS)
    go_on.set()
    done = client.get("/v1/payments/till-7.1?wait_s=20", headers=HEADERS).json
    assert (done["state"], done["reason"]) == ("not_charged", "cancelled")
    assert counter.paid() == []


WRONG: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/v1/payments", {"headers": {}}, 401, "unauthorized"),
    ("GET", "/v1/payments", {"headers": {"Authorization": "Bearer x"}}, 401, "unauthorized"),
    ("GET", "/v1/payments", {"headers": {"Authorization": f"Basic {TOKEN}"}}, 401,
     "unauthorized"),
    ("GET", "/v1/payments", {"headers": {"Authorization": "Bearer \xff"}}, 401, "unauthorized"),
    ("GET", "/nowhere", {"headers": {}}, 401, "unauthorized"),
    ("GET", "/v1/payments", {"headers": HEADERS | {"Host": "evil.example"}}, 403, "wrong_host"),
    ("GET", "/v1/payments/none", {}, 404, "not_found"),
    ("POST", "/v1/payments/none/cancel", {}, 404, "not_found"),
    ("GET", "/nowhere", {}, 404, "not_found"),
    ("DELETE", "/v1/payments", {}, 405, "method_not_allowed"),
    ("POST", "/v1/payments", {"data": b"{}"}, 415, "unsupported_media_type"),
    ("POST", "/v1/payments", {"json": {}}, 400, "malformed"),
    ("POST", "/v1/payments", {"json": WISH | {"x": "y" * 5000}}, 413,
     "request_entity_too_large"),
    ("POST", "/v1/payments", {"json": WISH | {"amount_minor": 0}}, 400, "malformed"),
    ("GET", "/v1/payments/none?wait_s=21", {}, 400, "malformed"),
    ("GET", "/v1/payments?limit=101", {}, 400, "malformed"),
]  # fmt: skip


def test_every_wrong_request_is_a_problem(counter: Counter) -> None:
    with counter.till() as till:
        client = create_till_app(till, TOKEN).test_client()
        for method, path, changes, status, code in WRONG:
            answer = client.open(path, method=method, **{"headers": HEADERS, **changes})
            assert (answer.status_code, answer.json["code"]) == (status, code), path
            assert answer.mimetype == "application/problem+json"
            assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "a b"}, "id is"),
        ({"id": "x" * 65}, "id is"),
        ({"id": 7}, "id is"),
        ({"order": " A"}, "order is"),
        ({"order": "\x00"}, "order is"),
        ({"amount_minor": -5}, "amount outside"),
        ({"amount_minor": 10**16}, "amount outside"),
        ({"amount_minor": 5.0}, "whole number"),
        ({"amount_minor": True}, "whole number"),
        ({"currency": "XXX"}, "unknown currency"),
        ({"claim": "4711"}, "a claim reads"),
        ({"claim": 1}, "a claim reads"),
        ({"way": "nose"}, "way is"),
        ({"way": []}, "not a payment"),
        ({"pin": "2468"}, "not known"),
    ],
)
def test_a_wrong_wish_is_named_and_not_quoted(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Wish.parse(json.dumps(WISH | changes).encode())
    assert "4711" not in str(caught.value)
    assert "2468" not in str(caught.value)


def test_a_wish_is_read_whole() -> None:
    raw = json.dumps(WISH | {"claim": "card:1", "way": "card_pin"}).encode()
    read = Wish.parse(raw)
    assert (read.claim, read.way, read.money.amount_minor) == ("card:1", Way.CARD_PIN, 500)
    assert "card:1" not in repr(read)
    assert Wish.parse(b'{"id":"a","amount_minor":1,"currency":"EUR"}').order == "a"
    with pytest.raises(UsageError, match="twice"):
        Wish.parse(b'{"id":"a","id":"b","amount_minor":1,"currency":"EUR"}')


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*WISH, "claim", "way"]), inner, max_size=5),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_any_bytes_are_a_wish_or_refused(raw: bytes) -> None:
    with suppress(UsageError):
        Wish.parse(raw)


def test_the_server_listens_on_the_loopback_only(counter: Counter) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with counter.till() as till:
        server = LoopbackServer(create_till_app(till, TOKEN), port)
        server.start()
        with urllib3.PoolManager(retries=False, timeout=10) as pool:
            url = f"http://127.0.0.1:{port}/v1/payments"
            answer = pool.request("GET", url, headers={"Authorization": f"Bearer {TOKEN}"})
            assert (answer.status, answer.json()) == (200, {"payments": []})
            assert "Server" not in answer.headers
            huge = pool.request("POST", url, body=b"x" * 100_000)
            assert huge.status in (401, 413)
        with pytest.raises(UsageError, match="port"):
            LoopbackServer(create_till_app(till, TOKEN), port)
        server.stop()


def test_the_token_is_made_once_and_anew_when_asked(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "home")
    token = keystore.till_token()
    assert keystore.till_token() == token
    assert len(token) >= 43
    assert (tmp_path / "home" / "till-token").stat().st_mode & 0o777 == 0o600
    assert keystore.till_token(renew=True) != token


def test_what_ended_at_the_camera_is_not_charged(counter: Counter) -> None:
    with counter.till() as till:
        till.settle()
        till.take = lambda _context, _wish, _hooks: Ended(ending=Ending.NOT_LIVE)
        pay(till, wish())
        found = till.book.find("p-1")
    assert (found.state, found.reason) == (State.NOT_CHARGED, "not_live")
