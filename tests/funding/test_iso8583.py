"""The host's side, against a bank that answers late, twice, wrongly and never."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.funding.iso8583 import codes
from service.funding.iso8583 import message as iso
from service.funding.iso8583.host import Host, retrieval_reference
from service.funding.iso8583.line import Address, Line
from service.funding.iso8583.message import MESSAGE_BYTES_MAX, Message, MessageError
from service.funding.processor import Answer, Card, NoAnswer, Order, Refusal, Side
from service.funding.sources import open_source, read_card, seal_source
from service.ledger.sources import TRACE_MAX, trace_of
from tests.funding.conftest import Bank, open_bank
from wire.ids import AccountId, TerminalId, TransferId
from wire.messages import Purpose
from wire.money import MINOR_DIGITS, Money

CARD = read_card("4242 4242 4242 4242", "12/34")
DRAW, PAY = Purpose.WITHDRAWAL, Purpose.PAYMENT


def order(purpose: Purpose = DRAW, amount_minor: int = 5000) -> Order:
    transfer = TransferId.new()
    return Order(
        transfer=transfer,
        purpose=purpose,
        money=Money(amount_minor=amount_minor, currency="EUR"),
        payee=TerminalId.new().raw,
        asked_at_ms=int(time.time() * 1000),
        trace=trace_of(transfer, 0),
    )


def test_a_withdrawal_is_one_message_and_what_stayed_in_the_machine_is_given_back(
    bank: Bank,
) -> None:
    host, asked = bank.host(), order()
    answer = host.authorize(asked, CARD)
    assert (answer.side, answer.confirmed_minor) == (Side.CAPTURED, 5000)
    asked = replace(asked, reference=answer.reference)
    assert host.capture(asked, CARD, 5000).confirmed_minor == 5000
    assert bank.books["seen"] == ["0800", "0200"]
    assert host.capture(asked, CARD, 3000).confirmed_minor == 3000
    assert bank.books["taken"] == {retrieval_reference(asked): 3000}
    assert host.void(asked, CARD).side is Side.RELEASED
    assert bank.books["taken"] == {}


def test_a_payment_is_held_then_taken_and_refunded(bank: Bank) -> None:
    host, asked = bank.host(), order(PAY)
    answer = host.authorize(asked, CARD)
    assert (answer.side, answer.confirmed_minor) == (Side.AUTHORIZED, 0)
    asked = replace(asked, reference=answer.reference)
    assert bank.books["held"] == {retrieval_reference(asked): 5000}
    for again in (False, True):
        taken = host.capture(replace(asked, again=again), CARD, 4500)
        assert (taken.side, taken.confirmed_minor) == (Side.CAPTURED, 4500)
    back = replace(order(PAY, 500), of=asked)
    for again in (False, True):
        assert host.refund(replace(back, again=again), CARD).side is Side.REFUNDED
    assert bank.books["taken"] == {
        retrieval_reference(asked): 4500,
        retrieval_reference(back): -500,
    }
    assert bank.books["held"] == {}


def test_lines_are_signed_on_once_and_kept(bank: Bank) -> None:
    host = bank.host()
    for _ in range(3):
        assert host.authorize(order(), CARD).side.approved
    assert bank.books["signed_on"] == 1


def test_a_line_that_rested_is_tried_with_an_echo_first(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.funding.iso8583.line.ECHO_AFTER_S", 0.0)
    host = bank.host()
    for _ in range(2):
        assert host.authorize(order(), CARD).side.approved
    assert bank.books["seen"] == ["0800", "0200", "0800", "0200"]
    assert bank.books["signed_on"] == 1


@pytest.mark.parametrize("code", ["05", "14", "51", "54", "61", "91", "ZZ"])
def test_a_response_code_is_a_named_refusal(bank: Bank, code: str) -> None:
    bank.behave(f"code:{code}")
    answer = bank.host().authorize(order(), CARD)
    assert answer == Answer.declined(codes.REFUSALS.get(code, Refusal.DECLINED))


@pytest.mark.parametrize(
    "behaviour",
    [
        "never", "late:1", "drop", "garbage", "huge", "wrong:4=000000000001", "wrong:11=000000",
        "wrong:39=0", "wrong:37=000000000000", "wrong:41=XXXXXXXX", "wrong:49=840",
    ],
)  # fmt: skip
def test_no_right_answer_in_time_is_no_approval_and_is_reversed(bank: Bank, behaviour: str) -> None:
    host, asked = bank.host(answer_timeout_s=0.3), order()
    bank.behave(behaviour)
    with pytest.raises(NoAnswer):
        host.authorize(asked, CARD)
    bank.behave("never", "ok")
    with pytest.raises(NoAnswer):
        host.void(asked, CARD)
    assert host.void(replace(asked, again=True), CARD).side is Side.RELEASED
    books = bank.books
    assert (books["taken"], books["held"]) == ({}, {})
    assert books["seen"][-2:] == ["0800", "0401"]


@pytest.mark.parametrize("behaviour", ["twice", "other"])
def test_an_answer_to_another_request_is_passed_over(bank: Bank, behaviour: str) -> None:
    host = bank.host()
    bank.behave(behaviour)
    for _ in range(3):
        assert host.authorize(order(), CARD).side.approved


def test_a_host_that_does_not_sign_us_on_has_heard_nothing() -> None:
    with open_bank("silent") as bank:
        assert bank.host().authorize(order(), CARD).refusal is Refusal.UNAVAILABLE
        assert bank.books["seen"] == ["0800"]


def test_no_host_at_all_is_a_refusal_of_now() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    host = Host(Address(host="127.0.0.1", port=port, tls=False), acquirer="42")
    assert host.authorize(order(), CARD).refusal is Refusal.UNAVAILABLE
    with pytest.raises(NoAnswer):
        host.void(order(), CARD)


def test_more_than_twelve_digits_is_above_what_a_host_can_be_told(bank: Bank) -> None:
    answer = bank.host().authorize(order(amount_minor=10**12), CARD)
    assert answer.refusal is Refusal.LIMIT_EXCEEDED


def test_every_currency_has_its_number() -> None:
    assert codes.NUMBERS.keys() == MINOR_DIGITS.keys()
    assert len(set(codes.NUMBERS.values())) == len(MINOR_DIGITS)


@given(raw=st.binary(min_size=16, max_size=16), place=st.integers(0, 10**6))
def test_a_trace_is_in_its_range_and_the_next_place_is_another(raw: bytes, place: int) -> None:
    traces = [trace_of(TransferId(raw), place + step) for step in range(3)]
    assert all(1 <= trace <= TRACE_MAX for trace in traces)
    assert len(set(traces)) == 3


def test_a_card_shows_nowhere(bank: Bank) -> None:
    asked = order()
    fields = bank.host()._fields(asked, CARD)
    for thing in (CARD, asked, Message("0200", fields), fields and Message("0400", fields)):
        assert CARD.number not in repr(thing)
        assert CARD.expiry not in repr(thing)
    with pytest.raises(ValueError, match="card") as told:
        read_card(CARD.number[:-1] + "3", "12/34")
    assert CARD.number[:6] not in str(told.value)


def test_a_source_opens_for_its_account_alone() -> None:
    account, key = AccountId.new(), bytes(32)
    sealed = seal_source(CARD, account, key)
    assert CARD.number.encode() not in sealed
    name = Host.name
    assert open_source(sealed, name, account, key) == CARD
    assert open_source(sealed, name, AccountId.new(), key) is None
    assert open_source(sealed, name, account, b"k" * 32) is None
    assert open_source(sealed[:-1], name, account, key) is None
    assert open_source(b"", name, account, key) is None


RAW = Message(
    "0210", {iso.AMOUNT: "000000000001", iso.TRACE: "000001", iso.RESPONSE: "00"}
).encode()


@given(raw=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
@example(raw=RAW)
@example(raw=b"0" * (MESSAGE_BYTES_MAX + 1))
@example(raw=b"0210\xff\xff\xff\xff\xff\xff\xff\xff")
@example(raw="0210".encode("utf-16"))
def test_any_bytes_are_a_message_spelt_once_or_refused(raw: bytes) -> None:
    with suppress(MessageError):
        assert Message.decode(raw).encode() == raw


@given(at=st.integers(0, len(RAW)), new=st.binary(max_size=3), gone=st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_a_changed_message_is_spelt_once_or_refused(at: int, new: bytes, gone: int) -> None:
    raw = RAW[:at] + new + RAW[at + gone :]
    with suppress(MessageError):
        assert Message.decode(raw).encode() == raw


@contextmanager
def saying(raw: bytes) -> Iterator[Address]:
    """A host that says this to everybody, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(raw)

        thread = threading.Thread(target=say)
        thread.start()
        yield Address(host="127.0.0.1", port=server.getsockname()[1], tls=False)
        thread.join()


@given(raw=st.binary(max_size=60) | st.binary(max_size=60).map(
    lambda body: struct.pack(">H", len(body)) + body))  # fmt: skip
@settings(max_examples=40, deadline=None)
@example(raw=b"\x00\x00")
@example(raw=(struct.pack(">H", len(RAW)) + RAW) * 20)
def test_whatever_a_host_says_ends_in_no_answer(raw: bytes) -> None:
    request = Message("0200", {iso.TRACE: "000002"})
    with saying(raw) as address:
        line = Line(address, timeout_s=1)
        with pytest.raises(NoAnswer):
            line.exchange(request, timeout_s=1)
        line.close()


def test_a_host_that_drips_is_not_waited_for_longer_than_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(host="127.0.0.1", port=server.getsockname()[1], tls=False)
        line = Line(address, timeout_s=1)
        connection, _ = server.accept()
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                connection.sendall(b"\x00\xff")
                while not stop.wait(0.02):
                    connection.sendall(b"0")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(NoAnswer):
            line.exchange(Message("0200", {iso.TRACE: "000002"}), timeout_s=0.3)
        line.close()
        stop.set()
        thread.join()
        connection.close()


def test_cards_are_read_as_they_are_printed() -> None:
    assert read_card("4242424242424242", "01/30") == Card(number="4242424242424242", expiry="3001")
    for number, expiry in (
        ("4242424242424241", "01/30"),
        ("4242", "01/30"),
        ("\u0664242424242424242", "01/30"),
        ("4242424242424242", "13/30"),
        ("4242424242424242", "1/30"),
        ("4242424242424242", "01/30\n"),
    ):
        with pytest.raises(ValueError, match="card"):
            read_card(number, expiry)
